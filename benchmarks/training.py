"""Milliseconds per training step of the FCN: jconv, Keras, PyTorch and plain JAX.

    python -m benchmarks.training            # the table, some minutes on two cores

Each side runs in its own process, since Keras's backend is chosen at import. In a round every side has one turn, in
rotating order. A side's time is the median of its turns, and ratios are ratios of medians. Before anything is timed,
all sides take one step from the same params on the same batch and must have the same loss after it.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from training.options.types import whole

from .shared import command, markdown
from .shared.machine import cores
from .trainers import fcn
from .trainers.workers import Side, Worker, WorkerError

TOLERANCE = 1e-4
SECONDS = 2.0
"""The duration of a turn, unless --steps is given."""

EPILOG = f"""\
the network:
  three blocks of a convolution (128 filters of 8 taps, 256 of 5, 128 of 3; same padding), batch normalization and relu;
  the mean over time; a dense layer; softmax and cross-entropy; Adam. {fcn.BATCHES} batches of series of
  {fcn.LENGTH} samples, as in GunPoint, float32, shuffled every epoch.

examples:
  python -m benchmarks.training
  python -m benchmarks.training --rounds 3 --steps 20
  python -m benchmarks.training --batch-size 64 --json runs/steps.json

A side whose package is not installed is left out, and so is torch.compile where it does not work (it needs a C++
compiler). All sides have as many threads as this process may use cores."""


SIDES = (
    Side("jconv, `training/core/loop.py`, a scan of an epoch's steps", "trainers.fcn_jax", "loop"),
    Side("plain JAX with jconv.conv_general_dilated, scanned", "trainers.fcn_jax", "jconv scanned"),
    Side("plain JAX with lax.conv_general_dilated, scanned", "trainers.fcn_jax", "lax scanned"),
    Side("plain JAX with lax.conv_general_dilated, a call a step", "trainers.fcn_jax", "lax calls"),
    Side("Keras `fit` on JAX", "trainers.fcn_keras", "fit", ("keras",)),
    Side("Keras `fit` on PyTorch", "trainers.fcn_keras", "fit", ("keras", "torch"), "torch"),
    Side("PyTorch, eager", "trainers.fcn_torch", "eager", ("torch",)),
    Side("PyTorch, torch.compile", "trainers.fcn_torch", "compiled", ("torch",)),
)


class Result(NamedTuple):
    """The measurements of a side: the milliseconds per step of each turn."""

    name: str
    version: str
    milliseconds: list[float]

    @property
    def median(self) -> float:
        """The median over the turns."""
        return float(np.median(self.milliseconds))


def ratios(results: Sequence[Result]) -> list[float]:
    """Each side's median divided by the first side's."""
    return [result.median / results[0].median for result in results]


def table(results: Sequence[Result]) -> str:
    """The results as a Markdown table, with ratios to the first side."""
    rows = []
    for result, ratio in zip(results, ratios(results), strict=True):
        turns = f"{min(result.milliseconds):.3g} to {max(result.milliseconds):.3g}"
        rows.append([result.name, f"{result.median:.3g}", turns, f"{ratio:.2f}", result.version])
    return markdown.table(["a training step", "ms", "lowest to highest", "to the first", ""], rows)


def rotated(items: Sequence[Any], turn: int) -> list[Any]:
    """`items` rotated by `turn` places."""
    first = turn % len(items)
    return [*items[first:], *items[:first]]


def disagreement(losses: Mapping[str, Sequence[float]]) -> str:
    """The first difference between the sides' losses before and after one step; empty if there is none."""
    first, *_ = losses.values()
    for name, values in losses.items():
        if not np.allclose(values, first, rtol=TOLERANCE, atol=0):
            return f"{name}: losses before and after one step are {values}, not {first}"
    return "" if first[0] != first[1] else f"the step changed nothing: the loss stays {first[0]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see `python -m benchmarks.training --help`."""
    options = _parse(arguments)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
    workers: dict[str, Worker] = {}
    try:
        return _compare(options, workers)
    except WorkerError as error:
        print(f"training: {error}", file=sys.stderr)
        return 1
    finally:
        for worker in workers.values():
            worker.stop()


def _compare(options: argparse.Namespace, workers: dict[str, Worker]) -> int:
    started = _start(options.batch_size, workers)
    wrong = disagreement({name: answer["losses"] for name, answer in started.items()})
    if wrong:
        print(f"training: {wrong}", file=sys.stderr)
        return 1
    print(f"{len(workers)} sides agree on the loss after one step; {options.rounds} rounds", flush=True)
    epochs = {}
    for name, worker in workers.items():
        worker.milliseconds(1)  # compiles
        once = worker.milliseconds(1) * fcn.BATCHES / 1e3
        epochs[name] = options.steps // fcn.BATCHES if options.steps else max(1, round(SECONDS / once))
    measured: dict[str, list[float]] = {name: [] for name in workers}
    for turn in range(options.rounds):
        for name in rotated(list(workers), turn):
            time.sleep(0.3)  # the threads of the previous side may still spin
            measured[name].append(workers[name].milliseconds(epochs[name]))
    results = [Result(name, started[name]["version"], values) for name, values in measured.items()]
    print(f"\nbatch size {options.batch_size}, {cores()} threads, Python {platform.python_version()}\n")
    print(table(results))
    if options.json:
        command.write_json(options.json, _as_json(options, results))
    return 0


def _start(batch_size: int, workers: dict[str, Worker]) -> dict[str, dict[str, Any]]:
    """Start a worker for each side that works here, and return the first answer of each."""
    started = {}
    for side in SIDES:
        missing = [package for package in side.needs if find_spec(package) is None]
        if missing:
            print(f"left out: {side.name}: {' and '.join(missing)} not installed", flush=True)
            continue
        workers[side.name] = Worker(side, batch_size)
        try:
            started[side.name] = workers[side.name].ask()
        except WorkerError as error:
            print(f"left out: {error}", flush=True)
            workers.pop(side.name).stop()
    return started


def _as_json(options: argparse.Namespace, results: Sequence[Result]) -> dict[str, Any]:
    sides = [
        {**result._asdict(), "median": result.median, "ratio": ratio}
        for result, ratio in zip(results, ratios(results), strict=True)
    ]
    return {"batch_size": options.batch_size, "threads": cores(), "python": platform.python_version(), "sides": sides}


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command.parser("training", __doc__, EPILOG)
    parser.add_argument("--rounds", type=whole(1), default=9, help="turns of each side (default: 9)")
    parser.add_argument("--batch-size", type=whole(1), default=5, help="series in a batch (default: 5)")
    parser.add_argument(
        "--steps",
        type=int,
        help=f"steps in a turn, a multiple of {fcn.BATCHES} (default: as many as take about {SECONDS:.0f} seconds)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measurements to this file")
    options = parser.parse_args(arguments)
    if options.steps is not None and (options.steps < 1 or options.steps % fcn.BATCHES):
        parser.error(f"--steps must be a multiple of {fcn.BATCHES}, got {options.steps}")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
