"""The `axis` option of layers, in which axis 0 is the batch."""

from __future__ import annotations

from typing import Any, TypeGuard

from ..geometry import is_integer
from .base import Layer

Axes = int | tuple[int, ...]


def as_axes(layer: Layer, axis: Any) -> Axes:
    """`axis` as an integer or a tuple of integers; raises `ValueError` for anything else."""
    if isinstance(axis, (list, tuple)) and axis and all(_is_integer(a) for a in axis):
        return tuple(int(a) for a in axis)
    if not _is_integer(axis):
        raise ValueError(f"{type(layer).__name__}: axis must be an integer or a list of integers, got {axis!r}")
    return int(axis)


def as_axis(layer: Layer, axis: Any) -> int:
    """`axis`, an integer or a list of one integer, as an integer; raises `ValueError` for anything else."""
    if isinstance(axis, (list, tuple)) and len(axis) == 1:
        axis = axis[0]
    if not _is_integer(axis):
        raise ValueError(f"{type(layer).__name__}: axis must be an integer or a list of one integer, got {axis!r}")
    return int(axis)


def as_tuple(value: Axes) -> tuple[int, ...]:
    """An integer as a tuple of one; a tuple is returned as it is."""
    return (value,) if isinstance(value, int) else value


def axis_positions(layer: Layer, axis: Axes, input_shape: Any) -> tuple[int, ...]:
    """Nonnegative axis numbers, in the given order. Axis 0 is the batch; `input_shape` has the sizes of the others.

    Raises `ValueError` for the batch axis, axes out of range and repeated axes.

    >>> axis_positions(Layer(), (-1, 1), (10, 3))
    (2, 1)
    """
    rank = len(input_shape) + 1
    found = tuple(a + rank if a < 0 else a for a in as_tuple(axis))
    if not all(0 < a < rank for a in found) or len(set(found)) < len(found):
        raise ValueError(
            f"{type(layer).__name__}: axis={axis} must be distinct axes of the input other than 0, the batch, got "
            f"shape {tuple(input_shape)} after the batch axis"
        )
    return found


def axis_sizes(layer: Layer, axis: Axes, input_shape: Any) -> tuple[int, ...]:
    """The sizes of the axes; raises `ValueError` if one is unknown."""
    sizes = tuple(input_shape[a - 1] for a in axis_positions(layer, axis, input_shape))
    if None in sizes:
        raise ValueError(
            f"{type(layer).__name__} needs an input whose size along axis={axis} is known, got shape "
            f"{tuple(input_shape)}"
        )
    return sizes


def broadcast_shape(sizes: Any, axis: Any, rank: int) -> tuple[int, ...]:
    """A shape with `rank` axes: `sizes` along the axes `axis`, and 1 along all others.

    >>> broadcast_shape((3,), (2,), 3)
    (1, 1, 3)
    """
    shape = [1] * rank
    for position, size in zip(axis, sizes, strict=True):
        shape[position] = size
    return tuple(shape)


def broadcasts_to(shape: tuple[int, ...], sizes: Any) -> bool:
    """Whether an array of `shape` broadcasts to `sizes`, as in NumPy.

    >>> broadcasts_to((1, 3), (2, 5, 3)), broadcasts_to((3,), (3, 1))
    (True, False)
    """
    pairs = zip(reversed(shape), reversed(tuple(sizes)), strict=False)
    return len(shape) <= len(sizes) and all(a in (1, b) for a, b in pairs)


def spans_length(axis: Axes) -> bool:
    """Whether `axis` may include axis 1, the length of a sequence. An axis below -1 may, depending on the rank."""
    return any(a == 1 or a < -1 for a in as_tuple(axis))


def _is_integer(value: Any) -> TypeGuard[int]:
    return is_integer(value)
