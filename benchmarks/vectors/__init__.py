"""Real sentences and their real embeddings, chosen and embedded once, kept outside the checkout."""
