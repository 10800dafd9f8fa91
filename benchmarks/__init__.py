"""Measurements. Each module directly in this package is a command, `python -m benchmarks.NAME`."""
