"""Data sets: built in, from the archives by name, or from a user's files, checked and with labels as numbers.

Every error in a file is a `UserError` in one line; positions in its message count from 1.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array
from ..errors import UserError, first_line
from . import archives, readers, synthetic, tables
from .parts import DataPart, is_number

# The function that draws each set, and the sizes of its training and test part.
SYNTHETIC = {"cbf": (synthetic.cbf, (30, 900)), "bursts": (synthetic.bursts, (60, 200))}
BUILT_IN = ("gunpoint", *SYNTHETIC)
GUNPOINT_CLASSES = ("gun-draw", "point")


class Dataset(NamedTuple):
    """Series with their labels; the fields of the test set are None without one.

    Attributes:
        name: the name in messages.
        x_train: series (n, length, channels) float64.
        y_train: class numbers, int32: (n,), or (n, length) if each sample has a label.
        x_test: the series of the test set.
        y_test: their class numbers.
        classes: the names of the classes, in the order of their numbers.
        lengths_train: the number of samples of each series (n,) int32, after which it is padded with zeros; None if all
            have the same length.
        lengths_test: the same for the test set.
        targets_train: the labels (n,) float64 if all are numbers, else None.
        targets_test: the same for the test set.
        notes: lines about what the reader had to guess.
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array | None
    y_test: Array | None
    classes: tuple[str, ...]
    lengths_train: Array | None = None
    lengths_test: Array | None = None
    targets_train: Array | None = None
    targets_test: Array | None = None
    notes: tuple[str, ...] = ()

    @property
    def has_sample_labels(self) -> bool:
        """Whether each sample has a label."""
        return self.y_train.ndim == 2

    @property
    def has_fractional_labels(self) -> bool:
        """Whether labels are numbers, and some have fractions: targets of a regression."""
        parts = [own for own in (self.targets_train, self.targets_test) if own is not None]
        return any((own != np.round(own)).any() for own in parts)


class Series(NamedTuple):
    """Series without labels: x (n, length, channels), `lengths` (n,) if some are shorter, and the reader's notes."""

    x: Array
    lengths: Array | None
    notes: tuple[str, ...] = ()


def load(source: str, channels_first: bool = False) -> Dataset:
    """The data set of a file, or of that name.

    Args:
        source: a file that `readers.read` reads, one of `BUILT_IN`, or the name of a set in the archives.
        channels_first: whether arrays are (n, channels, length) in the file.

    Raises:
        UserError: for an unknown name, an unreadable file, missing or infinite values, a constant channel, and a test
            set that does not fit the training set.

    >>> data = load("gunpoint")
    >>> data.x_train.shape, data.x_test.shape, data.classes
    ((50, 150, 1), (150, 150, 1), ('gun-draw', 'point'))
    """
    data = _read(source, channels_first)
    check_varies(data)
    return data


def from_arrays(
    x_train: Any,
    y_train: Any,
    x_test: Any = None,
    y_test: Any = None,
    *,
    name: str = "data",
    channels_first: bool = False,
) -> Dataset:
    """A data set of arrays like those in a `.npz` file.

    Args:
        x_train: series (n, length) or (n, length, channels), NaN after the end of shorter ones.
        y_train: labels (n,), text or numbers, also a column of pandas, or (n, length) with the class of each sample.
        x_test: the series of a test set, if there is one.
        y_test: their labels.
        name: the name of the data in errors.
        channels_first: whether series are (n, channels, length).

    Raises:
        UserError: as `load` does.

    >>> from_arrays(np.eye(4), ["up", "down", "up", "down"]).classes
    ('down', 'up')
    """
    if (x_test is None) != (y_test is None):
        raise UserError(f"{name}: a test set needs both x_test and y_test")
    arrays = {"x_train": x_train, "y_train": y_train}
    if x_test is not None:
        arrays |= {"x_test": x_test, "y_test": y_test}
    arrays = {key: _array(f"{name}: {key}", values) for key, values in arrays.items()}
    data = _dataset(name, readers.parts_of(name, arrays, channels_first))
    check_varies(data)
    return data


def series(
    source: str,
    length: int,
    is_fixed: bool = True,
    labels: str | None = None,
    channels_first: bool = False,
    has_classes: bool = False,
) -> Series:
    """Series to predict for, whose labels are not used.

    Args:
        source: a `.npy` file of series (n, length) or (n, length, channels), NaN after the end of shorter ones; a table
            with or without labels; or what `load` accepts, of which the test set is taken if there is one.
        length: the length of the longest training series.
        is_fixed: whether all training series have that length.
        labels: whether the rows of a table begin with a label, `"first"` or `"none"`; by default see
            `tables.unlabeled`.
        channels_first: whether arrays are (n, channels, length) in the file.
        has_classes: whether labels are classes, which are not numbers with fractions.

    Raises:
        UserError: as `load` does, but constant channels are allowed.
    """
    path = Path(source)
    suffix, notes = path.suffix.lower(), ()
    if labels is not None and suffix not in tables.DELIMITERS:
        supported = " or ".join(tables.DELIMITERS)
        raise UserError(f"{source}: --labels {labels} is for tables, files that end in {supported}")
    if suffix in tables.DELIMITERS:
        readers.check_channels_first(source, channels_first)
        part = readers.unlabeled(path, length, is_fixed, labels, has_classes)
        x, notes = part.x, part.notes
    elif suffix == ".npy":
        x = readers.array(path, channels_first)
    else:
        data = _read(source, channels_first)
        if data.x_test is None:
            return Series(data.x_train, data.lengths_train, data.notes)
        return Series(data.x_test, data.lengths_test, data.notes)
    lengths = _series_lengths(path.name, "new", x)
    return Series(_padded(x, lengths, x.shape[1])[0], lengths, notes)


def sample_mask(x: Any, lengths: Any) -> Any:
    """Which samples (n, length) of x (n, length, channels) are not padding; without `lengths` none are.

    A JAX array if `lengths` are one.
    """
    return np.arange(x.shape[1]) < (np.full(len(x), x.shape[1]) if lengths is None else lengths)[:, None]


def check_classes(data: Dataset, by_sample: bool = False) -> None:
    """Raise `UserError` unless the training set has two classes, and every class of the test set.

    `by_sample` says that each sample must have a label, else each series.
    """
    if data.has_sample_labels and not by_sample:
        raise UserError(f"{data.name}: each sample has a label; --task segment learns them")
    if by_sample and not data.has_sample_labels:
        raise UserError(
            f"{data.name}: --task segment needs a label for each sample, arrays y_train and y_test of shape (n, length)"
        )
    if data.has_fractional_labels:
        raise UserError(f"{data.name}: labels are numbers with fractions, not classes; --task regression learns them")
    seen = [data.classes[number] for number in _present(data.x_train, data.y_train, data.lengths_train)]
    if data.x_test is not None and data.y_test is not None:
        for number in _present(data.x_test, data.y_test, data.lengths_test):
            if data.classes[number] not in seen:
                raise UserError(
                    f"{data.name}: the label {data.classes[number]!r} is in the test set and not in the training set"
                )
    if len(seen) < 2:
        what = "samples" if by_sample else "series"
        raise UserError(f"{data.name}: all training {what} have the label {seen[0]!r}; at least two classes are needed")


def check_varies(data: Dataset) -> None:
    """Raise `UserError` for a channel that is constant in the training series."""
    samples = data.x_train[sample_mask(data.x_train, data.lengths_train)]
    for channel in np.flatnonzero(np.ptp(samples, axis=0) == 0):
        which = f"channel {channel + 1} of " if samples.shape[1] > 1 else ""
        value = f"{samples[0, channel]:g} everywhere"
        raise UserError(f"{data.name}: {which}the training series is {value}; there is nothing to learn")


def _read(source: str, channels_first: bool = False) -> Dataset:
    """As `load`, but constant channels are allowed."""
    path = Path(source)
    if source not in BUILT_IN and (path.suffix or os.path.exists(path)):
        return _dataset(path.stem.removesuffix("_TRAIN"), readers.read(path, channels_first))
    readers.check_channels_first(source, channels_first)
    if source == "gunpoint":
        with resources.as_file(resources.files("training") / "data" / "gunpoint.npz") as path:
            return _dataset(source, readers.read(path))._replace(classes=GUNPOINT_CLASSES)
    if source in SYNTHETIC:
        draw, sizes = SYNTHETIC[source]
        rng = np.random.default_rng(0)
        return _dataset(source, [draw(rng, size) for size in sizes])
    if not archives.is_known(source):
        raise UserError(
            f"there is no file {source!r} and no data set of that name; built in: {', '.join(BUILT_IN)}; "
            f"in aeon's package: {', '.join(archives.packaged())}"
        )
    return _dataset(source, archives.load(source))


def _array(what: str, values: Any) -> Array:
    """Values as an array; text is an array of the kind `str`, as pandas and NumPy have others too."""
    try:
        found = np.asarray(values)
    except ValueError as error:
        words = "must be one array, with NaN after the end of shorter series"
        raise UserError(f"{what} {words}: {first_line(error)}") from None
    is_text = found.dtype.kind in "OT" and all(isinstance(value, str) for value in found.flat)
    return np.array(found.tolist(), str) if is_text else found


def _present(x: Array, y: Array, lengths: Array | None) -> Array:
    """The class numbers that occur."""
    return np.unique(y[sample_mask(x, lengths)] if y.ndim == 2 else y)


def _dataset(name: str, parts: Sequence[DataPart]) -> Dataset:
    """The data set of a training part and, if there is one, a test part."""
    kinds = ("training", "test")[: len(parts)]
    lengths = [_series_lengths(name, kind, part.x) for kind, part in zip(kinds, parts, strict=True)]
    is_ragged = any(own is not None for own in lengths)
    if len(parts) > 1:
        _check_test(name, parts[0], parts[1], is_ragged)
    x, longest = [part.x for part in parts], max(part.x.shape[1] for part in parts)
    if is_ragged:
        padded = [_padded(part.x, own, longest) for part, own in zip(parts, lengths, strict=True)]
        x, lengths = [own for own, _ in padded], [own for _, own in padded]
    labels = _sorted_labels({label for part in parts for label in part.labels})
    y = [_class_numbers(part, labels, longest) for part in parts]
    found: dict[str, list[Any]] = {"x": x, "y": y, "lengths": lengths, "targets": _targets(parts)}
    arrays: dict[str, Any] = {f"{field}_train": both[0] for field, both in found.items()}
    arrays |= {f"{field}_test": both[1] if len(parts) > 1 else None for field, both in found.items()}
    return Dataset(
        name=name,
        classes=tuple(labels),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        **arrays,
    )


def _check_test(name: str, train: DataPart, test: DataPart, is_ragged: bool) -> None:
    """Raise `UserError` unless the test part has the channels, the length and the kind of labels of the training part.

    The length may differ if the series within a part differ in length (`is_ragged`).
    """
    if test.x.shape[2] != train.x.shape[2] or not (is_ragged or test.x.shape[1] == train.x.shape[1]):
        raise UserError(f"{name}: test series are {_size(test.x)}, training series {_size(train.x)}")
    if (train.sample_labels is None) != (test.sample_labels is None):
        per = ["series" if part.sample_labels is None else "sample" for part in (train, test)]
        raise UserError(f"{name}: y_train has one label per {per[0]}, y_test one label per {per[1]}")


def _size(x: Array) -> str:
    return f"{x.shape[1]} samples of {x.shape[2]} channel" + ("s" if x.shape[2] > 1 else "")


def _class_numbers(part: DataPart, labels: Sequence[str], longest: int) -> Array:
    """The labels of a part as indices in `labels`; labels of samples are padded to the length `longest`."""
    number = {label: index for index, label in enumerate(labels)}
    numbers = np.array([number[label] for label in part.labels], np.int32)
    if part.sample_labels is None:
        return numbers
    padding = longest - part.sample_labels.shape[1]
    return np.pad(np.where(part.sample_labels < 0, 0, numbers[part.sample_labels]), ((0, 0), (0, padding)))


def _targets(parts: Sequence[DataPart]) -> list[Array | None]:
    """The labels of each part as numbers; None for all parts unless each series has a finite number."""
    none: list[Array | None] = [None] * len(parts)
    if parts[0].sample_labels is not None or not all(is_number(label) for part in parts for label in part.labels):
        return none
    targets = [np.array(part.labels, np.float64) for part in parts]
    return [*targets] if all(np.isfinite(own).all() for own in targets) else none


def _series_lengths(name: str, kind: str, x: Array) -> Array | None:
    """The length of each series without the NaN at its end; None if all have the same. Checks the values."""
    missing = np.all(np.isnan(x), axis=-1)
    lengths = np.where(missing.all(1), 0, x.shape[1] - np.argmin(missing[:, ::-1], axis=1))
    if not lengths.all():
        raise UserError(f"{name}: {kind} series {int(np.argmin(lengths)) + 1} has no values")
    bad = np.argwhere(~np.isfinite(x) & sample_mask(x, lengths)[..., None])
    if len(bad):
        series, sample, channel = bad[0]
        where = f"sample {sample + 1}" + (f", channel {channel + 1}" if x.shape[-1] > 1 else "")
        value = "missing (NaN)" if np.isnan(x[series, sample, channel]) else "infinite"
        raise UserError(f"{name}: {kind} series {series + 1} is {value} at {where}")
    return None if (lengths == x.shape[1]).all() else lengths.astype(np.int32)


def _padded(x: Array, lengths: Array | None, longest: int) -> tuple[Array, Array]:
    """The series padded with zeros to the length `longest`, and their lengths."""
    own = np.full(len(x), x.shape[1], np.int32) if lengths is None else lengths
    x = np.where(sample_mask(x, own)[..., None], x, 0)
    return np.pad(x, ((0, 0), (0, longest - x.shape[1]), (0, 0))), own


def _sorted_labels(labels: set[str]) -> list[str]:
    """Labels by value if all are numbers, else alphabetically."""
    are_numbers = all(map(is_number, labels))
    return sorted(labels, key=lambda label: (float(label) if are_numbers else 0, label))
