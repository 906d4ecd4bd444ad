"""Backups of a guild's database: made while it works, and proven by restoring them."""
