"""Training series held out: a share of them, one fold of several, or the end of the only one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UserError
from .datasets import Dataset, check_varies

Array = np.ndarray[Any, Any]


def split(data: Dataset, share: float, seed: int, stratified: bool) -> tuple[Dataset, Dataset]:
    """The data without a share of its training series, and the same with that share as its test set.

    The share is drawn from the seed; `stratified`, it has its share of each class, within one series, and leaves one.
    Raises `UserError` where the share is no series, and where what is left never changes.

    >>> from .datasets import load
    >>> kept, held = split(load("gunpoint"), 0.2, 0, stratified=True)
    >>> len(kept.x_train), np.bincount(held.y_test).tolist()
    (40, [5, 5])
    """
    rng, count = np.random.default_rng(seed), len(data.x_train)
    order = _order(data, rng, stratified)
    held = order[np.diff(np.floor(np.arange(count + 1) * share + rng.random())) > 0]
    return _parted(data, held, stratified, f"--validation {share:g}")


def end(data: Dataset, share: float) -> tuple[Dataset, Dataset]:
    """Of data of one training series: without its last share of samples, and the same with those as the test set.

    Raises `UserError` where the share is no sample or all of them, and where what is left never changes.

    >>> from .datasets import load
    >>> one = load("gunpoint")
    >>> one = one._replace(**{name: getattr(one, name)[:1] for name in ("x_train", "y_train", "targets_train")})
    >>> kept, held = end(one, 0.2)
    >>> kept.x_train.shape, held.x_test.shape
    ((1, 120, 1), (1, 30, 1))
    """
    length = data.x_train.shape[1] if data.lengths_train is None else int(data.lengths_train[0])
    kept = length - round(length * share)
    if not 0 < kept < length:
        raise UserError(f"--validation {share:g} of {length} samples is {'none' if kept else 'all'} of them")
    rest = data._replace(x_train=data.x_train[:, :kept], lengths_train=None)
    check_varies(data.name, rest.x_train, None)
    held = rest._replace(name=f"{data.name}, --validation {share:g}", x_test=data.x_train[:, kept:length])
    return rest, held._replace(y_test=data.y_train, lengths_test=None, targets_test=data.targets_train)


def fold(data: Dataset, number: int, count: int, seed: int, stratified: bool) -> tuple[Dataset, Dataset]:
    """The data without one fold of its training series, and the same with that fold as its test set.

    `number` counts from 1 to `count`. The folds are drawn from the seed; each series is in one, and their sizes differ
    by one series at most, and `stratified` those of each class in them too. A class of one series is never held out.
    Raises `UserError` for more folds than series, and where what is left never changes.

    >>> from .datasets import load
    >>> [np.bincount(fold(load("gunpoint"), n, 3, 0, stratified=True)[1].y_test).tolist() for n in (1, 2, 3)]
    [[8, 9], [8, 9], [8, 8]]
    """
    if count > len(data.x_train):
        raise UserError(f"{count} folds are more than the {len(data.x_train)} training series of {data.name}")
    order = _order(data, np.random.default_rng(seed), stratified)
    return _parted(data, order[number - 1 :: count], stratified, f"--fold {number}/{count}")


def fold_numbers(text: str) -> tuple[int, int]:
    """The number of a fold, from 1, and how many there are. Raises `ValueError` for text that says none.

    >>> fold_numbers("2/5")
    (2, 5)
    """
    words = text.split("/")
    if len(words) == 2 and all(word.isascii() and word.isdigit() for word in words):
        number, count = map(int, words)
        if 1 <= number <= count and count >= 2:
            return number, count
    raise ValueError(f"must be one of at least two folds, as 2/5, got {text!r}")


def _order(data: Dataset, rng: np.random.Generator, stratified: bool) -> Array:
    """The numbers of the training series in an order that is drawn; `stratified`, class after class."""
    order = rng.permutation(len(data.x_train))
    return order[np.argsort(data.y_train[order], kind="stable")] if stratified else order


def _parted(data: Dataset, held: Array, stratified: bool, option: str) -> tuple[Dataset, Dataset]:
    """The data without the series `held`, and the same with these as its test set."""
    count = len(data.x_train)
    if stratified:
        left = np.delete(data.y_train, held)
        alone = np.isin(data.y_train[held], left, invert=True)
        # One of each class that would be gone goes back.
        back = [held[data.y_train[held] == number][0] for number in np.unique(data.y_train[held][alone])]
        held = np.setdiff1d(held, back)
    held, kept = np.sort(held), np.setdiff1d(np.arange(count), held)
    if not (len(held) and len(kept)):
        raise UserError(f"{option} of {count} training series is {'all' if len(held) else 'none'} of them")

    def taken(index: Array, part: str) -> dict[str, Any]:
        arrays = {of: getattr(data, f"{of}_train") for of in ("x", "y", "lengths", "targets")}
        return {f"{of}_{part}": None if array is None else array[index] for of, array in arrays.items()}

    rest = data._replace(**taken(kept, "train"))
    check_varies(data.name, rest.x_train, rest.lengths_train)
    return rest, rest._replace(**taken(held, "test"))
