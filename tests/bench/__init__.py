"""Benchmarks: ratios of things run side by side on one core each. `python -m tests.bench`; never part of the tests."""
