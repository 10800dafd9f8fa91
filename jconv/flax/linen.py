"""The convolution layer of Flax's Linen."""

from __future__ import annotations

from typing import Any

from flax import linen

from ..functional import conv_general_dilated as _conv_general_dilated

__all__ = ["Conv"]


class Conv(linen.Conv):
    """`flax.linen.Conv`: the same arguments, names of parameters and results, computed by jconv in one dimension.

    >>> import jax, jax.numpy as jnp
    >>> layer = Conv(8, (5,), padding="CAUSAL")
    >>> y, params = layer.init_with_output(jax.random.key(0), jnp.ones((2, 100, 3)))
    >>> y.shape, params["params"]["kernel"].shape
    ((2, 100, 8), (5, 3, 8))
    """

    conv_general_dilated: Any = _conv_general_dilated
