"""Convolutions inside `jax.shard_map` along a length that is sharded over devices."""

from .convolution import conv1d, conv1d_transpose, depthwise_conv1d, separable_conv1d

__all__ = [
    "conv1d",
    "conv1d_transpose",
    "depthwise_conv1d",
    "separable_conv1d",
]
