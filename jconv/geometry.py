"""Integer arithmetic: padding, output length and reach of a 1-D convolution, without NumPy or JAX.

Sizes may also be symbolic dimensions of `jax.export`, which behave like integers. Checks that a symbolic dimension
cannot decide are skipped. The length of `pad_amounts` and `Geometry` may be an array of lengths.

"same" padding follows TensorFlow and Keras: the output has `ceil(length / stride)` samples, and if the number of
padding samples is odd, the additional one is at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

from .hints import MODES, did_you_mean, known_arguments, meant, suggest

Padding = str | int | tuple[int, int]
"""`"valid"`, `"same"`, `"causal"`, `"full"`, the number of samples at both ends, or `(low, high)`."""

PADDINGS = ("valid", "same", "causal", "full")
PADDING_MODES = ("zeros", "reflect", "edge", "wrap")


class ShortInput(ValueError):
    """The input is too short: there is no output."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """The integers of one convolution.

    `y[t] = sum_k x[t * stride + k * dilation - low] * kernel[k]`, where `x` is zero outside its `length` samples.

    Attributes:
        length: Samples of `x`.
        kernel_size: Number of taps.
        stride: Samples from one window to the next.
        low: Zeros before `x`.
        high: Zeros after `x`.
        dilation: Samples from one tap to the next.
        groups: Number of groups of channels.
    """

    length: int
    kernel_size: int
    stride: int = 1
    low: int = 0
    high: int = 0
    dilation: int = 1
    groups: int = 1

    @property
    def reach(self) -> int:
        """Samples from the first to the last that one output reads, inclusive: `(kernel_size - 1) * dilation + 1`."""
        return reach(self.kernel_size, self.dilation)

    @property
    def out_length(self) -> int:
        """Number of outputs: `(length + low + high - reach) // stride + 1`."""
        return (self.length + self.low + self.high - self.reach) // self.stride + 1

    @property
    def pointwise(self) -> bool:
        """Whether this is a matrix product: kernel size 1, stride 1, one group."""
        return self.kernel_size == self.stride == self.groups == 1

    def __repr__(self) -> str:
        # Defaults are omitted, so that jaxprs stay readable.
        fields = [f"length={self.length}", f"kernel_size={self.kernel_size}"]
        fields += [f"stride={self.stride}"] if self.stride != 1 else []
        fields += [f"padding=({self.low}, {self.high})"] if (self.low, self.high) != (0, 0) else []
        fields += [f"dilation={self.dilation}"] if self.dilation != 1 else []
        fields += [f"groups={self.groups}"] if self.groups != 1 else []
        return f"Geometry({', '.join(fields)})"


def reach(kernel_size: int, dilation: int = 1) -> int:
    """Returns the samples from the first to the last that one output reads, inclusive.

    >>> reach(5), reach(5, dilation=3)
    (5, 13)
    """
    return (kernel_size - 1) * dilation + 1


def pad_amounts(
    length: int, kernel_size: int, *, stride: int = 1, padding: Padding = "valid", dilation: int = 1
) -> tuple[int, int]:
    """Returns the samples of padding before and after, `(low, high)`.

    Raises:
        ValueError: `padding` is an unknown name, contains a negative number, or has another type.

    >>> pad_amounts(100, 12, stride=12, padding="same")
    (4, 4)
    >>> pad_amounts(10, 3, padding="causal", dilation=4)
    (8, 0)
    """
    overhang = reach(kernel_size, dilation) - 1
    if isinstance(padding, str):
        if padding == "valid":
            return 0, 0
        if padding == "causal":
            return overhang, 0
        if padding == "full":
            return overhang, overhang
        if padding == "same":
            windows = -(-length // stride)
            total = _at_least_zero((windows - 1) * stride + overhang + 1 - length)
            return total // 2, total - total // 2
        raise _unknown_padding(padding)
    ends = (padding, padding) if is_integer(padding) else padding
    if isinstance(ends, (tuple, list)) and len(ends) == 2 and all(is_integer(end) for end in ends):
        low, high = (int(end) for end in ends)  # pyright: ignore[reportArgumentType]
        if low < 0 or high < 0:
            raise ValueError(f"padding must not be negative, got {(low, high)}; crop x by slicing it instead")
        return low, high
    raise _unknown_padding(padding)


def _unknown_padding(padding: Any) -> ValueError:
    hint = meant(padding, PADDINGS)
    hint = None if hint is None else repr(hint)
    if hint is None and (mode := meant(padding, PADDING_MODES, MODES)):
        hint = f"padding_mode={mode!r}"
    if isinstance(padding, (list, tuple)) and len(padding) == 1:  # lax and Keras have one per spatial axis.
        hint = str(padding[0])
    names = ", ".join(PADDINGS)
    return ValueError(f"padding must be one of {names}, an int or (low, high), got {padding!r}{did_you_mean(hint)}")


def make_geometry(
    length: int,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: Padding = "valid",
    dilation: int = 1,
    groups: int = 1,
) -> Geometry:
    """Checks the sizes and options of a convolution and returns its geometry.

    Args:
        length: Samples of the input.
        kernel_size: Number of taps.
        stride: Samples from one window to the next.
        padding: As in `conv1d`.
        dilation: Samples from one tap to the next.
        groups: Number of groups of channels.

    Returns:
        The `Geometry`, with the padding as numbers.

    Raises:
        ValueError: A size is less than 1, or the padding is invalid.
        ShortInput: The padded input is shorter than the reach.

    >>> make_geometry(100, 5, padding="causal")
    Geometry(length=100, kernel_size=5, padding=(4, 0))
    """
    length, kernel_size = check_positive("length", length), check_positive("kernel_size", kernel_size)
    stride, dilation = check_positive("stride", stride), check_positive("dilation", dilation)
    groups = check_positive("groups", groups)
    low, high = pad_amounts(length, kernel_size, stride=stride, padding=padding, dilation=dilation)
    geometry = Geometry(length, kernel_size, stride, low, high, dilation, groups)
    if is_integer(length) and length + low + high < geometry.reach:
        raise ShortInput(
            f"x has {length} samples, {length + low + high} with padding, but kernel_size={kernel_size} with "
            f"dilation={dilation} reaches over {geometry.reach}; pad x or use a smaller kernel"
        )
    return geometry


@known_arguments
def output_length(
    length: int, kernel_size: int, *, stride: int = 1, padding: Padding = "valid", dilation: int = 1
) -> int:
    """Returns the number of output samples of a 1-D convolution.

    Args:
        length: Samples of the input.
        kernel_size: Number of taps.
        stride: Samples from one window to the next.
        padding: As in `conv1d`.
        dilation: Samples from one tap to the next.

    Returns:
        `(length + low + high - reach) // stride + 1`, where reach is `(kernel_size - 1) * dilation + 1`.

    Raises:
        ValueError: A size is less than 1, the padding is invalid, or the padded input is shorter than the reach.

    >>> output_length(100, 12, stride=12, padding="same")
    9
    """
    return make_geometry(length, kernel_size, stride=stride, padding=padding, dilation=dilation).out_length


def transposed_geometry(
    length: int,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: str = "valid",
    output_padding: int | None = None,
    dilation: int = 1,
) -> Geometry:
    """Returns the geometry of the convolution whose input gradient is Keras's `Conv1DTranspose`.

    Its `out_length` is `length`, and its `length` is the output length of the transposed convolution. As in Keras, this
    is `length * stride` for "same" and `length * stride + max(reach - stride, 0)` for "valid" without
    `output_padding`. With `output_padding`, it is `(length - 1) * stride + reach + output_padding` for "valid", and
    `2 * (reach // 2)` less for "same".

    Raises:
        ValueError: A size is less than 1, or `padding` or `output_padding` is invalid.
        ShortInput: There is no output.
    """
    length, kernel_size = check_positive("length", length), check_positive("kernel_size", kernel_size)
    stride, dilation = check_positive("stride", stride), check_positive("dilation", dilation)
    if padding not in ("valid", "same"):
        hint = suggest(padding, ("valid", "same"))
        raise ValueError(f"padding of a transposed convolution must be valid or same, got {padding!r}{hint}")
    if output_padding is not None and not (is_integer(output_padding) and 0 <= output_padding < stride):
        raise ValueError(f"output_padding must be None or at least 0 and below stride={stride}, got {output_padding!r}")
    output_padding = None if output_padding is None else int(output_padding)
    span = reach(kernel_size, dilation)
    unpadded = (length - 1) * stride + span
    if padding == "valid":
        out = unpadded + (_at_least_zero(stride - span) if output_padding is None else output_padding)
        return Geometry(out, kernel_size, stride, 0, 0, dilation)
    out = length * stride if output_padding is None else unpadded - 2 * (span // 2) + output_padding
    if is_integer(out) and out < 1:
        raise ShortInput(
            f"a transposed convolution of {length} samples with kernel_size={kernel_size}, stride={stride}, "
            f"dilation={dilation}, output_padding={output_padding} and same padding would return {out} samples"
        )
    crop = _at_least_zero(unpadded - out)
    return Geometry(out, kernel_size, stride, crop // 2, crop - crop // 2, dilation)


def is_integer(value: Any) -> bool:
    """Returns whether a value is a Python or NumPy integer, and not a boolean, an array or a symbolic dimension."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_symbolic(value: Any) -> bool:
    """Returns whether a value is a symbolic dimension of `jax.export`, by its type's name, without importing JAX."""
    return type(value).__name__ == "_DimExpr"


def check_positive(name: str, value: Any) -> Any:
    """Returns `value` as an `int`, or unchanged if it is symbolic. Raises `ValueError` unless it is at least 1."""
    if is_symbolic(value):
        return value
    if not (is_integer(value) and value > 0):
        is_single = isinstance(value, (list, tuple)) and len(value) == 1 and is_integer(value[0]) and value[0] > 0
        hint = str(value[0]) if is_single else None
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}{did_you_mean(hint)}")
    return int(value)


def _at_least_zero(size: Any) -> Any:
    if is_symbolic(size):
        return size.max(0)
    # `size` may also be an array of NumPy or JAX.
    return max(size, 0) if is_integer(size) else size.clip(0)
