"""Data sets: built in, synthetic, from the archives, or from files."""
