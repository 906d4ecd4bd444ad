"""Everything the guild knows and does: the sages, the actor runtime, the router and the store."""
