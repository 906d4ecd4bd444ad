"""Operating the guild; every entry point runs as `python -m cluster.NAME`."""
