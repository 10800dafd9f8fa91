"""Keras models in and out, with no Keras installed; names handed on, nothing defined."""
