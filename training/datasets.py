"""Series to train on: built-in sets by name, a user's by path, checked and with labels numbered.

Every mistake in a file is one `UserError`; positions in its message count from 1.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .errors import UserError
from .readers import Part, read

Array = np.ndarray[Any, Any]

# The built-in sets: the file in `training/data`, and the words for the labels that the archive only numbers.
BUILT_IN = {"gunpoint": ("gunpoint.npz", {"1": "gun-draw", "2": "point"})}


class Dataset(NamedTuple):
    """Series of equal length with their labels.

    `x_train` and `x_test` are (n, length, channels) float64; `y_train` and `y_test` (n,) int32 numbers of classes;
    `classes` their names, in the order of those numbers. `x_test` and `y_test` are None where there is no test set.
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array | None
    y_test: Array | None
    classes: tuple[str, ...]


def load(source: str) -> Dataset:
    """The data set with the built-in name, or in the file, `source`.

    Raises `UserError` for an unknown name, what `readers.read` refuses, missing or infinite values, series of
    unequal length, a channel that never changes, and a test set that does not fit the training set.

    >>> data = load("gunpoint")
    >>> data.x_train.shape, data.x_test.shape, data.classes
    ((50, 150, 1), (150, 150, 1), ('gun-draw', 'point'))
    """
    if source in BUILT_IN:
        file, words = BUILT_IN[source]
        with resources.as_file(resources.files("training") / "data" / file) as path:
            return _dataset(source, *read(path), words)
    path = Path(source)
    if not path.suffix and not path.exists():
        raise UserError(f"there is no file {source!r} and no built-in data set of that name; built in: {_names()}")
    return _dataset(path.stem.removesuffix("_TRAIN"), *read(path), {})


def standardize(data: Dataset) -> tuple[Dataset, Array, Array]:
    """`data` with each channel's training mean at 0 and its standard deviation at 1, and those two, (channels,).

    The test set is moved and scaled by the training set's numbers.

    >>> scaled, mean, deviation = standardize(load("gunpoint"))
    >>> bool(abs(scaled.x_train.mean()) < 1e-12), mean.shape
    (True, (1,))
    """
    mean, deviation = data.x_train.mean((0, 1)), data.x_train.std((0, 1))
    test = None if data.x_test is None else (data.x_test - mean) / deviation
    return data._replace(x_train=(data.x_train - mean) / deviation, x_test=test), mean, deviation


def check_classes(data: Dataset) -> None:
    """Raise `UserError` unless there is something to tell apart: two classes, and none in the test set alone."""
    seen = [data.classes[number] for number in np.unique(data.y_train)]
    if data.y_test is not None:
        for number in np.unique(data.y_test):
            if data.classes[number] not in seen:
                raise UserError(
                    f"{data.name}: the label {data.classes[number]!r} is in the test set and not in the training set"
                )
    if len(seen) < 2:
        raise UserError(f"{data.name}: all training series have the label {seen[0]!r}; at least two classes are needed")


def _names() -> str:
    return ", ".join(sorted(BUILT_IN))


def _dataset(name: str, train: Part, test: Part | None, words: dict[str, str]) -> Dataset:
    _check_values(name, "training", train.x)
    _check_varies(name, train.x)
    if test is not None:
        _check_values(name, "test", test.x)
        if test.x.shape[1:] != train.x.shape[1:]:
            raise UserError(f"{name}: test series are {_sizes(test.x)}, training series {_sizes(train.x)}")
    labels = _ordered({*train.labels, *(test.labels if test else [])})
    number = {label: index for index, label in enumerate(labels)}

    def numbered(part: Part) -> Array:
        return np.array([number[label] for label in part.labels], np.int32)

    return Dataset(
        name,
        train.x,
        numbered(train),
        None if test is None else test.x,
        None if test is None else numbered(test),
        tuple(words.get(label, label) for label in labels),
    )


def _check_values(name: str, part: str, x: Array) -> None:
    bad = np.argwhere(~np.isfinite(x))
    if not len(bad):
        return
    series, sample, channel = (int(index) for index in bad[0])
    missing = np.isnan(x[series]).all(axis=-1)
    if missing.any() and missing[np.argmax(missing) :].all():
        raise UserError(
            f"{name}: series of unequal length are not supported: {part} series {series + 1} has "
            f"no values from sample {np.argmax(missing) + 1} on"
        )
    where = f"sample {sample + 1}" + (f", channel {channel + 1}" if x.shape[-1] > 1 else "")
    value = "missing (NaN)" if np.isnan(x[series, sample, channel]) else "infinite"
    raise UserError(f"{name}: {part} series {series + 1} is {value} at {where}")


def _check_varies(name: str, x: Array) -> None:
    for channel in range(x.shape[-1]):
        if np.ptp(x[..., channel]) == 0:
            which = f"channel {channel + 1} of " if x.shape[-1] > 1 else ""
            value = x[0, 0, channel]
            raise UserError(f"{name}: {which}the training series is {value:g} everywhere; there is nothing to learn")


def _sizes(x: Array) -> str:
    return f"{x.shape[1]} samples of {x.shape[2]} channel" + ("s" if x.shape[2] > 1 else "")


def _ordered(labels: set[str]) -> list[str]:
    """Numbers by value, if all are numbers; else text by the alphabet."""
    try:
        return sorted(labels, key=lambda label: (float(label), label))
    except ValueError:
        return sorted(labels)
