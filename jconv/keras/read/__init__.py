"""A Keras config as a graph of layers, and its arrays as params and state."""
