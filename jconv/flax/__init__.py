"""Flax's convolution layers, computed by jconv: `jconv.flax.nnx.Conv` and `jconv.flax.linen.Conv`. Needs Flax."""

from . import linen as linen
from . import nnx as nnx

__all__ = ["linen", "nnx"]
