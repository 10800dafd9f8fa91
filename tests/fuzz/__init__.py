"""Fuzzers that are started by hand, and their seeds."""
