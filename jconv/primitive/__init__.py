"""The JAX primitives of the three operations, and all that ties them to JAX and XLA."""
