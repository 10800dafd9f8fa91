"""Sets of the UCR and UEA archives by name, read with aeon: those inside its package, others from the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError

Array = np.ndarray[Any, Any]

EQUAL_LENGTH_SUFFIX = "_eq"
"""Behind a set's name: its series brought to one length by aeon, the ends of shorter ones filled with noise.

What is published for sets of unequal length is mostly of padded series: hfawaz/dl-4-tsc 49.
"""

EXTRA = 'data sets by name need aeon: pip install "aeon>=1.4,<2"'


def packaged() -> list[str]:
    """The names of the sets that aeon's package holds, which need no network."""
    folder = _folder()
    return sorted({path.parent.name for path in folder.glob("*/*_TRAIN.ts")} & {*_classifications(), *_regressions()})


def is_known(name: str) -> bool:
    """Whether aeon knows a set of this name, which may end in `EQUAL`."""
    return name.removesuffix(EQUAL_LENGTH_SUFFIX) in {*_classifications(), *_regressions()}


def load(name: str, cache: Path) -> dict[str, tuple[Array, list[str]]]:
    """`"train"` and `"test"`: series (n, length, channels) float64 and their labels; NaN follows a shorter series.

    The labels of a regression set are numbers. `name` may end in `EQUAL`.

    A set that is not in aeon's package is fetched, once, into `cache`.

    Raises `UserError` where it cannot be had.
    """
    import aeon.datasets

    own = name.removesuffix(EQUAL_LENGTH_SUFFIX)
    load_one = aeon.datasets.load_classification if own in _classifications() else aeon.datasets.load_regression
    folder = None if own in packaged() else cache
    parts = {}
    for part in ("train", "test"):
        try:
            loaded: Any = load_one(own, split=part, extract_path=folder and str(folder), load_equal_length=own != name)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{name}: is not in aeon's package and could not be fetched: {reason}") from None
        parts[part] = pad_series(loaded[0]), [str(label) for label in loaded[1]]
    return parts


def pad_series(series: Sequence[Array]) -> Array:
    """aeon's series (channels, length) as (n, length, channels) float64, NaN behind those that are shorter.

    >>> pad_series([np.ones((1, 3)), np.zeros((1, 2))])[:, :, 0].tolist()
    [[1.0, 1.0, 1.0], [0.0, 0.0, nan]]
    """
    longest = max(one.shape[1] for one in series)
    x = np.full((len(series), longest, series[0].shape[0]), np.nan)
    for row, one in zip(x, series, strict=True):
        row[: one.shape[1]] = one.T
    return x


def _classifications() -> set[str]:
    try:
        from aeon.datasets import tsc_datasets
    except ImportError:
        raise UserError(EXTRA) from None
    return {*tsc_datasets.univariate, *tsc_datasets.multivariate}


def _regressions() -> set[str]:
    from aeon.datasets import tser_datasets

    return {*tser_datasets.tser_soton, *tser_datasets.tser_monash}


def _folder() -> Path:
    import aeon.datasets

    return Path(aeon.datasets.__file__).parent / "data"
