"""Places where events are kept, and what `benchmarks.events` does with each."""
