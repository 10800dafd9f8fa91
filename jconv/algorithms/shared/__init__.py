"""What several algorithms share: transformations of the operands, blocks of a batch, isolation from fusion."""
