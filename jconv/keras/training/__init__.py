"""Training of compiled models: optimizers, losses, regularizers and constraints."""
