"""NumPy: a list of sequences into one ragged or packed array, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def pad(sequences: Sequence[Any], length: int | None = None) -> tuple[Array, Array]:
    """`(x, lengths)`: one sequence (n, channels) a row, zeros behind it, (rows, length, channels) and (rows,).

    `length` is by default that of the longest. Raises `ValueError` for no sequence at all, for sequences of unlike
    channels, and for one longer than `length`.

    >>> x, lengths = pad([np.ones((2, 1)), np.ones((3, 1))])
    >>> x[..., 0].tolist(), lengths.tolist()
    ([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], [2, 3])
    """
    arrays, length = _checked(sequences, length)
    x = np.zeros((len(arrays), length, arrays[0].shape[1]), arrays[0].dtype)
    for row, array in zip(x, arrays, strict=True):
        row[: len(array)] = array
    return x, np.array([len(array) for array in arrays], np.int32)


def pack(sequences: Sequence[Any], length: int | None = None) -> tuple[Array, Array]:
    """`(x, segment_ids)`: several sequences (n, channels) a row, (rows, length, channels) and (rows, length).

    The id of a sequence is its number in the list, -1 is padding. The longest come first, each into the first row with
    room for it. `length` is by default that of the longest. Raises `ValueError` as `pad`.

    >>> x, segment_ids = pack([np.ones((2, 1)), np.ones((3, 1)), np.ones((1, 1))], length=4)
    >>> segment_ids.tolist()
    [[1, 1, 1, 2], [0, 0, -1, -1]]
    """
    arrays, length = _checked(sequences, length)
    filled: list[int] = []
    places = {}
    for number in sorted(range(len(arrays)), key=lambda number: -len(arrays[number])):
        size = len(arrays[number])
        row = next((row for row, used in enumerate(filled) if used + size <= length), len(filled))
        filled += [0] * (row == len(filled))
        places[number] = row, slice(filled[row], filled[row] + size)
        filled[row] += size
    x = np.zeros((len(filled), length, arrays[0].shape[1]), arrays[0].dtype)
    segment_ids = np.full((len(filled), length), -1, np.int32)
    for number, (row, samples) in places.items():
        x[row, samples], segment_ids[row, samples] = arrays[number], number
    return x, segment_ids


def unpack(x: Any, segment_ids: Any, count: int | None = None) -> list[Array]:
    """The samples (n, ...) of each id from 0 to `count` less 1, from `x` (rows, length, ...) and ids (rows, length).

    `count` is by default one more than the greatest id. An id that is not there has no samples.

    >>> [array.tolist() for array in unpack(np.arange(8.0).reshape(2, 4), [[1, 1, 1, 2], [0, 0, -1, -1]])]
    [[4.0, 5.0], [0.0, 1.0, 2.0], [3.0]]
    """
    x, segment_ids = np.asarray(x), np.asarray(segment_ids)
    count = int(segment_ids.max(initial=-1)) + 1 if count is None else count
    return [x[segment_ids == number] for number in range(count)]


def _checked(sequences: Sequence[Any], length: int | None) -> tuple[list[Array], int]:
    arrays = [np.asarray(sequence) for sequence in sequences]
    shapes = [array.shape for array in arrays]
    if not arrays or any(len(shape) != 2 or shape[1] != shapes[0][1] for shape in shapes):
        raise ValueError(f"sequences must be arrays (n, channels) of the same channels, got shapes {shapes}")
    longest = max(shape[0] for shape in shapes)
    if length is not None and longest > length:
        raise ValueError(f"length must be at least that of the longest sequence, {longest}, got {length}")
    return arrays, longest if length is None else length
