"""What people and outcomes say of search results, and what a guild learns from it."""
