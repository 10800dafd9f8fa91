"""Files of Keras that other people published: their manifest, how they are fetched, tried and recorded."""
