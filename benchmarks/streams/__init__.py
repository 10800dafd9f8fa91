"""The networks of the streaming benchmark, and the sides that run them."""
