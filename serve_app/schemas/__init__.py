"""HTTP models, each with its way to a message or from a reply."""
