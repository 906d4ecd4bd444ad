"""Who may ask: guilds, users, OAuth clients and their tokens."""
