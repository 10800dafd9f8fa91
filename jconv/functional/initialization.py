"""Initial parameters, drawn as Keras draws them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..geometry import check_positive
from ..hints import known_arguments


@known_arguments
def init_conv1d(
    key: jax.Array,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    groups: int = 1,
    bias: bool = True,
    dtype: Any = jnp.float32,
) -> dict[str, jax.Array]:
    """Initializes the params of `conv1d` like Keras: a Glorot-uniform kernel and a bias of zeros.

    The kernel is uniform within `sqrt(6 / (fan_in + fan_out))`, with `fan_in = kernel_size * in_channels // groups`
    and `fan_out = kernel_size * out_channels`. (Glorot and Bengio 2010, with Keras's fans.)

    Args:
        key: A `jax.random.key`.
        in_channels: Number of channels of the input.
        out_channels: Number of channels of the output.
        kernel_size: Number of taps.
        groups: Number of groups of channels.
        bias: Whether the params include a bias.
        dtype: The dtype of the params.

    Returns:
        `{"kernel": (kernel_size, in_channels // groups, out_channels), "bias": (out_channels,)}`.

    Raises:
        ValueError: A size is less than 1, `groups` does not divide the channels, or `key` is not a key.

    >>> {name: p.shape for name, p in init_conv1d(jax.random.key(0), 4, 6, 3, groups=2).items()}
    {'kernel': (3, 2, 6), 'bias': (6,)}
    """
    checks.check_key(key)
    sizes = {"in_channels": in_channels, "out_channels": out_channels, "kernel_size": kernel_size, "groups": groups}
    for name, size in sizes.items():
        check_positive(name, size)
    if in_channels % groups or out_channels % groups:
        raise ValueError(f"groups={groups} must divide in_channels={in_channels} and out_channels={out_channels}")
    shape = (kernel_size, in_channels // groups, out_channels)
    params = {"kernel": glorot_uniform(key, shape, dtype)}
    return params | ({"bias": jnp.zeros(out_channels, dtype)} if bias else {})


def glorot_uniform(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Draws Glorot-uniform weights. The last two axes are in and out channels; the axes before are the taps."""
    *field, fan_in, fan_out = shape
    limit = float(np.sqrt(6.0 / (np.prod(field, initial=1.0) * (fan_in + fan_out))))
    return jax.random.uniform(key, shape, dtype, -limit, limit)
