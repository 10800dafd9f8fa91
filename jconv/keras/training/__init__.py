"""A compiled model: optimizer, loss, regularizers and constraints."""
