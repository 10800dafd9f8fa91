"""NumPy functions that convert lists of sequences to ragged and packed arrays, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def pad(sequences: Sequence[Any], length: int | None = None) -> tuple[Array, Array]:
    """Convert sequences to a ragged array: one sequence per row, followed by zeros.

    Args:
      sequences: arrays (n, channels), each with its own n.
      length: the length of the rows; by default the length of the longest sequence.

    Returns:
      `(x, lengths)`: (rows, length, channels) and (rows,) of int32.

    Raises:
      ValueError: for no sequence, for sequences with different numbers of channels, and for a sequence longer than
        `length`.

    >>> x, lengths = pad([np.ones((2, 1)), np.ones((3, 1))])
    >>> x[..., 0].tolist(), lengths.tolist()
    ([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], [2, 3])
    """
    arrays, length = _check(sequences, length)
    x = np.zeros((len(arrays), length, arrays[0].shape[1]), arrays[0].dtype)
    for row, array in zip(x, arrays, strict=True):
        row[: len(array)] = array
    return x, np.array([len(array) for array in arrays], np.int32)


def pack(sequences: Sequence[Any], length: int | None = None) -> tuple[Array, Array]:
    """Convert sequences to a packed array: several sequences per row, one after the other.

    Sequences are placed from the longest to the shortest, each into the first row that has room for it.

    Args:
      sequences: arrays (n, channels), each with its own n.
      length: the length of the rows; by default the length of the longest sequence.

    Returns:
      `(x, segment_ids)`: (rows, length, channels) and (rows, length) of int32. The id of a sequence is its index in the
      list; padding has the id -1.

    Raises:
      ValueError: as `pad`.

    >>> x, segment_ids = pack([np.ones((2, 1)), np.ones((3, 1)), np.ones((1, 1))], length=4)
    >>> segment_ids.tolist()
    [[1, 1, 1, 2], [0, 0, -1, -1]]
    """
    arrays, length = _check(sequences, length)
    used: list[int] = []
    slices = {}
    for index in sorted(range(len(arrays)), key=lambda index: -len(arrays[index])):
        size = len(arrays[index])
        row = next((row for row, start in enumerate(used) if start + size <= length), len(used))
        used += [0] * (row == len(used))
        slices[index] = row, slice(used[row], used[row] + size)
        used[row] += size
    x = np.zeros((len(used), length, arrays[0].shape[1]), arrays[0].dtype)
    segment_ids = np.full((len(used), length), -1, np.int32)
    for index, place in slices.items():
        x[place], segment_ids[place] = arrays[index], index
    return x, segment_ids


def unpack(x: Any, segment_ids: Any, count: int | None = None) -> list[Array]:
    """Convert a packed array to a list of sequences.

    Args:
      x: (rows, length, ...).
      segment_ids: integers (rows, length).
      count: the length of the list; by default one more than the largest id.

    Returns:
      For each id from 0 to `count - 1` its samples (n, ...), where n is 0 for an id that does not occur.

    >>> [array.tolist() for array in unpack(np.arange(8.0).reshape(2, 4), [[1, 1, 1, 2], [0, 0, -1, -1]])]
    [[4.0, 5.0], [0.0, 1.0, 2.0], [3.0]]
    """
    x, segment_ids = np.asarray(x), np.asarray(segment_ids)
    count = int(segment_ids.max(initial=-1)) + 1 if count is None else count
    return [x[segment_ids == index] for index in range(count)]


def _check(sequences: Sequence[Any], length: int | None) -> tuple[list[Array], int]:
    arrays = [np.asarray(sequence) for sequence in sequences]
    shapes = [array.shape for array in arrays]
    if not arrays or any(len(shape) != 2 or shape[1] != shapes[0][1] for shape in shapes):
        raise ValueError(f"sequences must be arrays (n, channels) of the same channels, got shapes {shapes}")
    longest = max(shape[0] for shape in shapes)
    if length is not None and longest > length:
        raise ValueError(f"length must be at least the length of the longest sequence, {longest}, got {length}")
    return arrays, longest if length is None else length
