"""NumPy: what a ragged or packed array means, which is a function of each of its sequences alone.

`jconv.conv1d(params, x, lengths=n)` is `one_by_one(lambda row: reference.conv1d(params, row), x, lengths=n)`, and so
with everything else that takes `lengths` or `segment_ids`.
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
    """`function` of each sequence of `x` alone, and where its samples are.

    `x` is (..., length, channels) and `function` maps (n, channels) to (m, out_channels); it raises `ShortInput`, as
    the functions of `reference` do, for an n of which nothing comes out. Either `lengths`, integers (...,), says the
    samples of each row; the result is then (..., out_length, out_channels) and the lengths (...,) that came out, where
    out_length is what comes out of the complete length. Or `segment_ids`, integers (..., length), has a run of one id
    for each sequence, negative where there is none; the result is then (..., scale * length, out_channels) and its ids
    (..., scale * length). The output of a segment begins at `scale` times where it begins. What is no output is 0, and
    its id -1.

    Raises `ValueError` unless one of the two is given, and where an output of a segment reaches into the next; and any
    other error of `function`.

    >>> twice = lambda x: np.repeat(x[::2], 1, axis=0)
    >>> y, lengths = one_by_one(twice, np.ones((2, 4, 1)), lengths=[3, 1])
    >>> y[..., 0].tolist(), lengths.tolist()
    ([[1.0, 1.0], [1.0, 0.0]], [2, 1])
    >>> y, ids = one_by_one(twice, np.ones((4, 1)), segment_ids=[5, 5, 5, 2])
    >>> y[..., 0].tolist(), ids.tolist()
    ([1.0, 1.0, 0.0, 1.0], [5, 5, -1, 2])
    """
    x = np.asarray(x)
    if (lengths is None) == (segment_ids is None):
        raise ValueError("one_by_one needs either lengths or segment_ids")
    whole = np.asarray(function(x.reshape(-1, *x.shape[-2:])[0]))
    if lengths is not None:
        y = np.zeros((*x.shape[:-2], *whole.shape), whole.dtype)
        out = np.zeros(x.shape[:-2], int)
        for row in np.ndindex(*x.shape[:-2]):
            alone = _of(function, x[row][: np.asarray(lengths)[row]])
            if alone is not None:
                out[row] = len(alone)
                y[row][: len(alone)] = alone
        return y, out
    length = scale * x.shape[-2]
    y = np.zeros((*x.shape[:-2], length, whole.shape[-1]), whole.dtype)
    out = np.full((*x.shape[:-2], length), -1)
    for row in np.ndindex(*x.shape[:-2]):
        for begin, end, name in runs(np.asarray(segment_ids)[row]):
            alone = _of(function, x[row][begin:end])
            if alone is None:
                continue
            if len(alone) > scale * (end - begin):
                raise ValueError(f"{len(alone)} samples of output do not fit where {end - begin} of a segment were")
            place = slice(scale * begin, scale * begin + len(alone))
            y[row][place], out[row][place] = alone, name
    return y, out


def runs(segment_ids: Array) -> Iterator[tuple[int, int, int]]:
    """Begin, end and id of each run of one id that is not negative.

    >>> list(runs(np.array([2, 2, -1, 0])))
    [(0, 2, 2), (3, 4, 0)]
    """
    borders = np.flatnonzero(np.diff(segment_ids)) + 1
    for begin, end in zip([0, *borders], [*borders, len(segment_ids)], strict=True):
        if end > begin and segment_ids[begin] >= 0:
            yield int(begin), int(end), int(segment_ids[begin])


def _of(function: Callable[[Array], Any], sequence: Array) -> Array | None:
    """The output, None where the sequence is empty or shorter than the window of one output."""
    try:
        return np.asarray(function(sequence)) if len(sequence) else None
    except ShortInput:
        return None
