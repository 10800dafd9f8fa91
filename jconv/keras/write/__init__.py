"""Writing: a graph of layers as a Keras config."""
