"""Milliseconds per training step of the FCN: jconv, Keras, PyTorch and plain JAX.

    python -m benchmarks.training            # the table, some minutes on two cores

Each side runs in its own process, since Keras's backend is chosen at import. In a round every side has one turn, in
rotating order. A side's time is the median of its turns, and ratios are ratios of medians. Before anything is timed,
all sides take one step from the same params on the same batch and must have the same loss after it.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from training.options.types import whole

from .shared import command, markdown
from .shared.machine import cores
from .shared.timing import rotated
from .trainers import fcn
from .trainers.workers import Side, Worker, WorkerError, installed

TOLERANCE = 1e-4
SECONDS = 2.0
"""The duration of a turn, unless --steps is given."""
PAUSE = 0.3
"""The pause before a turn in seconds, because the threads of the previous side may still spin."""

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


class StepTimes(NamedTuple):
    """The measurements of a side: the milliseconds per step of each turn."""

    name: str
    version: str
    milliseconds: list[float]

    @property
    def median(self) -> float:
        """The median over the turns."""
        return float(np.median(self.milliseconds))


def ratios(results: Sequence[StepTimes]) -> list[float]:
    """Each side's median divided by the first side's."""
    return [result.median / results[0].median for result in results]


def table(results: Sequence[StepTimes]) -> str:
    """The results as a Markdown table, with ratios to the first side."""
    rows = []
    for result, ratio in zip(results, ratios(results), strict=True):
        turns = f"{min(result.milliseconds):.3g} to {max(result.milliseconds):.3g}"
        rows.append([result.name, f"{result.median:.3g}", turns, f"{ratio:.2f}", result.version])
    return markdown.table(["a training step", "ms", "lowest to highest", "to the first", ""], rows)


def check_losses(losses: Mapping[str, Sequence[float]]) -> None:
    """Raise `WorkerError` if the sides' losses before and after one step differ, or the step changed nothing."""
    first, *_ = losses.values()
    for name, values in losses.items():
        if not np.allclose(values, first, rtol=TOLERANCE, atol=0):
            raise WorkerError(f"{name}: losses before and after one step are {values}, not {first}")
    if first[0] == first[1]:
        raise WorkerError(f"the step changed nothing: the loss stays {first[0]}")


def measure_epochs(
    workers: Mapping[str, Any], rounds: int, seconds: float, epochs: int | None = None
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """By side, the seconds of its first epoch, and the milliseconds per epoch of each turn.

    A turn has the given number of epochs, or as many as take about `seconds`.
    """
    first = {name: worker.request(epochs=1)["seconds"] for name, worker in workers.items()}
    counts = {
        name: epochs or max(1, round(seconds / worker.request(epochs=1)["seconds"])) for name, worker in workers.items()
    }
    measured: dict[str, list[float]] = {name: [] for name in workers}
    for turn in range(rounds):
        for name in rotated(list(workers), turn):
            time.sleep(PAUSE)
            measured[name].append(1e3 * workers[name].request(epochs=counts[name])["seconds"] / counts[name])
    return first, measured


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see `python -m benchmarks.training --help`."""
    return command.exit_code("training", partial(_compare, _parse(arguments)))


def _compare(options: argparse.Namespace) -> None:
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        started: dict[str, dict[str, Any]] = {}
        for side in installed(SIDES):
            worker = Worker(side, options.batch_size)
            stack.callback(worker.close)
            try:
                started[side.name] = worker.request()
                workers[side.name] = worker
            except WorkerError as error:
                print(f"left out: {error}", flush=True)
                worker.close()
        check_losses({name: reply["losses"] for name, reply in started.items()})
        print(f"{len(workers)} sides agree on the loss after one step; {options.rounds} rounds", flush=True)
        epochs = options.steps and options.steps // fcn.BATCHES
        _, measured = measure_epochs(workers, options.rounds, SECONDS, epochs)
    results = [
        StepTimes(name, started[name]["version"], [ms / fcn.BATCHES for ms in values])
        for name, values in measured.items()
    ]
    print(f"\nbatch size {options.batch_size}, {cores()} threads, Python {platform.python_version()}\n")
    print(table(results))
    if options.json:
        sides = [
            {**result._asdict(), "median": result.median, "ratio": ratio}
            for result, ratio in zip(results, ratios(results), strict=True)
        ]
        about = {"batch_size": options.batch_size, "threads": cores(), "python": platform.python_version()}
        command.write_json(options.json, {**about, "sides": sides})


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command.parser("training", __doc__, EPILOG)
    parser.add_argument("--rounds", type=whole(1), default=9, help="turns of each side (default: 9)")
    parser.add_argument("--batch-size", type=whole(1), default=5, help="series in a batch (default: 5)")
    parser.add_argument(
        "--steps",
        type=int,
        help=f"steps in a turn, a multiple of {fcn.BATCHES} (default: as many as take about {SECONDS:.0f} seconds)",
    )
    parser.add_argument("--json", **command.JSON)
    options = parser.parse_args(arguments)
    if options.steps is not None and (options.steps < 1 or options.steps % fcn.BATCHES):
        parser.error(f"--steps must be a multiple of {fcn.BATCHES}, got {options.steps}")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
