"""How right the planner is about this processor: the convolutions of `tests/measured_costs.csv`, each face by itself.

    python -m benchmarks.costs --csv mine.csv               # some 15 minutes, with nothing beside it
    taskset -c 0 python -m benchmarks.costs --csv mine.csv  # the constants of one core
    python -m benchmarks.costs --from-csv mine.csv          # what the model says of such a file now

Each face of each convolution is timed by every algorithm that was among the fastest anywhere, by lax and by what is
chosen here. Printed are how much longer the chosen one takes than the fastest, how often it loses to lax, and by how
much the model is off. Constants of a new kind of processor go to `jconv/machine.py`, the file's lines to the table.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jconv import bilinear, planner
from jconv.algorithms import ALGORITHMS, FACES
from jconv.costs import Sizes, milliseconds
from jconv.geometry import make_geometry
from jconv.machine import here
from jconv.processor import processor

from .allocator import keep_memory
from .errors import UserError
from .timing import compute_inline, medians, once

TABLE = Path(__file__).parent.parent / "tests" / "measured_costs.csv"
SIZES = ["batch", "length", "in_channels", "out_channels"]
NUMBERS = [*SIZES, "kernel_size", "stride", "dilation", "groups", "low", "high"]
COLUMNS = ["machine", *NUMBERS, "face", *sorted(ALGORITHMS)]
WORTH = 2.2
"""Times as long as the fastest of a machine: an algorithm that takes longer on all of them is not timed."""
HOPELESS = 4.0
"""The same of first calls here: such an algorithm is called once."""


class Face(NamedTuple):
    """One face of one convolution, and milliseconds by algorithm, on a machine of that number."""

    machine: int
    numbers: tuple[int, ...]
    face: str
    times: dict[str, float]

    @property
    def sizes(self) -> Sizes:
        """What the model needs to know."""
        batch, length, in_channels, out_channels, kernel_size, stride, dilation, groups, low, high = self.numbers
        geometry = make_geometry(
            length, kernel_size, stride=stride, padding=(low, high), dilation=dilation, groups=groups
        )
        return Sizes(geometry, batch, in_channels, out_channels)

    @property
    def chosen(self) -> str:
        """The algorithm that is chosen on this machine."""
        return planner.choose(planner.AUTO, self.face, self.sizes, machine=here()).algorithm


def read(path: Path) -> list[Face]:
    """The lines of a file, of all its machines; `UserError` where it is no such file."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                Face(
                    int(line["machine"]),
                    tuple(int(line[name]) for name in NUMBERS),
                    line["face"],
                    {name: float(line[name]) for name in ALGORITHMS if line[name]},
                )
                for line in csv.DictReader(file)
            ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a table of measured costs: {error}") from None


def worth_timing(table: Iterable[Face]) -> list[Face]:
    """Each face of the table once, with the algorithms that may be its fastest, as yet without a time."""
    names: dict[tuple[tuple[int, ...], str], set[str]] = {}
    for row in table:
        worth = {name for name, ms in row.times.items() if ms <= WORTH * min(row.times.values())}
        names.setdefault((row.numbers, row.face), {"lax", row.chosen}).update(worth)
    return [Face(0, *key, dict.fromkeys(sorted(own), math.nan)) for key, own in names.items()]


def measured(row: Face, repeats: int) -> Face:
    """The same with milliseconds, medians of interleaved calls."""
    sizes, g = row.sizes, row.sizes.geometry
    x = (sizes.batch, g.length, sizes.in_channels)
    kernel = (g.kernel_size, sizes.in_per_group, sizes.out_channels)
    y = (sizes.batch, g.out_length, sizes.out_channels)
    shapes = ((x, kernel), (y, kernel), (x, y))[FACES.index(row.face)]
    random = np.random.default_rng(0)
    operands = [jnp.asarray(random.standard_normal(shape), jnp.float32) for shape in shapes]
    run = partial(getattr(bilinear, row.face), geometry=g, precision=None)
    calls, first = {}, {}
    for name in row.times:
        compiled = jax.jit(partial(run, algorithm=name)).lower(*operands).compile()
        calls[name] = lambda compiled=compiled: jax.block_until_ready(compiled(*operands))
        calls[name]()
        first[name] = once(calls[name])[1]
    live = {name: call for name, call in calls.items() if first[name] <= HOPELESS * min(first.values())}
    times = {name: 1e3 * seconds for name, seconds in first.items()}
    timings = medians(live, {name: first[name] for name in live}, most=repeats)
    times |= {name: timing.milliseconds for name, timing in timings.items()}
    return row._replace(times={name: float(f"{ms:.4g}") for name, ms in times.items()})  # As they are written.


def summary(rows: Sequence[Face]) -> list[str]:
    """What the times say of the model, in lines."""
    known = [(row, row.chosen) for row in rows if row.chosen in row.times]
    if not known:
        return ["no face was timed by what is chosen for it here"]
    regret = _mean(row.times[name] / min(row.times.values()) for row, name in known)
    faster = _mean(row.times["lax"] / row.times[name] for row, name in known)
    off = _mean(row.times[name] / milliseconds(name, row.face, row.sizes, here()) for row, name in known)
    lost = sorted(known, key=lambda pair: -pair[0].times[pair[1]] / pair[0].times["lax"])
    lost = [(row, name) for row, name in lost if row.times[name] > max(1.1 * row.times["lax"], 0.1)]
    lines = [
        f"{len(known)} faces: what is chosen takes {regret:.3f} times as long as the fastest, and lax {faster:.2f} "
        f"times as long as it; the model's milliseconds are to be taken times {off:.2f}",
        "measured for foreseen, to that of lax, where an algorithm is within twice the fastest:",
    ]
    for face in FACES:
        own = [row for row in rows if row.face == face]
        lax = _off("lax", own)
        ratios = {name: _off(name, own) / lax for name in sorted(ALGORITHMS)}
        ratios = {name: ratio for name, ratio in ratios.items() if not math.isnan(ratio)}
        lines.append(f"- {face}: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))
    lines.append(f"slower than lax by a tenth and 0.1 ms or more: {len(lost)}")
    for row, name in lost:
        lines.append(f"- {row.numbers} {row.face}: {name} {row.times[name]:.3g} ms, lax {row.times['lax']:.3g}")
    return lines


def _off(name: str, rows: Iterable[Face]) -> float:
    near = [row for row in rows if row.times.get(name, math.inf) <= 2 * min(row.times.values())]
    return _mean(row.times[name] / milliseconds(name, row.face, row.sizes, here()) for row in near)


def _mean(ratios: Iterable[float]) -> float:
    """Geometric; NaN of none."""
    logarithms = [math.log(ratio) for ratio in ratios]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else math.nan


def run(options: argparse.Namespace) -> list[Face]:
    """Measure, a line of the file at a time, or read the file of a former run."""
    if options.from_csv:
        return read(options.from_csv)
    keep_memory()
    compute_inline()
    rows = worth_timing(read(TABLE))[:: options.every]
    found = []
    try:
        file = options.csv.open("x", newline="", encoding="utf-8")  # Not over the lines of another run.
    except OSError as error:
        raise UserError(f"--csv {options.csv}: {error.strerror or error}") from None
    with file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            found.append(measured(row, options.repeats))
            numbers: dict[str, Any] = dict(zip(NUMBERS, row.numbers, strict=True))
            writer.writerow({"machine": options.machine, **numbers, "face": row.face, **found[-1].times})
            file.flush()  # A run that is stopped leaves its lines.
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    head, examples = (__doc__ or "").split("\n\n")[:2]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.costs",
        description=head,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--csv", type=Path, help="measure, and write the times to this new file")
    which.add_argument("--from-csv", type=Path, help="measure nothing: the summary of such a file")
    parser.add_argument("--every", type=_positive, default=1, help="only each so manyth face (default: 1)")
    parser.add_argument("--repeats", type=_positive, default=9, help="timed calls of an algorithm (default: 9)")
    parser.add_argument("--machine", type=int, default=0, help="the number of the machine in the file (default: 0)")
    options = parser.parse_args(arguments)
    try:
        rows = run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(f"{processor()}, jax {jax.__version__}, float32", *summary(rows), sep="\n")
    return 0


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
