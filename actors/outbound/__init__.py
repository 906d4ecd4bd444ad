"""HTTP to addresses that somebody else names: one client, and the one place that says which."""
