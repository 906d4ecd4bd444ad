"""Reproducible measurements; each runs as `python -m benchmarks.NAME`."""
