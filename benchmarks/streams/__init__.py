"""Streams compared: the networks, and the libraries that run them."""
