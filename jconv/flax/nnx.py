"""The convolution layer of Flax's NNX."""

from __future__ import annotations

from typing import Any

from flax import nnx

from ..functional import conv_general_dilated

__all__ = ["Conv"]


class Conv(nnx.Conv):
    """`flax.nnx.Conv`: the same arguments, parameters, state and results, computed by jconv in one dimension.

    Args:
      args, options: as in `flax.nnx.Conv`.

    >>> import jax.numpy as jnp
    >>> from flax.nnx import Rngs
    >>> layer = Conv(32, 32, 5, padding="CAUSAL", feature_group_count=32, rngs=Rngs(0))
    >>> layer(jnp.ones((2, 100, 32))).shape, layer.kernel.shape
    ((2, 100, 32), (5, 1, 32))
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **({"conv_general_dilated": conv_general_dilated} | options))
