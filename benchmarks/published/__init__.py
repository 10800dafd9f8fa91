"""Published Keras files: their manifest, and how they are fetched, tested and recorded."""
