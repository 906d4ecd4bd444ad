"""The event router: from the log to whoever subscribed, in order, at least once."""
