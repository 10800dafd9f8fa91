"""Reading: a Keras config as a graph of layers, and the file's arrays as params and state."""
