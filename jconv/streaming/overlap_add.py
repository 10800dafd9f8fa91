"""What a transposed convolution keeps from chunk to chunk: sums that later samples still add to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp

from ..functional.activations import resolve
from ..functional.convolution import add_bias, conv1d_transpose
from ..geometry import reach, transposed_geometry
from ..slots import put_rows, take_rows
from .buffers import ENDED
from .windows import joined


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Overlap:
    """Output samples that are not whole yet: `sums` (..., kept, out_channels), in float32 for half types.

    `drop` is how many of the next are cropped from the start, None after the end; `dtype` is that of the samples.
    """

    sums: jax.Array
    drop: int | None = field(metadata={"static": True})
    dtype: str = field(metadata={"static": True})


@dataclass(frozen=True)
class Tail:
    """Sizes in output samples, of a transposed convolution of any length.

    After n samples the stream has come to `n * stride - held`: where the stride is longer than the reach, the zeros
    after the last sample may not be part of the output. `added` come at the end, `low` are cropped from the start, and
    the sums reach `beyond` further than `n * stride`.
    """

    low: int
    held: int
    added: int
    beyond: int

    @classmethod
    def of(
        cls,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: str = "valid",
        output_padding: int | None = None,
        dilation: int = 1,
    ) -> Tail:
        """From the options of `jconv.conv1d_transpose`."""
        # None of them depends on the length, once it is long enough to be cropped.
        length = span = reach(kernel_size, dilation)
        geometry = transposed_geometry(
            length, kernel_size, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation
        )
        left = geometry.length + geometry.low - length * stride
        return cls(geometry.low, max(0, -left), max(0, left), max(0, span - stride))


def begin(tail: Tail, batch_shape: Sequence[int], out_channels: int, dtype: Any) -> Overlap:
    """The sums before the first sample: zeros."""
    wide = jnp.promote_types(dtype, jnp.float32)
    sums = jnp.zeros((*batch_shape, tail.held + tail.beyond, out_channels), wide)
    return Overlap(sums, tail.low + tail.held, jnp.dtype(dtype).name)


def add(
    overlap: Overlap,
    params: Mapping[str, Any],
    chunk: jax.Array,
    tail: Tail,
    *,
    last: bool = False,
    slots: jax.Array | None = None,
    stride: int = 1,
    dilation: int = 1,
    activation: Any = None,
    **options: Any,
) -> tuple[jax.Array, Overlap]:
    """`(y, overlap)`: the output samples that no later chunk adds to, all that are left for the last one."""
    if overlap.drop is None:
        raise ValueError(ENDED)
    dtype = jnp.result_type(overlap.dtype, *params.values())
    sums = take_rows(overlap.sums, slots)
    ready = chunk.shape[-2] * stride
    if ready:
        kernel, wide = jnp.asarray(params["kernel"]), sums.dtype
        y = conv1d_transpose(
            {"kernel": kernel.astype(jnp.promote_types(wide, kernel.dtype))},
            chunk.astype(wide),
            stride=stride,
            dilation=dilation,
            **options,
        ).astype(wide)
        sums = _summed(_extended(sums, ready), y, tail.held)
    emitted = ready + (tail.added if last else 0)
    sums = _extended(sums, emitted - sums.shape[-2])
    drop = min(overlap.drop, emitted)
    y = add_bias(sums[..., drop:emitted, :].astype(dtype), params.get("bias"))
    y = resolve(activation)(y) if y.shape[-2] else jnp.zeros(_activated(activation, y), y.dtype)
    # At the end there may be more zeros than there were sums.
    kept = _extended(sums, emitted + overlap.sums.shape[-2] - sums.shape[-2])[..., emitted:, :]
    left = None if last else overlap.drop - drop
    return y, put_rows(overlap, replace(overlap, sums=kept, drop=left), slots)


def _extended(sums: jax.Array, samples: int) -> jax.Array:
    zeros = jnp.zeros((*sums.shape[:-2], max(samples, 0), sums.shape[-1]), sums.dtype)
    return joined([sums, zeros])


def _summed(sums: jax.Array, y: jax.Array, at: int) -> jax.Array:
    """`sums` with `y`, which ends where they do, added from sample `at` on."""
    before = sums[..., :at, :]
    return joined([before, sums[..., at:, :] + y]) if at else sums + y


def _activated(activation: Any, y: jax.Array) -> tuple[int, ...]:
    one = jax.ShapeDtypeStruct((*y.shape[:-2], 1, y.shape[-1]), y.dtype)
    shape = jax.eval_shape(resolve(activation), one).shape
    return (*shape[:-2], 0, shape[-1])
