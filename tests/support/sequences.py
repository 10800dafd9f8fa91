"""Ragged and packed arrays for the tests: random sizes, NaN padding, and each sequence alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from jconv.reference.sequences import runs


def with_nan_padding(x: np.ndarray, lengths: Any = None, segment_ids: Any = None) -> np.ndarray:
    """`x` (..., length, channels) with NaN in its padding."""
    if lengths is not None:
        padding = np.arange(x.shape[-2]) >= np.asarray(lengths)[..., None]
    else:
        padding = np.asarray(segment_ids) < 0
    return np.where(padding[..., None], np.nan, x).astype(x.dtype)


def drawn_ids(rng: np.random.Generator, length: int) -> np.ndarray:
    """Ids (length,) of segments of one sample up to most of the row, some of them padding; ids may repeat."""
    ids: list[int] = []
    while len(ids) < length:
        name = int(rng.integers(-1, 9))
        if not ids or name != ids[-1]:
            ids += [name] * int(rng.integers(1, rng.choice([4, length])))
    return np.array(ids[:length], np.int32)


def pieces(lengths: Any = None, segment_ids: Any = None) -> list[tuple[Any, slice]]:
    """The index of the row and the slice of samples of each sequence."""
    if lengths is not None:
        return [(row, slice(0, int(n))) for row, n in np.ndenumerate(np.asarray(lengths)) if n]
    ids = np.asarray(segment_ids)
    return [(row, slice(a, b)) for row in np.ndindex(*ids.shape[:-1]) for a, b, _ in runs(ids[row])]
