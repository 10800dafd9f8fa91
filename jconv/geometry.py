"""Integers only: padding, output length and reach of a 1-D convolution.

Everything here is arithmetic on sizes, so it runs without NumPy or JAX. Sizes may also be the symbolic
dimensions of `jax.export`, which behave like integers; a check that such a dimension cannot decide is left out. The
length that `pad_amounts` and `Geometry` take may be an array of lengths.

The formulas are those of `docs/background/operations.md`. "same" is TensorFlow's and Keras's rule: the output has
`ceil(length / stride)` samples and the odd sample of padding goes to the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

from .hints import MODES, did_you_mean, known_arguments, meant

Padding = str | int | tuple[int, int]
"""`"valid"`, `"same"`, `"causal"`, `"full"`, one number for both ends, or `(low, high)`."""

PADDINGS = ("valid", "same", "causal", "full")
PADDING_MODES = ("zeros", "reflect", "edge", "wrap")


class ShortInput(ValueError):
    """An input that is shorter than the window of one output, or than what is cropped: nothing comes out."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """The integers of one convolution: what `x`, `kernel` and `y` have to do with each other in time.

    `y[t] = sum_k x[t * stride + k * dilation - low] * kernel[k]`, where `x` is zero outside its `length` samples.
    `low` and `high` are samples of zeros before and after. All fields are samples, except `groups`.
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
        """Samples from the first to the last that one output reads: `(kernel_size - 1) * dilation + 1`."""
        return reach(self.kernel_size, self.dilation)

    @property
    def out_length(self) -> int:
        """Samples of output: `(length + low + high - reach) // stride + 1`."""
        return (self.length + self.low + self.high - self.reach) // self.stride + 1

    @property
    def pointwise(self) -> bool:
        """Whether each output sample is one input sample by a matrix: kernel size 1, stride 1, one group."""
        return self.kernel_size == self.stride == self.groups == 1

    def __repr__(self) -> str:
        # What a reader of a jaxpr wants first, without the defaults.
        words = [f"length={self.length}", f"kernel_size={self.kernel_size}"]
        words += [f"stride={self.stride}"] if self.stride != 1 else []
        words += [f"padding=({self.low}, {self.high})"] if (self.low, self.high) != (0, 0) else []
        words += [f"dilation={self.dilation}"] if self.dilation != 1 else []
        words += [f"groups={self.groups}"] if self.groups != 1 else []
        return f"Geometry({', '.join(words)})"


def reach(kernel_size: int, dilation: int = 1) -> int:
    """Samples from the first to the last that one output reads.

    >>> reach(5), reach(5, dilation=3)
    (5, 13)
    """
    return (kernel_size - 1) * dilation + 1


def pad_amounts(
    length: int, kernel_size: int, *, stride: int = 1, padding: Padding = "valid", dilation: int = 1
) -> tuple[int, int]:
    """Samples of padding before and after, `(low, high)`, for a named or numeric `padding`.

    Raises `ValueError` for an unknown name, a negative number, or something that is neither.

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
    if isinstance(padding, (list, tuple)) and len(padding) == 1:  # lax's and Keras's, one for each spatial axis
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
    """Check the integers of a convolution and put them together.

    Raises `ValueError` that names the argument for a size below one, `ShortInput` for an input shorter than the reach.
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
    """Samples of output of a 1-D convolution.

    Raises `ValueError` for sizes below one, an unknown padding, and an input shorter than the reach.

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
    """The convolution whose input gradient is Keras's `Conv1DTranspose` of an input of `length` samples.

    The geometry's `out_length` is `length`; its `length` is what the transposed convolution returns. As Keras:
    without `output_padding` "same" gives `length * stride` and "valid" gives
    `length * stride + max(reach - stride, 0)`; with it, `(length - 1) * stride + reach + output_padding`, less
    `2 * (reach // 2)` for "same".
    """
    length, kernel_size = check_positive("length", length), check_positive("kernel_size", kernel_size)
    stride, dilation = check_positive("stride", stride), check_positive("dilation", dilation)
    if padding not in ("valid", "same"):
        hint = meant(padding, ("valid", "same"))
        hint = did_you_mean(None if hint is None else repr(hint))
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
    """True for Python and NumPy integers, false for booleans, floats, arrays and symbolic dimensions."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_symbolic(value: Any) -> bool:
    """True for a symbolic dimension of `jax.export`; by its type's name, so that JAX is not imported for it."""
    return type(value).__name__ == "_DimExpr"


def check_positive(name: str, value: Any) -> Any:
    """`value`, an integer above zero as Python's own `int`, or a symbolic dimension; else raise `ValueError`."""
    if is_symbolic(value):
        return value
    if not (is_integer(value) and value > 0):
        alone = isinstance(value, (list, tuple)) and len(value) == 1 and is_integer(value[0]) and value[0] > 0
        hint = str(value[0]) if alone else None
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}{did_you_mean(hint)}")
    return int(value)


def _at_least_zero(size: Any) -> Any:
    if is_symbolic(size):
        return size.max(0)
    # Also for an array of sizes, of NumPy or JAX.
    return max(size, 0) if is_integer(size) else size.clip(0)
