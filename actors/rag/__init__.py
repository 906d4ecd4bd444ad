"""The RAG Sage: finds and answers over everything the guild holds."""
