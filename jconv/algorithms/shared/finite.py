"""Makes an algorithm local although it multiplies samples outside an output's window by zero weights.

This is needed where several outputs are computed as the channels of one wider window. A zero weight does not change a
sum as long as the sample is finite, but 0 * inf and 0 * NaN are NaN. So the samples are checked first, in one pass.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ...geometry import Geometry
from .operands import pad_input, split_groups, upcast

Convolution = Callable[[jax.Array, jax.Array], jax.Array]


def make_local(
    compute: Convolution, compute_exactly: Convolution, x: jax.Array, kernel: jax.Array, g: Geometry
) -> jax.Array:
    """Returns `compute(x, kernel)`, with NaN and infinity confined to the outputs whose windows read them.

    Args:
        compute: A forward convolution that may multiply samples outside an output's window by zero.
        compute_exactly: The same convolution without such zeros. It computes the outputs that read a sample that is
            not finite. The other outputs are bitwise as from `compute` with finite samples.
        x: The input.
        kernel: The kernel.
        g: The geometry.
    """

    def from_finite_samples(x: jax.Array, kernel: jax.Array) -> jax.Array:
        finite = jnp.isfinite(x)
        y = compute(jnp.where(finite, x, 0), kernel)
        return jnp.where(_windows_with(~finite, g, y.shape[2]), compute_exactly(x, kernel), y)

    all_finite = (upcast(x) * 0).sum() == 0
    return jax.lax.cond(all_finite, compute, from_finite_samples, x, kernel)


def _windows_with(samples: jax.Array, g: Geometry, out_channels: int) -> jax.Array:
    """Returns whether each output's window reads a sample that is true in `samples`, a boolean array like `x`."""
    any_in_group = pad_input(split_groups(samples, g.groups).any(-1), g)
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
