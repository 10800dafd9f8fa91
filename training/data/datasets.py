"""Series to train on: archive sets by name, a user's by path, checked and with labels numbered.

Every mistake in a file is one `UserError`; positions in its message count from 1.
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import UserError
from . import archives, bursts, cbf, readers, tables
from .parts import Array, Part

# Sets that need no other package; gunpoint's archive only numbers its labels.
BUILT_IN = ("gunpoint", "cbf", "bursts")
GUNPOINT_WORDS = {"1": "gun-draw", "2": "point"}
CBF_SIZES, BURSTS_SIZES = (30, 900), (60, 200)


class Dataset(NamedTuple):
    """Series with their labels.

    `x_train` and `x_test` are (n, length, channels) float64; `y_train` and `y_test` (n,) int32 numbers of classes, or
    (n, length) where each sample has one, 0 behind shorter series; `classes` their names, in the order of those
    numbers. `x_test` and `y_test` are None where there is no test set. `lengths_train` and `lengths_test` (n,) int32
    say how many samples are each series's own where not all are; behind them are zeros. `targets_train` and
    `targets_test` (n,) float64 are the labels where all of them are numbers. `notes` say, a line each, what the reader
    decided that the file leaves open.
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
        """Whether the labels are numbers and not all whole: those of a regression."""
        parts = [own for own in (self.targets_train, self.targets_test) if own is not None]
        return any((own != np.round(own)).any() for own in parts)


class Series(NamedTuple):
    """Series without their labels: x (n, length, channels), `lengths` (n,) where some are shorter, and `notes`."""

    x: Array
    lengths: Array | None
    notes: tuple[str, ...] = ()


def load(source: str, channels_first: bool = False) -> Dataset:
    """The data set of that name, built in or of the archives, or in that file.

    With `channels_first` arrays are (n, channels, length) in the file. Raises `UserError` for an unknown name, what
    `readers.read` refuses, missing or infinite values, a channel that never changes, and a test set that does not fit
    the training set.

    >>> data = load("gunpoint")
    >>> data.x_train.shape, data.x_test.shape, data.classes
    ((50, 150, 1), (150, 150, 1), ('gun-draw', 'point'))
    """
    data = _read(source, channels_first)
    check_varies(data.name, data.x_train, data.lengths_train)
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
    """A data set of arrays, as of those in a `.npz` file.

    Args:
        x_train: series (n, length) or (n, length, channels), NaN behind the shorter ones.
        y_train: labels (n,), text or numbers, or (n, length) with the class of each sample.
        x_test: the series of a test set, if there is one.
        y_test: their labels.
        name: what the data are called in errors.
        channels_first: whether series are (n, channels, length).

    Raises:
        UserError: as `load` does.

    >>> from_arrays(np.eye(4), ["up", "down", "up", "down"]).classes
    ('down', 'up')
    """
    if (x_test is None) != (y_test is None):
        raise UserError(f"{name}: a test set needs both x_test and y_test")
    train, *test = (
        readers.part_of(name, np.asarray(x), np.asarray(y), part, channels_first)
        for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test))
        if x is not None
    )
    data = _dataset(name, train, test[0] if test else None, {})
    check_varies(data.name, data.x_train, data.lengths_train)
    return data


def _read(source: str, channels_first: bool = False) -> Dataset:
    """As `load`, also where nothing changes."""
    path = Path(source)
    if source not in BUILT_IN and (path.suffix or path.exists()):
        return _dataset(path.stem.removesuffix("_TRAIN"), *readers.read(path, channels_first), {})
    readers.check_channels_first(source, channels_first)
    if source == "gunpoint":
        with resources.as_file(resources.files("training") / "data" / "gunpoint.npz") as path:
            return _dataset(source, *readers.read(path), GUNPOINT_WORDS)
    if source in ("cbf", "bursts"):
        rng = np.random.default_rng(0)
        draw, sizes = (_cbf, CBF_SIZES) if source == "cbf" else (_bursts, BURSTS_SIZES)
        train, test = (draw(rng, size) for size in sizes)
        return _dataset(source, train, test, {})
    if not archives.is_known(source):
        raise UserError(
            f"there is no file {source!r} and no data set of that name; built in: {', '.join(BUILT_IN)}; "
            f"in aeon's package: {', '.join(archives.packaged())}"
        )
    parts = archives.load(source, cache_folder())
    return _dataset(source, Part(*parts["train"]), Part(*parts["test"]), {})


def series(
    source: str, length: int, is_fixed: bool = True, labels: str | None = None, channels_first: bool = False
) -> Series:
    """Series whose labels are not needed, for a network that was trained on series of `length` samples.

    `source` is a `.npy` file of (n, length) or (n, length, channels), NaN behind shorter ones; a table with or without
    labels, as `labels` says (`"first"` or `"none"`) or its rows show, see `tables.unlabeled`; or what `load` takes: of
    that the test part, where there is one. Raises `UserError` as `load` does, but not for what never changes.
    """
    path = Path(source)
    suffix, notes = path.suffix.lower(), ()
    if labels is not None and suffix not in tables.DELIMITERS:
        raise UserError(
            f"{source}: --labels {labels} is for tables, files that end in {' or '.join(tables.DELIMITERS)}"
        )
    if suffix in tables.DELIMITERS:
        readers.check_channels_first(source, channels_first)
        part = readers.unlabeled(path, length, is_fixed, labels)
        x, notes = part.x, part.notes
    elif suffix == ".npy":
        x = readers.array(path, channels_first)
    else:
        data = _read(source, channels_first)
        if data.x_test is None:
            return Series(data.x_train, data.lengths_train, data.notes)
        return Series(data.x_test, data.lengths_test, data.notes)
    lengths = _lengths(path.name, "new", x)
    return Series(_whole(x, lengths, x.shape[1])[0], lengths, notes)


def cache_folder() -> Path:
    """Where sets that were fetched are kept: `jconv/archives` in `$XDG_CACHE_HOME`, by default `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jconv" / "archives"


def _cbf(rng: np.random.Generator, count: int) -> Part:
    x, kinds = cbf.draw(rng, count)
    return Part(x[:, :, None], [cbf.CLASSES[kind] for kind in kinds])


def _bursts(rng: np.random.Generator, count: int) -> Part:
    x, kinds = bursts.draw(rng, count)
    return Part(x[:, :, None], list(bursts.CLASSES), kinds)


def sample_mask(x: Any, lengths: Any) -> Any:
    """Which samples (n, length) of x (n, length, channels) are of their series, of which None are all.

    JAX's arrays where `lengths` are.
    """
    return np.arange(x.shape[1]) < (np.full(len(x), x.shape[1]) if lengths is None else lengths)[:, None]


def check_classes(data: Dataset, by_sample: bool = False) -> None:
    """Raise `UserError` unless there is something to tell apart: two classes, and none in the test set alone.

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
    seen = [data.classes[number] for number in _numbers(data.x_train, data.y_train, data.lengths_train)]
    if data.x_test is not None and data.y_test is not None:
        for number in _numbers(data.x_test, data.y_test, data.lengths_test):
            if data.classes[number] not in seen:
                raise UserError(
                    f"{data.name}: the label {data.classes[number]!r} is in the test set and not in the training set"
                )
    if len(seen) < 2:
        what = "samples" if by_sample else "series"
        raise UserError(f"{data.name}: all training {what} have the label {seen[0]!r}; at least two classes are needed")


def _numbers(x: Array, y: Array, lengths: Array | None) -> Array:
    """The numbers of the classes that there are."""
    return np.unique(y[sample_mask(x, lengths)] if y.ndim == 2 else y)


def _dataset(name: str, train: Part, test: Part | None, words: dict[str, str]) -> Dataset:
    lengths = _lengths(name, "training", train.x)
    tests = None if test is None else _lengths(name, "test", test.x)
    if test is not None:
        if test.x.shape[2] != train.x.shape[2] or (
            lengths is None and tests is None and test.x.shape[1] != train.x.shape[1]
        ):
            raise UserError(f"{name}: test series are {_sizes(test.x)}, training series {_sizes(train.x)}")
        if (train.of_samples is None) != (test.of_samples is None):
            of_train, of_test = ("series" if part.of_samples is None else "sample" for part in (train, test))
            raise UserError(f"{name}: y_train has a label a {of_train}, y_test a label a {of_test}")
        longest = max(train.x.shape[1], test.x.shape[1])
        if lengths is not None or tests is not None:
            (x_train, lengths), (x_test, tests) = _whole(train.x, lengths, longest), _whole(test.x, tests, longest)
            train, test = train._replace(x=x_train), test._replace(x=x_test)
    elif lengths is not None:
        train = train._replace(x=_whole(train.x, lengths, train.x.shape[1])[0])
    labels = _ordered({*train.labels, *(test.labels if test else [])})
    number = {label: index for index, label in enumerate(labels)}

    def numbered(part: Part) -> Array:
        numbers = np.array([number[label] for label in part.labels], np.int32)
        if part.of_samples is None:
            return numbers
        behind = part.x.shape[1] - part.of_samples.shape[1]
        return np.pad(np.where(part.of_samples < 0, 0, numbers[part.of_samples]), ((0, 0), (0, behind)))

    return Dataset(
        name,
        train.x,
        numbered(train),
        None if test is None else test.x,
        None if test is None else numbered(test),
        tuple(words.get(label, label) for label in labels),
        lengths,
        tests,
        *_targets(train, test),
        notes=tuple(dict.fromkeys((*train.notes, *(test.notes if test else ())))),
    )


def _targets(train: Part, test: Part | None) -> tuple[Array | None, Array | None]:
    """The labels of both parts as numbers, None where some are none, and where they are those of samples."""
    if train.of_samples is not None:
        return None, None
    try:
        parts = [None if part is None else np.array(part.labels, np.float64) for part in (train, test)]
    except ValueError:
        return None, None
    if not all(part is None or np.isfinite(part).all() for part in parts):
        return None, None
    return parts[0], parts[1]


def _lengths(name: str, part: str, x: Array) -> Array | None:
    """How long each series is where NaN follows some; None where all are whole. Values are checked."""
    missing = np.all(np.isnan(x), axis=-1)
    ends = np.where(missing.all(1), 0, x.shape[1] - np.argmin(missing[:, ::-1], axis=1))
    _check_values(name, part, x, ends)
    return None if (ends == x.shape[1]).all() else ends.astype(np.int32)


def _whole(x: Array, lengths: Array | None, longest: int) -> tuple[Array, Array]:
    """The series with zeros behind, `longest` samples each, and their lengths."""
    own = np.full(len(x), x.shape[1], np.int32) if lengths is None else lengths
    behind = np.zeros((len(x), longest - x.shape[1], x.shape[2]))
    return np.concatenate([np.where(sample_mask(x, own)[..., None], x, 0), behind], axis=1), own


def _check_values(name: str, part: str, x: Array, lengths: Array) -> None:
    if not lengths.all():
        raise UserError(f"{name}: {part} series {int(np.argmin(lengths)) + 1} has no values")
    bad = np.argwhere(~np.isfinite(x) & sample_mask(x, lengths)[..., None])
    if not len(bad):
        return
    series, sample, channel = (int(index) for index in bad[0])
    where = f"sample {sample + 1}" + (f", channel {channel + 1}" if x.shape[-1] > 1 else "")
    value = "missing (NaN)" if np.isnan(x[series, sample, channel]) else "infinite"
    raise UserError(f"{name}: {part} series {series + 1} is {value} at {where}")


def check_varies(name: str, x: Array, lengths: Array | None) -> None:
    """Raise `UserError` for a channel that never changes."""
    own = x[sample_mask(x, lengths)]
    for channel in range(x.shape[-1]):
        if np.ptp(own[:, channel]) == 0:
            which = f"channel {channel + 1} of " if x.shape[-1] > 1 else ""
            raise UserError(
                f"{name}: {which}the training series is {own[0, channel]:g} everywhere; there is nothing to learn"
            )


def _sizes(x: Array) -> str:
    return f"{x.shape[1]} samples of {x.shape[2]} channel" + ("s" if x.shape[2] > 1 else "")


def _ordered(labels: set[str]) -> list[str]:
    """Numbers by value, if all are numbers; else text by the alphabet."""
    try:
        return sorted(labels, key=lambda label: (float(label), label))
    except ValueError:
        return sorted(labels)
