"""Keras operations as layers."""
