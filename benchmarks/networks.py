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
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from training.errors import Parser
from training.options.types import positive, whole

from .convolution.summary import geometric_mean
from .network_sides.side import FORWARD, STEP
from .shared import command, markdown
from .shared.machine import cores, installed_versions, versions_line
from .shared.results import deviation
from .shared.timing import measured_names, rotated
from .trainers.workers import Side, Worker, WorkerError, installed

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


class NetworkRow(NamedTuple):
    """A program of a network for a batch size."""

    network: str
    program: str
    batch: int


Times = dict[str, list[float]]
"""Milliseconds of calls, by side."""


Check = Callable[[NetworkRow, dict[str, Any]], None]
"""Raises `ArithmeticError` for results, by side, that differ."""


def check_equal(row: NetworkRow, results: dict[str, Any], tolerance: float = TOLERANCE) -> None:
    """A `Check`: results deviate from the first side's by less than `tolerance` of their scale."""
    first, *_ = results.values()
    for name, result in results.items():
        off = deviation(result, first)
        if not off < tolerance:
            raise ArithmeticError(
                f"{row.network}, {row.program}, batch {row.batch}: {name} deviates by {off:.1e} of the scale"
            )


def measure(
    network: Any, sides: Sequence[Side], programs: Sequence[str], rounds: int, seconds: float
) -> dict[NetworkRow, Times]:
    """The times of a network; see `measure_rows`."""
    rows = [NetworkRow(network.name, program, batch) for program in programs for batch in network.batches]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "network.keras")
        network.model().save(file)
        return measure_rows(rows, sides, str(file), rounds, seconds)


def measure_rows(
    rows: Sequence[NetworkRow],
    sides: Sequence[Side],
    argument: Any,
    rounds: int,
    seconds: float,
    check: Check = check_equal,
) -> dict[NetworkRow, Times]:
    """The times of rows that all sides compute from one argument.

    Raises `WorkerError` for a side of JAX that fails, and what `check` raises; another side that fails is left out.
    """
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for side in sides:
            workers[side.name] = Worker(side, argument)
            stack.callback(workers[side.name].close)
        found: dict[NetworkRow, Times] = {row: {side: [] for side in _computed_by(row, workers, check)} for row in rows}
        for turn in range(rounds):
            for row, times in found.items():
                for name in rotated(list(times), turn):
                    time.sleep(PAUSE)
                    request = {"program": row.program, "batch": row.batch, "seconds": seconds}
                    times[name] += workers[name].request(**request)["milliseconds"]
    return found


def _computed_by(row: NetworkRow, workers: dict[str, Worker], check: Check) -> list[str]:
    """The sides that compute a row, after the check of their results."""
    results: dict[str, Any] = {}
    for name, worker in workers.items():
        if row.program == STEP and name not in TRAINED:
            continue
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder, "results.npy"))
            try:
                worker.request(program=row.program, batch=row.batch, save=file, calls=3 if row.program == STEP else 1)
            except WorkerError as error:
                if name in TRAINED:
                    raise
                print(f"left out of {row.network}, batch {row.batch}: {error}", flush=True)
                continue
            results[name] = np.load(file)
    check(row, results)
    return list(results)


def table(found: dict[NetworkRow, Times]) -> str:
    """A Markdown table: milliseconds per call of jconv, and the times of the other sides relative to it."""
    names = measured_names((side.name for side in SIDES), found.values())
    heads = ["network", "program", "batch", f"ms, {JCONV}", *(f"{name} / jconv" for name in names[1:])]
    rows = []
    for row, times in found.items():
        ratios = [f"{_ratio(times, name):.2f}" if name in times else "" for name in names[1:]]
        rows.append([row.network, row.program, row.batch, f"{np.median(times[JCONV]):.3g}", *ratios])
    return markdown.table(heads, rows)


def summary(found: dict[NetworkRow, Times]) -> list[str]:
    """A line for each program: the geometric mean and the smallest of the ratios to Keras under `jax.jit`."""
    lines = []
    for program in (FORWARD, STEP):
        ratios = {r: _ratio(times, KERAS) for r, times in found.items() if r.program == program and KERAS in times}
        if ratios:
            least = min(ratios, key=lambda row: ratios[row])
            mean = geometric_mean(ratios.values())
            where = f"{least.network}, batch {least.batch}"
            lines.append(f"{KERAS} / jconv, {program}: geometric mean {mean:.2f}, least {ratios[least]:.2f} ({where})")
    return lines


def _ratio(times: Times, name: str) -> float:
    return float(np.median(times[name]) / np.median(times[JCONV]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see `python -m benchmarks.networks --help`."""
    return command.exit_code("networks", partial(_compare, _parse(arguments)))


def _compare(options: argparse.Namespace) -> None:
    print_conditions()
    found: dict[NetworkRow, Times] = {}
    for network in options.networks:
        own = measure(network, options.sides, options.programs, options.rounds, options.seconds)
        found |= own
        for row, times in own.items():
            print(row, {name: round(float(np.median(ms)), 3) for name, ms in times.items()}, flush=True)
    print("\n" + "\n".join([table(found), "", *summary(found)]))
    write(options.json, found)


def print_conditions() -> None:
    """Print the number of threads, and the versions of Python and the packages."""
    versions = versions_line(installed_versions())
    print(f"{cores()} threads, Python {platform.python_version()}, {versions}", flush=True)


def write(path: Path | None, found: dict[NetworkRow, Times]) -> None:
    """Write the file of `--json`, if it is given."""
    if path:
        rows = [{**row._asdict(), "milliseconds": times} for row, times in found.items()]
        versions = versions_line(installed_versions())
        command.write_json(path, {"threads": cores(), "versions": versions, "rows": rows})


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command.parser("networks", __doc__, EPILOG)
    add = parser.add_argument
    add("--network", default="", metavar="TEXT", help="only networks whose name contains this text")
    add("--batch", type=whole(1), metavar="N", help="only this batch size, for every network")
    add("--program", choices=[FORWARD, STEP], help="only one of the two programs")
    options = parse_common(parser, SIDES, arguments)
    options.networks = _networks(parser, options.network, options.batch)
    options.programs = [options.program] if options.program else [FORWARD, STEP]
    return options


def parse_common(parser: Parser, sides: Sequence[Side], arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the parser, with `--sides`, `--rounds`, `--seconds` and `--json`.

    `sides` of the result are the first side and those whose name contains one of the texts, if any; without sides that
    are not installed.
    """
    add = parser.add_argument
    add("--sides", nargs="+", metavar="TEXT", help="jconv, and the sides whose name contains one of these texts")
    add("--rounds", type=whole(1), default=9, metavar="N", help="turns of each side; default 9")
    add("--seconds", type=positive, default=0.2, metavar="S", help="seconds of a turn, at least one call; default 0.2")
    add("--json", **command.JSON)
    options = parser.parse_args(arguments)
    command.check_folder(parser, options)
    texts = options.sides or [""]
    for text in texts:
        if not any(text in side.name for side in sides):
            names = ", ".join(side.name for side in sides)
            parser.error(f"--sides {text!r}: no name of a side contains it; they are {names}")
    options.sides = installed([s for s in sides if s is sides[0] or any(text in s.name for text in texts)])
    return options


def _networks(parser: Parser, text: str, batch: int | None) -> list[Any]:
    if find_spec("keras") is None:
        parser.error('the networks are built in Keras; install it with: pip install -e ".[bench]"')
    from .network_sides.architectures import NETWORKS

    found = [network if batch is None else network._replace(batches=(batch,)) for network in NETWORKS]
    found = [network for network in found if text in network.name]
    if not found:
        names = ", ".join(network.name for network in NETWORKS)
        parser.error(f"--network {text!r}: no name of a network contains it; they are {names}")
    return found


if __name__ == "__main__":
    raise SystemExit(main())
