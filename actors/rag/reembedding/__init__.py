"""Moving a guild to another embedding model: its next vectors, and the switch to them."""
