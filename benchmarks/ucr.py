"""Reproduces the published table of the UCR archive: networks trained by the protocol of Fawaz et al. (2019).

    python -m benchmarks.ucr                       # three sets of the FCN, three seeds: 15 minutes on two cores
    python -m benchmarks.ucr --sets all --seeds 5 --models fcn resnet --json runs/ucr.json   # all: some 17 hours

A cell is a data set and a network. Several seeds are trained by `--protocol dl4tsc` of `training.fit`. The accuracies
on the test set, with the params of the lowest training loss, are compared with the published mean of five runs.

Each core trains a seed, in a separate process. With --json each finished run is written to the file, and unfinished
runs have checkpoints beside it, so that the same command continues after an interruption.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from training.core import protocols
from training.data.archives import EQUAL_LENGTH_SUFFIX
from training.data.datasets import load
from training.errors import UserError
from training.options.types import whole
from training.run import run_folder

from .shared import command, markdown
from .shared.machine import cores, describe, versions_line
from .trainers.ucr_run import PROTOCOL, SIDE, UcrRun
from .trainers.workers import replies

# Accuracy in percent, mean and standard deviation of five runs: Fawaz et al. (2019), and, for data sets added to the
# archive in 2018, the results that its authors publish with it.
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
# For unequal lengths, the published results are of padded series (hfawaz/dl-4-tsc 49), which the suffix selects.
UNEQUAL = ("PickupGestureWiimoteZ",)
PUBLISHED |= {
    (name + EQUAL_LENGTH_SUFFIX, network): found for (name, network), found in PUBLISHED.items() if name in UNEQUAL
}
SETS = tuple(dict.fromkeys(name for name, _ in PUBLISHED))
SHORT = ("ItalyPowerDemand", "cbf", "gunpoint")
RunKey = tuple[str, str, int, int]


class Cell(NamedTuple):
    """A data set, a network, the test accuracy of each seed in percent, and the mean seconds per run."""

    data: str
    network: str
    accuracies: tuple[float, ...]
    seconds: float

    @property
    def mean(self) -> float:
        """The mean accuracy over the seeds."""
        return float(np.mean(self.accuracies))

    @property
    def holds(self) -> bool:
        """Whether the mean is above the published mean, or within two published deviations or one point of it."""
        mean, deviation = PUBLISHED[self.data, self.network]
        return self.mean >= mean - max(2 * deviation, 1.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see `python -m benchmarks.ucr --help`."""
    return command.exit_code("ucr", partial(_run, _parse(arguments)))


def _run(options: argparse.Namespace) -> None:
    """Train the runs that are not in the file, write each to it when it ends, and print the table.

    Raises `UserError`, and `WorkerError` if a run fails.
    """
    machine = describe(jax.devices()[0])
    print(versions_line(machine["versions"]) + "\n", flush=True)
    runs = {run.key: run for run in _read(options.json)}
    wanted = [
        (data, network, seed, options.epochs or protocols.settings(PROTOCOL, network).epochs)
        for data in options.sets
        for network in options.models
        for seed in range(options.seeds)
    ]
    missing = [key for key in wanted if key not in runs]
    # Load each data set first, so that a missing one is reported early and none is fetched by two processes.
    for data in dict.fromkeys(data for data, *_ in missing):
        load(data)
    _write(options.json, machine, runs.values(), cells(runs, wanted))
    requests = [
        {**dict(zip(UcrRun._fields, key, strict=False)), "unfinished": _unfinished(options.json, key)}
        for key in missing
    ]
    with closing(replies(SIDE, requests, options.processes or min(cores(), len(wanted)))) as coming:
        for own in (UcrRun(**reply) for reply in coming):
            runs[own.key] = own
            print(f"{own.data} {own.network}, seed {own.seed}: {own.accuracy:.1f} ({own.seconds:,.0f} s)", flush=True)
            _write(options.json, machine, runs.values(), cells(runs, wanted))
            if folder := _unfinished(options.json, own.key):
                shutil.rmtree(folder, ignore_errors=True)
    print("\n" + table(cells(runs, wanted)))


def cells(runs: Mapping[RunKey, UcrRun], wanted: Sequence[RunKey]) -> list[Cell]:
    """The finished runs among the wanted ones, by data set and network."""
    found: dict[tuple[str, str], list[UcrRun]] = {}
    for key in wanted:
        if key in runs:
            found.setdefault(key[:2], []).append(runs[key])
    return [
        Cell(*names, tuple(run.accuracy for run in own), float(np.mean([run.seconds for run in own])))
        for names, own in found.items()
    ]


def table(cells: Sequence[Cell]) -> str:
    """The table in Markdown."""
    rows = []
    for cell in cells:
        mean, deviation = PUBLISHED[cell.data, cell.network]
        own = f"{cell.mean:.1f} ({np.std(cell.accuracies):.1f}) of {len(cell.accuracies)}"
        verdict = "holds" if cell.holds else "below"
        rows.append([cell.data, cell.network, own, f"{mean} ({deviation})", verdict, f"{cell.seconds:,.0f}"])
    return markdown.table(["set", "network", "here: mean (std)", "published", "", "seconds a run"], rows)


def _unfinished(file: Path | None, key: RunKey) -> str | None:
    """The folder of a run's checkpoints."""
    return file and str(file.absolute().with_suffix(".unfinished") / "-".join(map(str, key)))


def _read(file: Path | None) -> list[UcrRun]:
    """The runs in a file that `--json` wrote; empty if there is no file."""
    if file is None or not file.exists():
        return []
    try:
        return [UcrRun(**run) for run in json.loads(file.read_text())["runs"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"--json {file}: must be a file that this command wrote, or none") from None


def _write(file: Path | None, machine: dict[str, Any], runs: Iterable[UcrRun], found: Sequence[Cell]) -> None:
    if file is None:
        return
    content = {"machine": machine, "cells": [cell._asdict() for cell in found], "runs": [run._asdict() for run in runs]}
    with run_folder.writable(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        run_folder.write_json(file.parent, file.name, content)


def _parse(arguments: Sequence[str] | None) -> Any:
    parser = command.parser("ucr", __doc__)
    known = tuple(protocols.PROTOCOLS[PROTOCOL])
    add = parser.add_argument
    add(
        "--sets", nargs="+", choices=[*SETS, "all"], default=list(SHORT), metavar="NAME", help=f"all, or some of {SETS}"
    )
    add("--models", nargs="+", choices=known, default=["fcn"], metavar="NAME", help=f"of {known}; default fcn")
    add("--seeds", type=whole(1), default=3, metavar="N", help="runs of each cell; default 3")
    words = "seeds trained in parallel, each in a process pinned to its share of the cores; default one per core"
    add("--processes", type=whole(1), metavar="N", help=words)
    words = "epochs of each run, instead of the protocol's; changes the results"
    add("--epochs", type=whole(1), metavar="N", help=words)
    add("--json", type=Path, metavar="FILE", help="write each finished run to the file; runs in it are not repeated")
    options = parser.parse_args(arguments)
    if "all" in options.sets:
        options.sets = list(SETS)
    return options


if __name__ == "__main__":
    raise SystemExit(main())
