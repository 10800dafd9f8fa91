"""The networks of `python -m benchmarks.networks`, and the sides that compute them, each in a process of its own."""
