"""The JAX primitives for the three operations: derivatives, batching, lowering and sharding."""
