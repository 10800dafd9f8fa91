"""Times complete networks in jconv, in Keras under `jax.jit` and on other backends, and in ONNX Runtime.

    python -m benchmarks.networks            # the table, some twenty minutes on two cores

Each network is built in Keras and saved; every side reads that file in its own process, so all compute the same
network. Before anything is timed, all outputs must be equal, and so must the losses of three training steps. Then the
sides take turns, in rotating order. Times are medians over the calls of all turns, and ratios are ratios of medians.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from training.errors import UserError
from training.options.types import positive, whole

from .convolution.summary import geometric_mean
from .network_sides.side import FORWARD, STEP
from .shared import command, markdown
from .shared.machine import cores
from .trainers.workers import Side, Worker, WorkerError

os.environ.setdefault("KERAS_BACKEND", "jax")

JCONV, KERAS = "jconv", "Keras, `jax.jit`"
SIDES = (
    Side(JCONV, "network_sides.jax_sides", "jconv"),
    Side(KERAS, "network_sides.jax_sides", "jit", ("keras",)),
    Side("Keras `predict`", "network_sides.jax_sides", "predict", ("keras",)),
    Side("`torch.compile`", "network_sides.other_sides", "torch", ("keras", "torch"), "torch"),
    Side("`tf.function`", "network_sides.other_sides", "tensorflow", ("keras", "tensorflow"), "tensorflow"),
    Side("ONNX Runtime", "network_sides.other_sides", "onnx", ("keras", "torch", "onnx", "onnxruntime"), "torch"),
)
TRAINED = (JCONV, KERAS)
"""The sides that take training steps."""

TOLERANCE = 1e-4
PAUSE = 0.05
"""The pause before a turn in seconds, because the threads of the previous side may still spin."""

EPILOG = """\
examples:
  python -m benchmarks.networks
  python -m benchmarks.networks --network Inception --batch 1
  python -m benchmarks.networks --sides jconv Keras --json runs/networks.json

A side whose package is not installed is left out, and so is one that cannot compute a network. Exit codes: 0 done, 1
results that differ or a side of JAX that fails, 2 a mistake in an option."""


class Row(NamedTuple):
    """A program of a network for a batch size."""

    network: str
    program: str
    batch: int


Times = dict[str, list[float]]
"""Milliseconds of calls, by side."""


Check = Callable[[Row, dict[str, Any]], None]
"""Raises `ArithmeticError` for results, by side, that differ."""


def check_equal(row: Row, results: dict[str, Any], tolerance: float = TOLERANCE) -> None:
    """A `Check`: results deviate from the first side's by less than `tolerance` of their scale."""
    first, *_ = results.values()
    for name, result in results.items():
        deviation = float(np.abs(result - first).max() / np.abs(first).max())
        if not deviation < tolerance:
            raise ArithmeticError(
                f"{row.network}, {row.program}, batch {row.batch}: {name} deviates by {deviation:.1e} of the scale"
            )


def measure(
    network: Any, sides: Sequence[Side], programs: Sequence[str], rounds: int, seconds: float
) -> dict[Row, Times]:
    """The times of a network; see `measure_rows`."""
    rows = [Row(network.name, program, batch) for program in programs for batch in network.batches]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "network.keras")
        network.model().save(file)
        return measure_rows(rows, sides, str(file), rounds, seconds)


def measure_rows(
    rows: Sequence[Row], sides: Sequence[Side], argument: Any, rounds: int, seconds: float, check: Check = check_equal
) -> dict[Row, Times]:
    """The times of rows that all sides compute from one argument.

    Raises `WorkerError` for a side of JAX that fails, and what `check` raises; another side that fails is left out.
    """
    with _workers(sides, argument) as workers:
        found: dict[Row, Times] = {row: {side: [] for side in _computed_by(row, workers, check)} for row in rows}
        for turn in range(rounds):
            for row, times in found.items():
                for name in np.roll(list(times), -turn):
                    time.sleep(PAUSE)
                    question = {"program": row.program, "batch": row.batch, "seconds": seconds}
                    times[name] += workers[name].ask(**question)["milliseconds"]
    return found


@contextmanager
def _workers(sides: Sequence[Side], argument: Any) -> Iterator[dict[str, Worker]]:
    workers: dict[str, Worker] = {}
    try:
        for side in sides:
            workers[side.name] = Worker(side, argument)
        yield workers
    finally:
        for worker in workers.values():
            worker.stop()


def _computed_by(row: Row, workers: dict[str, Worker], check: Check) -> list[str]:
    """The sides that compute a row, after the check of their results."""
    results: dict[str, Any] = {}
    for name, worker in workers.items():
        if row.program == STEP and name not in TRAINED:
            continue
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder, "results.npy"))
            try:
                worker.ask(program=row.program, batch=row.batch, save=file, calls=3 if row.program == STEP else 1)
            except WorkerError as error:
                if name in TRAINED:
                    raise
                print(f"left out of {row.network}, batch {row.batch}: {error}", flush=True)
                continue
            results[name] = np.load(file)
    check(row, results)
    return list(results)


def table(found: dict[Row, Times]) -> str:
    """A Markdown table: milliseconds per call of jconv, and the times of the other sides relative to it."""
    names = [side.name for side in SIDES if any(side.name in times for times in found.values())]
    heads = ["network", "program", "batch", f"ms, {JCONV}", *(f"{name} / jconv" for name in names[1:])]
    rows = []
    for row, times in found.items():
        ratios = [f"{_ratio(times, name):.2f}" if name in times else "" for name in names[1:]]
        rows.append([row.network, row.program, row.batch, f"{np.median(times[JCONV]):.3g}", *ratios])
    return markdown.table(heads, rows)


def summary(found: dict[Row, Times], name: str = KERAS) -> list[str]:
    """A line for each program: the geometric mean and the smallest of the ratios to one side."""
    lines = []
    for program in (FORWARD, STEP):
        ratios = {row: _ratio(times, name) for row, times in found.items() if row.program == program and name in times}
        if ratios:
            least = min(ratios, key=lambda row: ratios[row])
            mean = geometric_mean(ratios.values())
            where = f"{least.network}, batch {least.batch}"
            lines.append(f"{name} / jconv, {program}: geometric mean {mean:.2f}, least {ratios[least]:.2f} ({where})")
    return lines


def _ratio(times: Times, name: str) -> float:
    return float(np.median(times[name]) / np.median(times[JCONV]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see `python -m benchmarks.networks --help`."""
    options = _parse(arguments)
    found: dict[Row, Times] = {}
    print(f"{cores()} threads, Python {platform.python_version()}, {versions()}", flush=True)
    try:
        for network in options.networks:
            found |= measure(network, options.sides, options.programs, options.rounds, options.seconds)
            for row, times in found.items():
                if row.network == network.name:
                    print(row, {name: round(float(np.median(ms)), 3) for name, ms in times.items()}, flush=True)
    except (WorkerError, ArithmeticError) as error:
        print(f"networks: {error}", file=sys.stderr)
        return 1
    print("\n" + "\n".join([table(found), "", *summary(found)]))
    if options.json:
        rows = [{**row._asdict(), "milliseconds": times} for row, times in found.items()]
        command.write_json(options.json, {"threads": cores(), "versions": versions(), "rows": rows})
    return 0


def versions() -> str:
    """The versions of the packages of a comparison, in one line."""
    from .shared.machine import installed_versions

    return ", ".join(f"{name} {version}" for name, version in installed_versions().items())


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command.parser("networks", __doc__, EPILOG)
    add = parser.add_argument
    add("--network", default="", metavar="TEXT", help="only networks whose name contains this text")
    add("--batch", type=whole(1), metavar="N", help="only this batch size, for every network")
    add("--program", choices=[FORWARD, STEP], help="only one of the two programs")
    add("--sides", nargs="+", metavar="TEXT", help="jconv, and the sides whose name contains one of these texts")
    add("--rounds", type=whole(1), default=9, metavar="N", help="turns of each side; default 9")
    add("--seconds", type=positive, default=0.2, metavar="S", help="seconds of a turn; default 0.2")
    add("--json", type=Path, metavar="FILE", help="write all measurements to this file")
    options = parser.parse_args(arguments)
    try:
        options.sides = installed_sides(SIDES, options.sides)
        options.networks = _networks(options.network, options.batch)
        if options.json and not options.json.parent.is_dir():
            raise UserError(f"--json {options.json}: there is no folder {options.json.parent}")
    except UserError as error:
        parser.error(str(error))
    options.programs = [options.program] if options.program else [FORWARD, STEP]
    return options


def installed_sides(sides: Sequence[Side], texts: Sequence[str] | None) -> list[Side]:
    """The first side and those whose name contains one of the texts, if any; without sides that are not installed.

    Raises `UserError` for a text that no name contains.
    """
    for text in texts or ():
        if not any(text in side.name for side in sides):
            raise UserError(
                f"--sides {text!r}: no name of a side contains it; they are {', '.join(s.name for s in sides)}"
            )
    chosen = [side for side in sides if side is sides[0] or not texts or any(text in side.name for text in texts)]
    there = [side for side in chosen if all(find_spec(package) for package in side.needs)]
    for side in chosen:
        if side not in there:
            print(f"left out: {side.name}: {' or '.join(side.needs)} not installed", flush=True)
    return there


def _networks(text: str, batch: int | None) -> list[Any]:
    if find_spec("keras") is None:
        raise UserError('the networks are built in Keras; install it with: pip install -e ".[bench]"')
    from .network_sides.architectures import NETWORKS

    found = [network if batch is None else network._replace(batches=(batch,)) for network in NETWORKS]
    found = [network for network in found if text in network.name]
    if not found:
        names = ", ".join(network.name for network in NETWORKS)
        raise UserError(f"--network {text!r}: no name of a network contains it; they are {names}")
    return found


if __name__ == "__main__":
    raise SystemExit(main())
