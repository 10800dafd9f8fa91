"""Fuzzing by hand, and what it starts from."""
