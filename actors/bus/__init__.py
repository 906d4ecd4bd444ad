"""The bus: how people and programs outside publish to the log and hear of it."""
