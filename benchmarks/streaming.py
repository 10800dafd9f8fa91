"""Times steps of streamed networks: jconv, recomputation of the window, sequence-layers and PyTorch.

    python -m benchmarks.streaming            # the table, a few minutes on two cores

A row is a network, a number of sessions that step together, and the samples per step. Every side first streams a short
sequence, whose outputs must equal the NumPy reference's. Then the sides take turns of several consecutive steps.
A side's time is the median over its turns of the time per step.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from training.options.types import whole

from .shared import command, markdown
from .shared.allocator import keep_memory
from .shared.machine import cores, describe, versions_line
from .shared.results import deviation
from .shared.timing import Timing, compute_inline, measured_names, medians, once
from .streams.networks import Array, StreamedNetwork, networks
from .streams.sides import JCONV, PRODUCTS, SEQUENCE_LAYERS, SIDES, TORCH, WINDOW, Step, StreamSide, missing, truth

TOLERANCE = 1e-5

EPILOG = """\
examples:
  python -m benchmarks.streaming
  python -m benchmarks.streaming --sessions 1 --network TCN
  python -m benchmarks.streaming --sessions 1 --inline
  python -m benchmarks.streaming --long 1000000
  python -m benchmarks.streaming --json runs/streaming.json

--long streams the first network sample by sample and compares the last thousand outputs with a recomputed
window; memory must not grow. Exit codes: 0 done, 1 a result that differs from the reference, 2 an error in
an option."""


class StreamRow(NamedTuple):
    """What is measured: `sessions` sessions that step together, by `chunk` samples each."""

    network: StreamedNetwork
    sessions: int
    chunk: int

    @property
    def name(self) -> str:
        """The name in the table."""
        return f"{self.network.name}; {self.sessions} x {self.chunk}"

    @property
    def steps(self) -> int:
        """The steps per turn."""
        return 20 if self.sessions == 1 else 1


def rows(sessions: int | None = None, network: str = "") -> list[StreamRow]:
    """The rows: one session with chunks of 1 and 64 samples, and a thousand sessions with one sample."""
    kinds = [(1, 1), (1, 64), (1000, 1)]
    chosen = [kind for kind in kinds if sessions in (None, kind[0])]
    return [StreamRow(net, *kind) for net in networks() if network in net.name for kind in chosen]


def sides(row: StreamRow) -> list[StreamSide]:
    """The installed sides, without the window for many sessions, and without matrix products for depthwise networks."""
    lacking = missing(SIDES)
    if row.sessions > 1:
        lacking.append(WINDOW)
    if any(conv.depthwise for block in row.network.blocks for conv in block):
        lacking.append(PRODUCTS)
    return [side for side in SIDES if side.needs not in lacking and side.name not in lacking]


def check(row: StreamRow, side: StreamSide) -> None:
    """Raise `ArithmeticError` if a side that streams deviates from the reference."""
    if not side.streams:
        return
    # The window side is correct once its window is full, so a window of samples comes first.
    lengths = [row.network.reach - 1, row.chunk, row.chunk]
    x = np.random.default_rng(1).normal(size=(2, sum(lengths), row.network.channels)).astype("float32")
    step = side.build(row.network, 2, row.chunk)
    chunks = np.split(x, np.cumsum(lengths)[:-1], axis=1)
    outputs = [np.asarray(step(np.ascontiguousarray(chunk))) for chunk in chunks]
    y = np.concatenate(outputs[1:], axis=1)
    off = deviation(y, truth(row.network, x)[:, lengths[0] :])
    if not off < TOLERANCE:
        raise ArithmeticError(f"{row.name}: {side.name} deviates from the reference by {off:.1e} of its scale")


def measure(row: StreamRow, turns: int, budget: float) -> dict[str, Timing]:
    """Milliseconds per step by side."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(row.sessions, row.chunk, row.network.channels)).astype("float32")
    calls = {}
    for side in sides(row):
        check(row, side)
        calls[side.name] = partial(_turn, side.build(row.network, row.sessions, row.chunk), x, row.steps)
    for call in calls.values():
        call()
    first = {name: once(call)[1] for name, call in calls.items()}
    found = medians(calls, first, max_repeats=turns, budget=budget)
    return {name: Timing(timing.milliseconds / row.steps, timing.repeats) for name, timing in found.items()}


def _turn(step: Step, x: Array, steps: int) -> None:
    for _ in range(steps):
        step(x)


def long(network: StreamedNetwork, samples: int) -> tuple[float, float, int, int]:
    """Stream `samples` samples one by one, in scans of a thousand steps.

    Returns the deviation of the last thousand outputs from a recomputed window, relative to their scale, the
    microseconds per step, and the bytes in JAX's arrays after the first tenth and at the end.
    """
    model, params = network.model(), jax.tree.map(jax.numpy.asarray, network.params())

    @partial(jax.jit, donate_argnums=1)
    def scanned(params: Any, stream: Any, x: Any) -> Any:
        def step(stream: Any, sample: Any) -> Any:
            y, stream = model.stream_step(params, {}, stream, sample[None, None])
            return stream, y[0, 0]

        return jax.lax.scan(step, stream, x)

    stream, tail, block = model.stream_init(params, {}, (1,)), [], 1000
    seconds, array_bytes, y = 0.0, [], None
    blocks = max(2 + network.reach // block, samples // block)
    for number in range(blocks):
        x = np.random.default_rng(number).normal(size=(block, network.channels)).astype("float32")
        (stream, y), took = once(lambda stream=stream, x=x: jax.block_until_ready(scanned(params, stream, x)))
        seconds += took if number else 0.0
        tail = [*tail, x][-(2 + network.reach // block) :]
        if number in (max(1, blocks // 10), blocks - 1):
            array_bytes.append(sum(array.nbytes for array in jax.live_arrays()))
    window = np.concatenate(tail)[-(network.reach - 1 + block) :]
    wanted = model.apply(params, {}, window[None])[0][0, -block:]
    return deviation(y, wanted), 1e6 * seconds / (block * (blocks - 1)), array_bytes[0], array_bytes[-1]


def table(results: dict[str, dict[str, Timing]]) -> str:
    """A Markdown table: milliseconds per step, and the times of the other sides relative to jconv's."""
    names = measured_names((side.name for side in SIDES), results.values())
    heads = ["a step of sessions x samples, ms", *names, "sequence-layers to jconv", "PyTorch to jconv"]
    rows = []
    for row, found in results.items():
        times = [f"{found[name].milliseconds:.3g}" if name in found else "" for name in names]
        ratios = [
            f"{found[other].milliseconds / found[JCONV].milliseconds:.2f}" if other in found else ""
            for other in (SEQUENCE_LAYERS, TORCH)
        ]
        rows.append([row, *times, *ratios])
    return markdown.table(heads, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see `python -m benchmarks.streaming --help`."""
    return command.exit_code("streaming", partial(_measure, _parse(arguments)))


def _measure(options: argparse.Namespace) -> int:
    keep_memory()
    if options.inline:
        compute_inline()
    for package in missing(SIDES):
        print(f"left out: {package} is not installed", flush=True)
    machine = describe(jax.devices()[0])
    print(f"{versions_line(machine['versions'])}; {cores()} threads, Python {platform.python_version()}\n", flush=True)
    if options.long:
        off, microseconds, early, late = long(networks()[0], options.long)
        print(f"{options.long:,} steps of the WaveNet, {microseconds:.1f} us each in scans of 1,000")
        print(f"memory of the arrays: {early:,} bytes after a tenth of the steps, {late:,} at the end")
        print(f"the last 1,000 outputs deviate from a recomputed window by {off:.1e} of their scale")
        return 0 if off < TOLERANCE and early == late else 1
    results: dict[str, dict[str, Timing]] = {}
    for row in options.rows:
        results[row.name] = measure(row, options.turns, options.budget)
        print(row.name, {name: round(t.milliseconds, 4) for name, t in results[row.name].items()}, flush=True)
    print("\n" + table(results))
    if options.json:
        found = {row: {name: t._asdict() for name, t in times.items()} for row, times in results.items()}
        command.write_json(options.json, {"machine": machine, "rows": found})
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command.parser("streaming", __doc__, EPILOG)
    add = parser.add_argument
    add("--network", default="", metavar="TEXT", help="only networks whose name contains this text")
    add("--sessions", type=int, choices=[1, 1000], help="only rows with this number of sessions")
    add("--turns", type=whole(1), default=31, metavar="N", help="the maximum number of turns of each side; default 31")
    add("--budget", type=float, default=10.0, metavar="S", help="seconds for a row; default 10")
    add("--inline", action="store_true", help="JAX computes in the calling thread")
    add("--long", type=whole(1), metavar="N", help="stream N samples through the WaveNet instead")
    add("--json", **command.JSON)
    options = parser.parse_args(arguments)
    options.rows = rows(options.sessions, options.network)
    if not options.rows:
        parser.error(f"--network {options.network!r}: no name of a network contains it")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
