"""The networks of `python -m benchmarks.networks`, and the sides that compute them, each in its own process."""
