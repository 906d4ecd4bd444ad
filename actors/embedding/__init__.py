"""Text to vectors: the local MiniLM model and the pool that runs it."""
