"""The bus: load, decide, commit."""
