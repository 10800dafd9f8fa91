"""`jax.lax.conv_general_dilated` with this project's primitives behind it where they can be.

A call is taken apart into one of the two cases below, or it is none and goes to lax as it came: so whatever lax refuses
is refused by lax, in lax's words.
"""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..algorithms.operands import pad, transpose_kernel
from ..checks import DTYPES
from ..geometry import Geometry, is_integer, is_symbolic, reach
from ..planner import AUTO
from ..primitive import bilinear
from ..primitive.precision import Canonical, canonical_precision
from .default_algorithm import resolved


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
    """`jax.lax.conv_general_dilated`: its arguments, its meaning, its errors; 1-D convolutions are computed by jconv.

    For code that takes or calls lax's function: `nnx.Conv(..., conv_general_dilated=jconv.conv_general_dilated)` in
    Flax, one name swapped in Haiku or plain JAX.

    Ours are, in any layout of `dimension_numbers`, operands of one type, float32, float64, bfloat16 or float16, with
    one spatial dimension and either

    - no `lhs_dilation`, and any stride, dilation, groups and padding, by name or in numbers, negative ones included;
    - `lhs_dilation` above one and stride one, a transposed convolution: the input gradient of a convolution, where
      the padding does not add outputs that no sample reaches.

    lax's is everything else: more spatial dimensions or none, `batch_group_count`, other and mixed types, a
    `preferred_element_type` that is not the operands' own, `out_sharding`, empty arrays, and arguments that are wrong.

    Args:
      lhs: (batch, in_channels, length), or with its axes as `dimension_numbers` says.
      rhs: (out_channels, in_channels // feature_group_count, kernel_size), likewise.
      window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, feature_group_count, batch_group_count,
        precision, preferred_element_type, out_sharding: as in `jax.lax.conv_general_dilated`.
      algorithm: as in `jconv.conv1d`, with the same guarantee; calls that are lax's do not depend on it.

    Returns:
      (batch, out_channels, out_length), likewise, of the type that lax gives it.

    Raises:
      What lax raises, and ValueError for an unknown `algorithm`.

    >>> x, kernel = jnp.arange(4.0).reshape(1, 4, 1), jnp.ones((2, 1, 1))
    >>> y = conv_general_dilated(x, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
    >>> y[0, :, 0].tolist()
    [1.0, 3.0, 5.0, 3.0]
    """
    algorithm = resolved(algorithm)
    plain = batch_group_count == 1 and out_sharding is None
    if plain and _types_are_ours(lhs, rhs, preferred_element_type):
        axes = jax.lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
        sizes = window_strides, padding, lhs_dilation, rhs_dilation, feature_group_count
        case, asked = _case(lhs.shape, rhs.shape, axes, *sizes), _precision(precision)
        if case and asked:
            how = {"algorithm": algorithm, "precision": asked[0]}
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
    """A call that is ours: the convolution of `lhs`, cropped at its ends, or the input gradient of a convolution."""

    geometry: Geometry
    crop: tuple[int, int] = (0, 0)
    transposed: bool = False


def _compute(lhs: jax.Array, rhs: jax.Array, axes: Any, case: _Case, how: dict[str, Any]) -> jax.Array:
    batch, channels, time = axes.lhs_spec
    x, kernel = jnp.transpose(lhs, (batch, time, channels)), jnp.transpose(rhs, axes.rhs_spec[::-1])
    if case.transposed:
        # Our input gradient reverses the kernel and swaps its channels; doing it first as well undoes that.
        y = bilinear.input_gradient(x, transpose_kernel(kernel, case.geometry), case.geometry, **how)
    else:
        x = pad(x, *case.crop) if any(case.crop) else x
        y = bilinear.forward(x, kernel, case.geometry, **how)
    return jnp.moveaxis(y, (0, 2, 1), axes.out_spec)


def _types_are_ours(lhs: Any, rhs: Any, preferred_element_type: Any) -> bool:
    if not all(isinstance(operand, (jax.Array, np.ndarray)) for operand in (lhs, rhs)):
        return False
    x, kernel = jax.typeof(lhs), jax.typeof(rhs)
    if x.weak_type and kernel.weak_type:
        return False  # lax's result is weak too, and ours never is
    wanted = x.dtype if preferred_element_type is None else preferred_element_type
    same = x.dtype == kernel.dtype and bool(x.dtype == wanted)
    return same and x.dtype.name in DTYPES and x.ndim == kernel.ndim == 3


def _precision(precision: Any) -> tuple[Canonical] | None:
    """The canonical precision, in a tuple; None for what lax refuses."""
    try:
        return (canonical_precision(precision),)
    except ValueError:
        return None


def _case(
    lhs_shape: Any,
    rhs_shape: Any,
    axes: Any,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any,
    rhs_dilation: Any,
    groups: Any,
) -> _Case | None:
    """The call as one of ours, or None if it is none or wrong."""
    if any(sorted(spec) != [0, 1, 2] for spec in axes):
        return None
    batch, channels, length = (lhs_shape[axis] for axis in axes.lhs_spec)
    out_channels, in_per_group, kernel_size = (rhs_shape[axis] for axis in axes.rhs_spec)
    lhs_dilation, rhs_dilation = ((1,) if d is None else d for d in (lhs_dilation, rhs_dilation))
    numbers = [_only(n) for n in (window_strides, lhs_dilation, rhs_dilation, (groups,))]
    sizes = [channels, out_channels, in_per_group, kernel_size, *numbers]
    sizes += [size for size in (batch, length) if not is_symbolic(size)]
    if not all(is_integer(size) and size > 0 for size in sizes):
        return None
    stride, spread, dilation, groups = numbers
    ends = _ends(padding, length, reach(kernel_size, dilation), stride, spread)
    if ends is None or channels != in_per_group * groups or out_channels % groups:
        return None
    if spread == 1:
        return _convolution(Geometry(length, kernel_size, stride, *ends, dilation, groups))
    if stride == 1 and not is_symbolic(length):
        return _transposed(Geometry(length, kernel_size, spread, *ends, dilation, groups))
    return None


def _only(values: Any) -> int:
    """The one integer of a sequence; 0, which is refused, for anything else."""
    try:
        (value,) = values
    except (TypeError, ValueError):
        return 0
    return int(value) if is_integer(value) else 0


def _ends(padding: Any, length: Any, span: int, stride: int, spread: int) -> tuple[Any, Any] | None:
    """`(low, high)` of a padding in lax's terms, or None for what lax refuses."""
    if isinstance(padding, str):
        if spread != 1:
            return None
        (ends,) = jax.lax.padtype_to_pads((length,), (span,), (stride,), padding)
    else:
        try:
            (ends,) = [(operator.index(low), operator.index(high)) for low, high in padding]
        except (TypeError, ValueError):
            return None
    low, high = (int(end) if is_integer(end) else end for end in ends)
    return low, high


def _convolution(asked: Geometry) -> _Case | None:
    """The case of a convolution whose padding may be negative, which crops."""
    if is_symbolic(asked.length):
        # lax's named paddings are never negative; numbers that are would have to be weighed against the length.
        named = any(is_symbolic(end) for end in (asked.low, asked.high))
        return _Case(asked) if named or min(asked.low, asked.high) >= 0 else None
    crop = min(asked.low, 0), min(asked.high, 0)
    length = asked.length + sum(crop)
    geometry = replace(asked, length=length, low=max(asked.low, 0), high=max(asked.high, 0))
    return _Case(geometry, crop) if length > 0 and geometry.out_length > 0 else None


def _transposed(asked: Geometry) -> _Case | None:
    """The case of a convolution, stride one, of an input spread out by `asked.stride` and padded.

    It is the input gradient of the convolution, with that stride, from its output to its input. Where the padding is
    more than the taps reach, outputs would be added that no sample of that input has a part in: no such case.
    """
    span, spread = asked.reach, asked.stride
    out_length = (asked.length - 1) * spread + 1 + asked.low + asked.high - (span - 1)
    # The last stride of a convolution may leave up to stride - 1 samples over.
    if out_length < 1 or asked.low > span - 1 or asked.high > span - 1 + spread - 1:
        return None
    low, high = span - 1 - asked.low, max(span - 1 - asked.high, 0)
    return _Case(replace(asked, length=out_length, low=low, high=high), transposed=True)
