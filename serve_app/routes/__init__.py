"""One router per sage: parse, one message, render."""
