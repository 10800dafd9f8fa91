"""Defines functions of ragged and packed arrays: each sequence is computed alone.

`jconv.conv1d(params, x, lengths=n)` is `one_by_one(lambda row: reference.conv1d(params, row), x, lengths=n)`. The same
holds for every function with `lengths` or `segment_ids`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..geometry import ShortInput

Array = np.ndarray[Any, Any]


def one_by_one(
    function: Callable[[Array], Any], x: Any, *, lengths: Any = None, segment_ids: Any = None, scale: int = 1
) -> tuple[Array, Array]:
    """Applies a function to each sequence of `x` as if it were alone.

    Args:
        function: Maps (n, channels) to (m, out_channels). It raises `ShortInput` if the sequence is too short for an
            output, as the functions of this package do.
        x: (..., length, channels).
        lengths: Integers (...,): the number of samples of each row.
        segment_ids: Integers (..., length): each run of equal ids is one sequence; negative ids are padding.
        scale: With `segment_ids`, the output has `scale` times the length, and the output of a segment starts at
            `scale` times the position where the segment starts.

    Returns:
        With `lengths`: the outputs (..., out_length, out_channels), where out_length is the output length for the
        complete length, and their lengths (...,). With `segment_ids`: the outputs
        (..., scale * length, out_channels), and their ids (..., scale * length), -1 where there is no output. The
        outputs are 0 where there is no sample.

    Raises:
        ValueError: Neither or both of `lengths` and `segment_ids` are given, or the output of a segment overlaps the
            next segment.
        Exception: All errors of `function` except `ShortInput`.

    >>> halve = lambda x: x[::2]
    >>> y, lengths = one_by_one(halve, np.ones((2, 4, 1)), lengths=[3, 1])
    >>> y[..., 0].tolist(), lengths.tolist()
    ([[1.0, 1.0], [1.0, 0.0]], [2, 1])
    >>> y, ids = one_by_one(halve, np.ones((4, 1)), segment_ids=[5, 5, 5, 2])
    >>> y[..., 0].tolist(), ids.tolist()
    ([1.0, 1.0, 0.0, 1.0], [5, 5, -1, 2])
    """
    x = np.asarray(x)
    if (lengths is None) == (segment_ids is None):
        raise ValueError("one_by_one needs either lengths or segment_ids")
    complete = np.asarray(function(x.reshape(-1, *x.shape[-2:])[0]))
    if lengths is not None:
        y = np.zeros((*x.shape[:-2], *complete.shape), complete.dtype)
        out = np.zeros(x.shape[:-2], int)
        for row in np.ndindex(*x.shape[:-2]):
            own = _apply(function, x[row][: np.asarray(lengths)[row]])
            if own is not None:
                out[row] = len(own)
                y[row][: len(own)] = own
        return y, out
    length = scale * x.shape[-2]
    y = np.zeros((*x.shape[:-2], length, complete.shape[-1]), complete.dtype)
    out = np.full((*x.shape[:-2], length), -1)
    for row in np.ndindex(*x.shape[:-2]):
        for begin, end, name in runs(np.asarray(segment_ids)[row]):
            own = _apply(function, x[row][begin:end])
            if own is None:
                continue
            if len(own) > scale * (end - begin):
                raise ValueError(
                    f"a segment of {end - begin} samples has {len(own)} outputs, more than {scale} per sample; "
                    "the next segment would be overwritten"
                )
            place = slice(scale * begin, scale * begin + len(own))
            y[row][place], out[row][place] = own, name
    return y, out


def runs(segment_ids: Array) -> Iterator[tuple[int, int, int]]:
    """Finds the runs of equal ids that are not negative.

    Args:
        segment_ids: Integers (length,).

    Returns:
        An iterator over tuples (begin, end, id).

    >>> list(runs(np.array([2, 2, -1, 0])))
    [(0, 2, 2), (3, 4, 0)]
    """
    boundaries = np.flatnonzero(np.diff(segment_ids)) + 1
    for begin, end in zip([0, *boundaries], [*boundaries, len(segment_ids)], strict=True):
        if end > begin and segment_ids[begin] >= 0:
            yield int(begin), int(end), int(segment_ids[begin])


def _apply(function: Callable[[Array], Any], sequence: Array) -> Array | None:
    """Returns the output, or None if the sequence is too short for one."""
    try:
        return np.asarray(function(sequence)) if len(sequence) else None
    except ShortInput:
        return None
