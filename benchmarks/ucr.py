"""The published table of the UCR archive, run again: networks trained by the protocol of Fawaz et al. (2019).

    python -m benchmarks.ucr                       # three sets of the FCN, three seeds: about 20 minutes on two cores
    python -m benchmarks.ucr --sets all --seeds 5 --models fcn resnet   # all of it: days

A cell is a set and a network: several seeds trained by `--protocol dl4tsc` of `training.fit`, the accuracy on the test
set of the params of the lowest training loss, and its mean beside the published mean of five.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from training import loop, protocols, seeds
from training.data.datasets import load
from training.errors import UserError
from training.learner import best_or_last, first_learner
from training.plan import Plan, alone, epoch_key
from training.tasks import Task, classification

from .allocator import keep_memory
from .machine import describe

PROTOCOL = "dl4tsc"

# Accuracy in percent, mean and standard deviation of five runs: Fawaz et al. (2019), and, for the sets that came into
# the archive in 2018, the results that its authors publish beside it.
PUBLISHED: dict[tuple[str, str], tuple[float, float]] = {
    ("ACSF1", "fcn"): (89.8, 1.6),
    ("ACSF1", "resnet"): (91.6, 2.6),
    ("ArrowHead", "fcn"): (84.3, 1.3),
    ("ArrowHead", "resnet"): (83.8, 2.4),
    ("cbf", "fcn"): (99.4, 0.1),
    ("cbf", "resnet"): (99.6, 0.2),
    ("gunpoint", "fcn"): (100.0, 0.0),
    ("gunpoint", "resnet"): (99.1, 0.8),
    ("ItalyPowerDemand", "fcn"): (96.3, 0.1),
    ("ItalyPowerDemand", "resnet"): (96.2, 0.3),
    ("OSULeaf", "fcn"): (97.9, 0.5),
    ("OSULeaf", "resnet"): (98.0, 0.6),
    ("PickupGestureWiimoteZ", "fcn"): (74.4, 3.0),
    ("PickupGestureWiimoteZ", "resnet"): (70.4, 3.0),
}
SETS = tuple(dict.fromkeys(name for name, _ in PUBLISHED))
SHORT = ("ItalyPowerDemand", "cbf", "gunpoint")
MISTAKE = 2


class Cell(NamedTuple):
    """A set, a network, the test accuracy of each seed in percent, and the seconds that they took."""

    data: str
    network: str
    accuracies: tuple[float, ...]
    seconds: float

    @property
    def mean(self) -> float:
        """Of the seeds."""
        return float(np.mean(self.accuracies))

    @property
    def holds(self) -> bool:
        """Within two published deviations of the published mean, or one point, or above it."""
        mean, deviation = PUBLISHED[self.data, self.network]
        return self.mean >= mean - max(2 * deviation, 1.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see `python -m benchmarks.ucr --help`."""
    options = _parse(arguments)
    keep_memory()
    machine = describe(jax.devices()[0])
    print(", ".join(f"{name} {version}" for name, version in machine["versions"].items()) + "\n", flush=True)
    cells = []
    try:
        for data in options.sets:
            for network in options.models:
                cells.append(run(data, network, options.seeds, options.epochs, options.together))
                print(_line(cells[-1]), flush=True)
    except UserError as error:
        print(f"ucr: {error}", file=sys.stderr)
        return MISTAKE
    print("\n" + shown(cells))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        found = {"machine": machine, "epochs": options.epochs, "cells": [cell._asdict() for cell in cells]}
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def run(data: str, network: str, count: int, epochs: int | None = None, together: bool = False) -> Cell:
    """Train a network on a set with seeds from 0 on, for as many epochs as the protocol says or as are given.

    One after the other, or `together`, which needs as many times the memory.
    """
    task = classification(load(data), network, by_series=True)
    plan = protocols.plan(PROTOCOL, network, len(task.train.x), epochs=epochs)._replace(members=count)
    began = time.perf_counter()
    found = [accuracies(task, own) for own in ([plan] if together else alone(plan))]
    return Cell(data, network, tuple(chain(*found)), time.perf_counter() - began)


def accuracies(task: Task, plan: Plan) -> list[float]:
    """The test accuracy, in percent, of each member of a run."""
    assert task.test is not None
    learner = first_learner(task, plan, jnp.float32)
    train = loop.on_device(task.train, learner)
    one_epoch = loop.epoch_function(task, plan)
    for epoch in range(plan.epochs):
        learner = one_epoch(learner, epoch_key(plan, epoch), train)[0]
    best, evaluate = best_or_last(learner), loop.evaluation(task)
    each = evaluate if plan.members == 1 else seeds.of_each(evaluate)
    scores = each(best.params, best.state, loop.on_device(task.test, best))[2]
    return (100 * np.atleast_1d(scores)).tolist()


def shown(cells: Sequence[Cell]) -> str:
    """The table in Markdown."""
    lines = ["| set | network | here: mean (std) | published | | seconds a run |", "|---|---|---|---|---|---|"]
    for cell in cells:
        mean, deviation = PUBLISHED[cell.data, cell.network]
        own = f"{cell.mean:.1f} ({np.std(cell.accuracies):.1f}) of {len(cell.accuracies)}"
        verdict = "holds" if cell.holds else "below"
        seconds = cell.seconds / len(cell.accuracies)
        lines.append(f"| {cell.data} | {cell.network} | {own} | {mean} ({deviation}) | {verdict} | {seconds:,.0f} |")
    return "\n".join(lines)


def _line(cell: Cell) -> str:
    runs = ", ".join(f"{accuracy:.1f}" for accuracy in cell.accuracies)
    return f"{cell.data} {cell.network}: {runs} ({cell.seconds:,.0f} s)"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"ucr: {message}; --help explains the options", file=sys.stderr)
        raise SystemExit(MISTAKE)


def _parse(arguments: Sequence[str] | None) -> Any:
    parser = _Parser(
        prog="python -m benchmarks.ucr",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    known = tuple(protocols.PROTOCOLS[PROTOCOL])
    add = parser.add_argument
    add("--sets", nargs="+", choices=[*SETS, "all"], default=list(SHORT), metavar="NAME", help=f"all, or of {SETS}")
    add("--models", nargs="+", choices=known, default=["fcn"], metavar="NAME", help=f"of {known}; default fcn")
    add("--seeds", type=int, default=3, metavar="N", help="runs of each cell; default 3")
    add("--together", action="store_true", help="all seeds of a cell at once; on two cores that is no faster")
    add("--epochs", type=int, metavar="N", help="in place of the protocol's; what it says then is not the protocol's")
    add("--json", type=Path, metavar="FILE", help="write what was found")
    options = parser.parse_args(arguments)
    if "all" in options.sets:
        options.sets = list(SETS)
    if min(options.seeds, options.epochs or 1) < 1:
        parser.error("--seeds and --epochs must be at least 1")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
