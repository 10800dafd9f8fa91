"""Compares a network's gradients with complex-step derivatives of its NumPy reference."""
