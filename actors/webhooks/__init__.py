"""What sender and receiver of a webhook agree upon: consent, signatures, the meaning of answers."""
