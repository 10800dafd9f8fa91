"""A graph of layers as a Keras config."""
