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
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from training.options.types import whole

from .shared import command, markdown
from .shared.machine import cores, describe, machine_line
from .trainers import protocol_jax
from .trainers.workers import Side, Worker, WorkerGroup
from .training import check_losses, measure_epochs

SECONDS = 1.5
"""The minimum duration of a turn; an epoch may be longer."""

JCONV, JCONV_SEEDS = "jconv", "jconv, one seed per core"
SIDES = (
    Side(JCONV, "trainers.protocol_jax", "protocol"),
    Side(JCONV_SEEDS, "trainers.protocol_jax", "protocol"),
    Side("Keras on JAX", "trainers.protocol_keras", "fit", ("keras",)),
    Side("Keras on PyTorch", "trainers.protocol_keras", "fit", ("keras", "torch"), "torch"),
    Side("Keras on JAX, best to a file", "trainers.protocol_keras", "file", ("keras",)),
)
KERAS_BACKENDS = ("Keras on JAX", "Keras on PyTorch")


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
        keras_medians = [medians[name] for name in KERAS_BACKENDS if name in medians]
        return {name: value / min(keras_medians) for name, value in medians.items()} if keras_medians else {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see `python -m benchmarks.keras_fit --help`."""
    return command.exit_code("keras_fit", partial(_compare, _parse(arguments)))


def _compare(options: argparse.Namespace) -> None:
    machine, cells = describe(jax.devices()[0]), []
    for data in options.sets:
        for network in options.models:
            cells.append(measure(data, network, options.rounds))
            print(table(cells[-1:]) + "\n", flush=True)
    print(machine_line(machine))
    if options.json:
        found = [{**cell._asdict(), "medians": cell.medians, "ratios": cell.ratios} for cell in cells]
        command.write_json(options.json, {"machine": machine, "cells": found})


def measure(data: str, network: str, rounds: int) -> Cell:
    """Measure one data set with one network. Raises `WorkerError` if a side fails or its loss differs."""
    workers: dict[str, Worker | WorkerGroup] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        setup = {"data": data, "network": network, "folder": folder}
        protocol_jax.write(setup, Path(folder))
        for side in SIDES:
            if not side.missing:
                workers[side.name] = (WorkerGroup if side.name == JCONV_SEEDS else Worker)(side, setup)
                stack.callback(workers[side.name].close)
        check_losses({name: worker.request()["losses"] for name, worker in workers.items()})
        first, milliseconds = measure_epochs(workers, rounds, SECONDS)
    # A turn of this side trains a seed on each core.
    milliseconds[JCONV_SEEDS] = [value / cores() for value in milliseconds[JCONV_SEEDS]]
    return Cell(data, network, first, milliseconds)


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


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command.parser("keras_fit", __doc__)
    add = parser.add_argument
    add("--sets", nargs="+", default=["gunpoint", "OSULeaf"], metavar="NAME", help="default: gunpoint OSULeaf")
    networks = list(protocol_jax.protocols.PROTOCOLS[protocol_jax.PROTOCOL])
    add("--models", nargs="+", choices=networks, default=networks, help="default both")
    add("--rounds", type=whole(1), default=5, metavar="N", help="turns of each side; default 5")
    add("--json", **command.JSON)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
