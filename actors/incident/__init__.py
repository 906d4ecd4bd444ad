"""The Incident Sage: what went wrong, from the first alert to the published review."""
