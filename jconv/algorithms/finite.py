"""Zero weights that keep foreign samples out of a sum, also where those samples are infinite or NaN.

An algorithm that computes several outputs at once multiplies samples that one of them does not read by zero. That
changes no bit of a sum while the samples are finite. So they are checked, which is one pass over them.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ..geometry import Geometry
from .operands import by_group, padded

Convolution = Callable[[jax.Array, jax.Array], jax.Array]


def local(compute: Convolution, one_by_one: Convolution, x: jax.Array, kernel: jax.Array, g: Geometry) -> jax.Array:
    """`compute(x, kernel)`, a forward pass with zero weights for foreign samples, made local.

    Where a sample is not finite, `one_by_one` computes the outputs that read it, and the others are those of `compute`
    with finite samples in its place: the same bits as without it.
    """

    def from_finite_samples(x: jax.Array, kernel: jax.Array) -> jax.Array:
        finite = jnp.isfinite(x)
        y = compute(jnp.where(finite, x, 0), kernel)
        return jnp.where(_reads(~finite, g, y.shape[2]), one_by_one(x, kernel), y)

    all_finite = (x * 0).sum() == 0
    return jax.lax.cond(all_finite, compute, from_finite_samples, x, kernel)


def _reads(samples: jax.Array, g: Geometry, out_channels: int) -> jax.Array:
    """Whether the window of each output has any of these samples, given as booleans of the shape of `x`."""
    any_in_group = padded(by_group(samples, g.groups).any(-1), g)
    reads = jax.lax.reduce_window(
        any_in_group,
        False,
        jax.lax.bitwise_or,
        (1, g.kernel_size, 1),
        (1, g.stride, 1),
        "valid",
        window_dilation=(1, g.dilation, 1),
    )
    return jnp.repeat(reads, out_channels // g.groups, axis=-1)
