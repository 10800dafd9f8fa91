"""Compares Hydra with aeon's on the data sets inside aeon's package: accuracy, and time of transform and fit.

    python -m benchmarks.hydra               # about three minutes on two cores

aeon computes with PyTorch, with as many threads as there are cores. Accuracies are means over seeds. The sides take
turns to compute the features of the test set and to fit the classifier to the training set; times are medians. The
first transform, which compiles, has its own column.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from training.data import archives

from .shared import command, markdown
from .shared.machine import cores, describe, machine_line
from .shared.timing import once

OURS, AEON = "jconv", "aeon"
HEADS = (
    "data",
    "n, channels, length",
    *("accuracy", "aeon's"),
    *("transform", "aeon's", "ratio"),
    *("fit", "aeon's", "ratio"),
    "first transform",
)


class Cell(NamedTuple):
    """A data set: by side, the accuracy of each seed, and the seconds of each transform and fit."""

    data: str
    shape: tuple[int, int, int]
    first: dict[str, float]
    transform: dict[str, list[float]]
    fit: dict[str, list[float]]
    accuracy: dict[str, list[float]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see `python -m benchmarks.hydra --help`."""
    options = _parse(arguments)
    sides = _sides()
    machine, cells = describe(jax.devices()[0]), []
    print(markdown.heading(HEADS), flush=True)
    for name in options.sets:
        cells.append(measure(name, sides, options.seeds, options.rounds))
        print(line(cells[-1]), flush=True)
    print(f"\n{machine_line(machine)}")
    if options.json:
        command.write_json(options.json, {"machine": machine, "cells": [cell._asdict() for cell in cells]})
    return 0


def measure(name: str, sides: dict[str, Callable[[int], Any]], seeds: int, rounds: int) -> Cell:
    """Measure one data set; aeon is left out if the series differ in length."""
    from aeon.datasets import load_classification

    (x, y), (x_test, y_test) = (
        load_classification(name, split=part, load_equal_length=False)[:2] for part in ("train", "test")
    )
    if isinstance(x, list):
        sides = {OURS: sides[OURS]}
        shape = len(x), x[0].shape[0], max(one.shape[1] for one in x)
    else:
        shape = x.shape
    cell = Cell(name, shape, {}, {side: [] for side in sides}, {side: [] for side in sides}, {})
    transforms = {}
    for side, make in sides.items():
        classifier = make(0).fit(x, y)
        transforms[side] = partial(_features, side, classifier, x_test)
        cell.first[side] = once(transforms[side])[1]
    for turn in range(rounds):
        for side in list(sides)[:: -1 if turn % 2 else 1]:
            cell.transform[side].append(once(transforms[side])[1])
            cell.fit[side].append(once(partial(sides[side](turn).fit, x, y))[1])
    for side, make in sides.items():
        cell.accuracy[side] = [float(make(seed).fit(x, y).score(x_test, y_test)) for seed in range(seeds)]
    return cell


def line(cell: Cell) -> str:
    """A row of the table.

    >>> one = {"jconv": [0.5], "aeon": [1.0]}
    >>> print(line(Cell("Some", (9, 1, 20), {"jconv": 2.0, "aeon": 1.0}, one, one, one)))
    | Some | 9, 1, 20 | 0.500 | 1.000 | 500 ms | 1000 ms | 2.0 | 500 ms | 1000 ms | 2.0 | 2.0 s |
    """
    words = [cell.data, ", ".join(map(str, cell.shape))]
    words += [f"{np.mean(cell.accuracy[side]):.3f}" if side in cell.accuracy else "–" for side in (OURS, AEON)]
    for seconds in (cell.transform, cell.fit):
        medians = {side: float(np.median(values)) for side, values in seconds.items()}
        words += [f"{1e3 * medians[side]:.0f} ms" if side in medians else "–" for side in (OURS, AEON)]
        words.append(f"{medians[AEON] / medians[OURS]:.1f}" if AEON in medians else "–")
    return markdown.row([*words, f"{cell.first[OURS]:.1f} s"])


def _features(side: str, classifier: Any, x: Any) -> Any:
    if side == AEON:
        return classifier.clf_[0].transform(x)
    return classifier._features(classifier._read(x))


def _sides() -> dict[str, Callable[[int], Any]]:
    from aeon.classification.convolution_based import HydraClassifier as Aeon

    from training.estimators import HydraClassifier

    return {
        OURS: lambda seed: HydraClassifier(random_state=seed),
        AEON: lambda seed: Aeon(random_state=seed, n_jobs=cores()),
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command.parser("hydra", __doc__)
    words = "default: all data sets for classification"
    parser.add_argument("--sets", nargs="+", default=packaged(), metavar="NAME", help=words)
    parser.add_argument("--seeds", type=int, default=5, help="default 5")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--json", **command.JSON)
    return parser.parse_args(arguments)


def packaged() -> list[str]:
    """The data sets for classification inside aeon's package."""
    from aeon.datasets import tsc_datasets

    return [name for name in archives.packaged() if name in {*tsc_datasets.univariate, *tsc_datasets.multivariate}]


if __name__ == "__main__":
    sys.exit(main())
