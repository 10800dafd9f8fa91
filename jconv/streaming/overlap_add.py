"""The state of a transposed convolution: sums to which later samples still add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp

from ..functional.activations import resolve
from ..functional.convolution import add_bias, conv1d_transpose
from ..slots import put_rows, take_rows
from .buffers import check_not_ended
from .timing import OverlapSizes
from .windows import concatenate, empty_output


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OverlapAdd:
    """Incomplete output samples: `sums` (..., length, out_channels), in float32 for 16-bit floats.

    `crop` is the number of samples that are still to be cropped at the start, None after the end. `dtype` is the dtype
    of the input.
    """

    sums: jax.Array
    crop: int | None = field(metadata={"static": True})
    dtype: str = field(metadata={"static": True})


def init_overlap(sizes: OverlapSizes, batch_shape: Sequence[int], out_channels: int, dtype: Any) -> OverlapAdd:
    """The sums before the first sample: zeros."""
    sums_dtype = jnp.promote_types(dtype, jnp.float32)
    sums = jnp.zeros((*batch_shape, sizes.withheld + sizes.overlap, out_channels), sums_dtype)
    return OverlapAdd(sums, sizes.low + sizes.withheld, jnp.dtype(dtype).name)


def step_overlap(
    state: OverlapAdd,
    params: Mapping[str, Any],
    chunk: jax.Array,
    sizes: OverlapSizes,
    *,
    last: bool = False,
    slots: jax.Array | None = None,
    stride: int = 1,
    dilation: int = 1,
    activation: Any = None,
    **options: Any,
) -> tuple[jax.Array, OverlapAdd]:
    """`(y, state)`: the output samples that a chunk completes, all remaining ones for the last chunk."""
    crop = check_not_ended(state.crop)
    dtype = jnp.result_type(state.dtype, *params.values())
    sums = take_rows(state.sums, slots)
    complete = chunk.shape[-2] * stride
    if complete:
        kernel = jnp.asarray(params["kernel"])
        y = conv1d_transpose(
            {"kernel": kernel.astype(jnp.promote_types(sums.dtype, kernel.dtype))},
            chunk.astype(sums.dtype),
            stride=stride,
            dilation=dilation,
            **options,
        ).astype(sums.dtype)
        sums = _add(_extend(sums, complete), y, sizes.withheld)
    complete += sizes.high if last else 0
    sums = _extend(sums, complete - sums.shape[-2])
    cropped = min(crop, complete)
    y = add_bias(sums[..., cropped:complete, :].astype(dtype), params.get("bias"))
    act = resolve(activation)
    y = act(y) if y.shape[-2] else empty_output(act, y, 1)
    # At the end more zeros may be added than there are sums.
    sums = _extend(sums, complete + state.sums.shape[-2] - sums.shape[-2])[..., complete:, :]
    return y, put_rows(state, replace(state, sums=sums, crop=None if last else crop - cropped), slots)


def _extend(sums: jax.Array, samples: int) -> jax.Array:
    """`sums` followed by zeros."""
    return concatenate([sums, jnp.zeros((*sums.shape[:-2], max(samples, 0), sums.shape[-1]), sums.dtype)])


def _add(sums: jax.Array, y: jax.Array, start: int) -> jax.Array:
    """`sums` with `y` added from sample `start` to the end."""
    return concatenate([sums[..., :start, :], sums[..., start:, :] + y]) if start else sums + y
