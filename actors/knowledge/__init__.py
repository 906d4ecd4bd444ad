"""The Knowledge Sage: what was learned, with every version readable."""
