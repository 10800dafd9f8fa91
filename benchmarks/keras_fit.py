"""Milliseconds per epoch of the published protocol: the loop of `training.fit` and Keras's `fit`, on the same cores.

    python -m benchmarks.keras_fit           # GunPoint and OSULeaf, FCN and ResNet: about five minutes on two cores

All sides begin with the same params and must have the same loss after a step. Each runs in its own process, with all
cores. One side trains a seed on each core at the same time, in separate processes; its time is divided by the number of
seeds. In a round every side has one turn, in rotating order. A side's time is the median of its turns, and ratios are
ratios of medians. The test set, which the published code evaluates after every epoch, and an incomplete last batch are
left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from training.options.types import whole

from .shared import command, markdown
from .shared.machine import cores, describe
from .trainers import protocol_jax
from .trainers.workers import Side, Worker, WorkerError, WorkerGroup
from .training import disagreement, rotated

SECONDS = 1.5
"""The minimum duration of a turn; an epoch may be longer."""

JCONV, JCONV_SEEDS = "jconv", "jconv, a seed a core, each"
SIDES = (
    Side(JCONV, "trainers.protocol_jax", "protocol"),
    Side(JCONV_SEEDS, "trainers.protocol_jax", "protocol"),
    Side("Keras on JAX", "trainers.protocol_keras", "fit", ("keras",)),
    Side("Keras on PyTorch", "trainers.protocol_keras", "fit", ("keras", "torch"), "torch"),
    Side("Keras on JAX, best to a file", "trainers.protocol_keras", "file", ("keras",)),
)
RIVALS = ("Keras on JAX", "Keras on PyTorch")


class Cell(NamedTuple):
    """A data set and a network: by side, the seconds of the first epoch and the milliseconds per epoch of each turn."""

    data: str
    network: str
    first: dict[str, float]
    milliseconds: dict[str, list[float]]

    @property
    def medians(self) -> dict[str, float]:
        """The median over the turns of each side."""
        return {name: float(np.median(values)) for name, values in self.milliseconds.items()}

    @property
    def ratios(self) -> dict[str, float]:
        """Each side's median divided by the median of Keras's faster backend; empty if neither is installed."""
        medians = self.medians
        rivals = [medians[name] for name in RIVALS if name in medians]
        return {name: value / min(rivals) for name, value in medians.items()} if rivals else {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see `python -m benchmarks.keras_fit --help`."""
    options = _parse(arguments)
    machine, cells = describe(jax.devices()[0]), []
    try:
        for data in options.sets:
            for network in options.models:
                cells.append(measure(data, network, options.rounds))
                print(table(cells[-1:]) + "\n", flush=True)
    except WorkerError as error:
        print(f"keras_fit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("keras_fit: interrupted", file=sys.stderr)
        return 130
    print(f"{machine['date'][:10]}, {machine['cpu']}, {machine['cores']} cores")
    if options.json:
        found = [{**cell._asdict(), "medians": cell.medians, "ratios": cell.ratios} for cell in cells]
        command.write_json(options.json, {"machine": machine, "cells": found})
    return 0


def measure(data: str, network: str, rounds: int) -> Cell:
    """Measure one data set with one network. Raises `WorkerError` if a side fails or its loss differs."""
    workers: dict[str, Worker | WorkerGroup] = {}
    with tempfile.TemporaryDirectory() as folder:
        setup = {"data": data, "network": network, "folder": folder}
        protocol_jax.write(setup, Path(folder))
        try:
            for side in SIDES:
                if all(find_spec(package) for package in side.needs):
                    workers[side.name] = (WorkerGroup if side.name == JCONV_SEEDS else Worker)(side, setup)
            return Cell(data, network, *_measured(workers, rounds))
        finally:
            for worker in workers.values():
                worker.stop()


def table(cells: Sequence[Cell]) -> str:
    """The cells as a Markdown table."""
    heads = ["set, network", "side", "ms an epoch", "lowest to highest", "to Keras", "first epoch, s"]
    rows = []
    for cell in cells:
        medians, ratios = cell.medians, cell.ratios
        for name, values in cell.milliseconds.items():
            turns, ratio = f"{min(values):.3g} to {max(values):.3g}", f"{ratios[name]:.2f}" if ratios else "–"
            first = f"{cell.first[name]:.1f}"
            rows.append([f"{cell.data}, {cell.network}", name, f"{medians[name]:.3g}", turns, ratio, first])
    return markdown.table(heads, rows)


def _measured(
    workers: Mapping[str, Worker | WorkerGroup], rounds: int
) -> tuple[dict[str, float], dict[str, list[float]]]:
    wrong = disagreement({name: worker.ask()["losses"] for name, worker in workers.items()})
    if wrong:
        raise WorkerError(wrong)
    first = {name: worker.ask(epochs=1)["seconds"] for name, worker in workers.items()}
    epochs = {name: max(1, round(SECONDS / worker.ask(epochs=1)["seconds"])) for name, worker in workers.items()}
    measured: dict[str, list[float]] = {name: [] for name in workers}
    for turn in range(rounds):
        for name in rotated(list(workers), turn):
            time.sleep(0.3)  # the threads of the previous side may still spin
            runs = cores() if name == JCONV_SEEDS else 1
            measured[name].append(1e3 * workers[name].ask(epochs=epochs[name])["seconds"] / epochs[name] / runs)
    return first, measured


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command.parser("keras_fit", __doc__)
    add = parser.add_argument
    add("--sets", nargs="+", default=["gunpoint", "OSULeaf"], metavar="NAME", help="default: gunpoint OSULeaf")
    networks = list(protocol_jax.protocols.PROTOCOLS[protocol_jax.PROTOCOL])
    add("--models", nargs="+", choices=networks, default=networks, help="default both")
    add("--rounds", type=whole(1), default=5, metavar="N", help="turns of each side; default 5")
    add("--json", type=Path, metavar="FILE", help="write all measurements to this file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
