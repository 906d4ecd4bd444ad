"""Ray jobs; each runs as `python -m cluster.jobs.NAME`."""
