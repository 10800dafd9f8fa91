"""`jax.lax.conv_general_dilated`, with 1-D convolutions computed by jconv.

A call that is not one of the two cases below goes to lax unchanged, so lax raises its own errors.
"""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..algorithms.shared.operands import pad, transpose_kernel
from ..checks import DTYPES
from ..geometry import Geometry, is_integer, is_symbolic, reach
from ..planner import AUTO
from ..primitive import bilinear
from ..primitive.precision import Canonical, canonical_precision
from .default_algorithm import resolve as resolve_algorithm


def conv_general_dilated(
    lhs: Any,
    rhs: Any,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any = None,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
    *,
    algorithm: str = AUTO,
) -> jax.Array:
    """`jax.lax.conv_general_dilated` with its arguments, results and errors. jconv computes 1-D convolutions.

    It is for code that accepts or calls lax's function: pass it to Flax as
    `nnx.Conv(..., conv_general_dilated=jconv.conv_general_dilated)`, or replace the name in plain JAX or Haiku.

    jconv computes calls with one spatial dimension, in any layout of `dimension_numbers`, whose operands have the same
    dtype (float32, float64, bfloat16 or float16), and which have either

    - no `lhs_dilation`, and any stride, dilation, groups and padding, by name or in numbers, including negative ones;
    - or an `lhs_dilation` above one and stride one, which is a transposed convolution, if the padding does not add
      outputs that read no sample.

    Everything else goes to lax: other numbers of spatial dimensions, `batch_group_count`, other and mixed dtypes, a
    `preferred_element_type` that is not the dtype of the operands, `out_sharding`, empty arrays and invalid arguments.

    Args:
        lhs: (batch, in_channels, length), or with its axes in the order of `dimension_numbers`.
        rhs: (out_channels, in_channels // feature_group_count, kernel_size), likewise.
        window_strides: As in `jax.lax.conv_general_dilated`, like all arguments up to `out_sharding`.
        padding: See `window_strides`.
        lhs_dilation: See `window_strides`.
        rhs_dilation: See `window_strides`.
        dimension_numbers: See `window_strides`.
        feature_group_count: See `window_strides`.
        batch_group_count: See `window_strides`.
        precision: See `window_strides`.
        preferred_element_type: See `window_strides`.
        out_sharding: See `window_strides`.
        algorithm: As in `jconv.conv1d`, with the same guarantees. It does not affect calls that go to lax.

    Returns:
        (batch, out_channels, out_length), likewise, with the dtype of lax's result.

    Raises:
        ValueError: `algorithm` is unknown.
        Exception: All errors of `jax.lax.conv_general_dilated`.

    >>> x, kernel = jnp.arange(4.0).reshape(1, 4, 1), jnp.ones((2, 1, 1))
    >>> y = conv_general_dilated(x, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
    >>> y[0, :, 0].tolist()
    [1.0, 3.0, 5.0, 3.0]
    """
    algorithm = resolve_algorithm(algorithm)
    is_plain = batch_group_count == 1 and out_sharding is None
    if is_plain and _has_supported_types(lhs, rhs, preferred_element_type):
        axes = jax.lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
        sizes = window_strides, padding, lhs_dilation, rhs_dilation, feature_group_count
        case, canonical = _parse_case(lhs.shape, rhs.shape, axes, *sizes), _parse_precision(precision)
        if case and canonical:
            how = {"algorithm": algorithm, "precision": canonical[0]}
            return _compute(jnp.asarray(lhs), jnp.asarray(rhs), axes, case, how)
    return jax.lax.conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=dimension_numbers,
        feature_group_count=feature_group_count,
        batch_group_count=batch_group_count,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )


class _Case(NamedTuple):
    """A call that jconv computes: a convolution of the cropped `lhs`, or the input gradient of a convolution."""

    geometry: Geometry
    crop: tuple[int, int] = (0, 0)
    transposed: bool = False


def _compute(lhs: jax.Array, rhs: jax.Array, axes: Any, case: _Case, how: dict[str, Any]) -> jax.Array:
    batch, channels, time = axes.lhs_spec
    x, kernel = jnp.transpose(lhs, (batch, time, channels)), jnp.transpose(rhs, axes.rhs_spec[::-1])
    if case.transposed:
        # The input gradient reverses the kernel and swaps its channels. Doing both here undoes this.
        y = bilinear.input_gradient(x, transpose_kernel(kernel, case.geometry), case.geometry, **how)
    else:
        x = pad(x, *case.crop) if any(case.crop) else x
        y = bilinear.forward(x, kernel, case.geometry, **how)
    return jnp.moveaxis(y, (0, 2, 1), axes.out_spec)


def _has_supported_types(lhs: Any, rhs: Any, preferred_element_type: Any) -> bool:
    if not all(isinstance(operand, (jax.Array, np.ndarray)) for operand in (lhs, rhs)):
        return False
    x, kernel = jax.typeof(lhs), jax.typeof(rhs)
    if x.weak_type and kernel.weak_type:
        return False  # lax's result has a weak type too, jconv's never
    out_dtype = x.dtype if preferred_element_type is None else preferred_element_type
    same = x.dtype == kernel.dtype and bool(x.dtype == out_dtype)
    return same and x.dtype.name in DTYPES and x.ndim == kernel.ndim == 3


def _parse_precision(precision: Any) -> tuple[Canonical] | None:
    """Returns the canonical precision in a tuple, or None if it is invalid."""
    try:
        return (canonical_precision(precision),)
    except ValueError:
        return None


def _parse_case(
    lhs_shape: Any,
    rhs_shape: Any,
    axes: Any,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any,
    rhs_dilation: Any,
    groups: Any,
) -> _Case | None:
    """Returns the call as a case, or None for calls that go to lax."""
    if any(sorted(spec) != [0, 1, 2] for spec in axes):
        return None
    batch, channels, length = (lhs_shape[axis] for axis in axes.lhs_spec)
    out_channels, in_per_group, kernel_size = (rhs_shape[axis] for axis in axes.rhs_spec)
    lhs_dilation, rhs_dilation = ((1,) if d is None else d for d in (lhs_dilation, rhs_dilation))
    numbers = [_single_integer(n) for n in (window_strides, lhs_dilation, rhs_dilation, (groups,))]
    sizes = [channels, out_channels, in_per_group, kernel_size, *numbers]
    sizes += [size for size in (batch, length) if not is_symbolic(size)]
    if not all(is_integer(size) and size > 0 for size in sizes):
        return None
    stride, lhs_dilation, dilation, groups = numbers
    ends = _parse_padding(padding, length, reach(kernel_size, dilation), stride, lhs_dilation)
    if ends is None or channels != in_per_group * groups or out_channels % groups:
        return None
    if lhs_dilation == 1:
        return _make_convolution(Geometry(length, kernel_size, stride, *ends, dilation, groups))
    if stride == 1 and not is_symbolic(length):
        return _make_transposed(Geometry(length, kernel_size, lhs_dilation, *ends, dilation, groups))
    return None


def _single_integer(values: Any) -> int:
    """Returns the integer of a sequence of length one, or 0, which no case accepts."""
    try:
        (value,) = values
    except (TypeError, ValueError):
        return 0
    return int(value) if is_integer(value) else 0


def _parse_padding(padding: Any, length: Any, span: int, stride: int, lhs_dilation: int) -> tuple[Any, Any] | None:
    """Returns `(low, high)` of lax's `padding`, or None if it is invalid."""
    if isinstance(padding, str):
        if lhs_dilation != 1:
            return None
        (ends,) = jax.lax.padtype_to_pads((length,), (span,), (stride,), padding)
    else:
        try:
            (ends,) = [(operator.index(low), operator.index(high)) for low, high in padding]
        except (TypeError, ValueError):
            return None
    low, high = (int(end) if is_integer(end) else end for end in ends)
    return low, high


def _make_convolution(g: Geometry) -> _Case | None:
    """Returns the case of a convolution. Negative padding crops."""
    if is_symbolic(g.length):
        # lax's named paddings are never negative. Whether negative numbers are valid depends on the length.
        named = any(is_symbolic(end) for end in (g.low, g.high))
        return _Case(g) if named or min(g.low, g.high) >= 0 else None
    crop = min(g.low, 0), min(g.high, 0)
    length = g.length + sum(crop)
    geometry = replace(g, length=length, low=max(g.low, 0), high=max(g.high, 0))
    return _Case(geometry, crop) if length > 0 and geometry.out_length > 0 else None


def _make_transposed(g: Geometry) -> _Case | None:
    """Returns the case of a convolution of stride one whose input is dilated by `g.stride` and padded.

    It is the input gradient of a convolution with stride `g.stride`. If the padding exceeds the reach of the taps, some
    outputs read no sample, and there is no such convolution.
    """
    span, stride = g.reach, g.stride
    out_length = (g.length - 1) * stride + 1 + g.low + g.high - (span - 1)
    # The last stride of a convolution may leave up to stride - 1 samples unused.
    if out_length < 1 or g.low > span - 1 or g.high > span - 1 + stride - 1:
        return None
    low, high = span - 1 - g.low, max(span - 1 - g.high, 0)
    return _Case(replace(g, length=out_length, low=low, high=high), transposed=True)
