"""Data sets of the UCR and UEA archives by name, read with aeon: from its package, or downloaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import UserError
from .parts import DataPart, pad_series

EQUAL_LENGTH_SUFFIX = "_eq"
"""The end of a name that selects series of one length: aeon fills the ends of shorter ones with noise.

Most published results on sets of unequal length are for such series: hfawaz/dl-4-tsc 49.
"""

EXTRA = 'data sets by name need aeon: pip install "aeon>=1.4,<2"'


def packaged() -> list[str]:
    """The names of the data sets in aeon's package, which need no download."""
    import aeon.datasets

    files = Path(aeon.datasets.__file__).parent.glob("data/*/*_TRAIN.ts")
    return sorted({path.parent.name for path in files} & {*_classifications(), *_regressions()})


def is_known(name: str) -> bool:
    """Whether aeon has a data set of this name, which may end in `EQUAL_LENGTH_SUFFIX`."""
    return name.removesuffix(EQUAL_LENGTH_SUFFIX) in {*_classifications(), *_regressions()}


def load(name: str) -> list[DataPart]:
    """The training and the test part of a data set; `name` may end in `EQUAL_LENGTH_SUFFIX`.

    Sets outside aeon's package are downloaded once, to `jconv/archives` in `$XDG_CACHE_HOME`, by default `~/.cache`.
    Raises `UserError` if that fails.
    """
    import aeon.datasets

    aeon_name = name.removesuffix(EQUAL_LENGTH_SUFFIX)
    is_class = aeon_name in _classifications()
    load_part = aeon.datasets.load_classification if is_class else aeon.datasets.load_regression
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jconv" / "archives"
    folder = None if aeon_name in packaged() else str(cache)
    parts = []
    for part in ("train", "test"):
        try:
            loaded: Any = load_part(aeon_name, split=part, extract_path=folder, load_equal_length=aeon_name != name)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{name}: is not in aeon's package and could not be downloaded: {reason}") from None
        parts.append(DataPart(pad_series([one.T for one in loaded[0]]), [str(label) for label in loaded[1]]))
    return parts


def _classifications() -> set[str]:
    try:
        from aeon.datasets import tsc_datasets
    except ImportError:
        raise UserError(EXTRA) from None
    return {*tsc_datasets.univariate, *tsc_datasets.multivariate}


def _regressions() -> set[str]:
    from aeon.datasets import tser_datasets

    return {*tser_datasets.tser_soton, *tser_datasets.tser_monash}
