"""Sign-ins that last: refresh tokens, authorization codes, and what is refused before its time."""
