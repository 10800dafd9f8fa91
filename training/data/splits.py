"""Training series held out for validation: a share of them, a fold, or the end of a single series."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import UserError
from .datasets import Dataset, check_varies


def split(data: Dataset, share: float, seed: int, stratified: bool) -> tuple[Dataset, Dataset]:
    """Hold out a random share of the training series.

    Args:
        data: the data set.
        share: the share of the series, between 0 and 1.
        seed: the seed of the draw.
        stratified: whether to hold out that share of each class, to within one series; at least one series of each
            class remains.

    Returns:
        The data with the other training series, and the same with the held-out series as its test set.

    Raises:
        UserError: if the share is no series or all of them, and if a channel of the others is constant.

    >>> from .datasets import load
    >>> kept, held = split(load("gunpoint"), 0.2, 0, stratified=True)
    >>> len(kept.x_train), np.bincount(held.y_test).tolist()
    (40, [5, 5])
    """
    rng, count = np.random.default_rng(seed), len(data.x_train)
    order = _shuffled(data, rng, stratified)
    held = order[np.diff(np.floor(np.arange(count + 1) * share + rng.random())) > 0]
    return _hold_out(data, held, stratified, f"--validation {share:g}")


def end(data: Dataset, share: float) -> tuple[Dataset, Dataset]:
    """Hold out the last share of the samples of a single training series; returns what `split` does.

    Raises `UserError` if the share is no sample or all of them, and if a channel of the others is constant.

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
    check_varies(rest)
    held = rest._replace(name=f"{data.name}, --validation {share:g}", x_test=data.x_train[:, kept:length])
    return rest, held._replace(y_test=data.y_train, lengths_test=None, targets_test=data.targets_train)


def fold(data: Dataset, number: int, count: int, seed: int, stratified: bool) -> tuple[Dataset, Dataset]:
    """Hold out one fold of the training series; returns what `split` does.

    The folds are drawn at random, and each series is in one of them. Their sizes differ by at most one series; with
    `stratified`, so do their numbers of series of each class. The only series of a class is never held out.

    Args:
        data: the data set.
        number: which fold, from 1.
        count: the number of folds.
        seed: the seed of the draw.
        stratified: whether to distribute each class evenly over the folds.

    Raises:
        UserError: for more folds than series, and if a channel of the others is constant.

    >>> from .datasets import load
    >>> [np.bincount(fold(load("gunpoint"), n, 3, 0, stratified=True)[1].y_test).tolist() for n in (1, 2, 3)]
    [[8, 9], [8, 9], [8, 8]]
    """
    if count > len(data.x_train):
        raise UserError(f"{count} folds are more than the {len(data.x_train)} training series of {data.name}")
    order = _shuffled(data, np.random.default_rng(seed), stratified)
    return _hold_out(data, order[number - 1 :: count], stratified, f"--fold {number}/{count}")


def fold_numbers(text: str) -> tuple[int, int]:
    """The number of a fold, from 1, and the number of folds. Raises `ValueError` for other text.

    >>> fold_numbers("2/5")
    (2, 5)
    """
    found = re.fullmatch("([0-9]+)/([0-9]+)", text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count or count < 2:
        raise ValueError(f"must be one of at least two folds, as 2/5, got {text!r}")
    return number, count


def _shuffled(data: Dataset, rng: np.random.Generator, stratified: bool) -> Array:
    """The indices of the training series in random order, with `stratified` one class after the other."""
    order = rng.permutation(len(data.x_train))
    return order[np.argsort(data.y_train[order], kind="stable")] if stratified else order


def _hold_out(data: Dataset, held: Array, stratified: bool, option: str) -> tuple[Dataset, Dataset]:
    """The data without the series of the indices `held`, and the same with these as its test set."""
    count = len(data.x_train)
    if stratified:
        # Each class must remain in the training set. If all series of a class were drawn, the first is not held out.
        lost = np.setdiff1d(data.y_train[held], np.delete(data.y_train, held))
        held = np.setdiff1d(held, [held[data.y_train[held] == number][0] for number in lost])
    held, kept = np.sort(held), np.setdiff1d(np.arange(count), held)
    if not (len(held) and len(kept)):
        why = ": each has a label of its own" if stratified and len(np.unique(data.y_train)) == count > 1 else ""
        raise UserError(f"{option} of {count} training series is {'all' if len(held) else 'none'} of them{why}")

    def taken(index: Array, part: str) -> dict[str, Any]:
        arrays = {field: getattr(data, f"{field}_train") for field in ("x", "y", "lengths", "targets")}
        return {f"{field}_{part}": None if array is None else array[index] for field, array in arrays.items()}

    rest = data._replace(**taken(kept, "train"))
    check_varies(rest)
    return rest, rest._replace(**taken(held, "test"))
