"""Measures every algorithm on random geometries, learns the planner's trees from them, and judges its choices.

python -m benchmarks.planner measure two.csv --minutes 25               # on an idle machine; can be resumed
taskset -c 0 python -m benchmarks.planner measure one.csv --minutes 10  # one core
python -m benchmarks.planner learn two.csv --processor "AMD EPYC" --cores 2
python -m benchmarks.planner measure new.csv --seed 2 --count 60 --complete  # other geometries, to judge the trees
python -m benchmarks.planner measure again.csv --like new.csv           # the same geometries a second time
python -m benchmarks.planner judge new.csv again.csv
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jconv
from jconv.planner import (
    ALGORITHMS,
    AUTO,
    FASTEST,
    OPERATIONS,
    Geometry,
    Sizes,
    candidates,
    choose,
    features,
    make_geometry,
    save_trees,
    this_machine,
)
from training.errors import UserError

from .shared import command
from .shared.allocator import keep_memory
from .shared.timing import MAX_WARMUP_SECONDS, Clock, compute_inline, medians, once

NUMBERS = ["batch", "in_channels", "out_channels", *(field.name for field in fields(Geometry))]
CHANNELS = (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 384, 512)
HOPELESS = 3.0
"""An algorithm whose first call takes this many times as long as the fastest algorithm's is not called again."""
SHORT, IN_A_ROW = 1.0, 4
"""An operation of fewer than `SHORT` milliseconds is timed `IN_A_ROW` times in a row, in one program. A single
operation would mostly wait for threads to wake up. This wait is rare in a network, and differs between algorithms."""
SLEEPLESS = Clock(sleep=lambda seconds: None)
LEAVES, FEWEST, DRAWN, VARIANCE = 800, 8, 24000, 0.3
"""The most leaves of a tree, the fewest geometries of a leaf, the number of geometries drawn to learn from, and the
weight of the variance of costs within leaves, relative to the cost of the best algorithm."""
SMOOTH, LINEAR, NOISE, FAR = 10.0, 1.0, 0.03, 20.0
"""Parameters of the interpolation: length scale, weight of the linear part, noise, and the largest ratio of times."""


class TimedOperation(NamedTuple):
    """One operation of one convolution, and milliseconds by algorithm."""

    sizes: Sizes
    operation: str
    times: dict[str, float]


def read(path: Path) -> list[TimedOperation]:
    """The rows of a table. Raises `UserError` for a file that is not one."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [_row(line) for line in csv.DictReader(file)]
        return rows or [_row({})]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a table of measured times: {error!r}") from None


def _row(line: dict[str, str]) -> TimedOperation:
    batch, in_channels, out_channels, *integers = (int(line[name]) for name in NUMBERS)
    times = {name: float(line[name]) for name in ALGORITHMS if line.get(name)}
    return TimedOperation(Sizes(Geometry(*integers), batch, in_channels, out_channels), line["operation"], times)


def draw(random: np.random.Generator) -> Sizes:
    """A random convolution: dense, with few channels, grouped or depthwise; 1 to 64 taps, one in eight 256 to 1024."""
    while True:
        kind = random.choice(["dense", "few", "grouped", "depthwise"], p=[0.3, 0.25, 0.25, 0.2])
        groups, channels = 1, random.choice(CHANNELS, 2)
        if kind == "few":
            channels[random.integers(2)] = random.choice((1, 1, 2, 3, 4, 8))
        elif kind == "grouped":
            groups = int(random.choice((2, 3, 4, 8, 16, 32)))
            channels = groups * random.choice([c for c in CHANNELS if c * groups <= 512 and c <= 64], 2)
        elif kind == "depthwise":
            groups = int(random.choice(CHANNELS[4:]))
            channels = np.array([groups, groups * random.choice((1, 1, 1, 2))])
        taps = int(2 ** random.uniform(1, 6.01)) if random.random() < 0.95 else 1
        taps = int(random.choice((256, 400, 512, 1024))) if random.random() < 0.12 else taps
        stride = int(random.choice((2, 2, 3, 4, 8, taps))) if random.random() < 0.25 else 1
        dilation = int(random.choice((2, 4, 8, 16))) if random.random() < 0.2 and taps < 100 else 1
        length, padding = int(2 ** random.uniform(5, 14)), str(random.choice(("valid", "same", "causal")))
        if length + (padding != "valid") * taps * dilation < 2 * taps * dilation:
            continue
        geometry = make_geometry(length, taps, stride=stride, padding=padding, dilation=dilation, groups=groups)
        sizes = Sizes(geometry, 1, int(channels[0]), int(channels[1]))
        # A depthwise multiply-add takes lax a hundred times as long as a dense one.
        work = 10 ** random.uniform(*{"grouped": (5.5, 8.4), "depthwise": (5, 7.4)}.get(kind, (5.7, 9.3)))
        sizes = sizes._replace(batch=int(min(max(round(work / sizes.multiply_adds), 1), 64)))
        if 0.3 * work < sizes.multiply_adds < 2 * work and sizes.elements < 2**24:
            return sizes


def time_algorithms(row: TimedOperation, names: list[str]) -> TimedOperation:
    """The row with the milliseconds of the named algorithms: medians, or the time of an algorithm's only call."""
    x, kernel, y = _shapes(row.sizes)
    shapes = {"forward": (x, kernel), "input_gradient": (y, kernel), "kernel_gradient": (x, y)}[row.operation]
    random = np.random.default_rng(0)
    operands = [jnp.asarray(random.standard_normal(shape.shape), shape.dtype) for shape in shapes]

    def compiled(name: str, count: int) -> Callable[[], Any]:
        a, *others = operands[0], *count * operands[1:]
        program = jax.jit(partial(_repeat, operation_function(row, name))).lower(a, *others).compile()
        return lambda: jax.block_until_ready(program(a, *others))

    with ThreadPoolExecutor(this_machine().cores) as pool:
        calls = dict(zip(names, pool.map(partial(compiled, count=1), names), strict=True))
        first = {name: once(call)[1] for name, call in calls.items()}
        for name in [name for name in names if first[name] <= MAX_WARMUP_SECONDS]:
            first[name] = min(once(calls[name])[1] for _ in range(3))
        live = [name for name in names if first[name] <= HOPELESS * min(first.values())]
        count = IN_A_ROW if 1e3 * min(first.values()) < SHORT else 1
        calls = {name: calls[name] for name in live}
        if count > 1:
            calls = dict(zip(live, pool.map(partial(compiled, count=count), live), strict=True))
    seconds = {name: once(call)[1] for name, call in calls.items()}
    timings = medians(calls, seconds, max_repeats=9, budget=0.1 * len(live), clock=SLEEPLESS)
    times = {name: 1e3 * first[name] for name in names}
    times |= {name: timing.milliseconds / count for name, timing in timings.items()}
    return row._replace(times={name: float(f"{ms:.4g}") for name, ms in times.items()})


def operation_function(row: TimedOperation, algorithm: str) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The operation as a function of its two operands, with the named algorithm."""
    x, kernel, _ = _shapes(row.sizes)
    g = row.sizes.geometry
    options: Any = {"stride": g.stride, "padding": (g.low, g.high), "dilation": g.dilation, "groups": g.groups}

    def forward(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jconv.conv1d({"kernel": kernel}, x, algorithm=algorithm, **options)

    functions: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
        "forward": forward,
        "input_gradient": lambda y_bar, kernel: jax.linear_transpose(lambda x: forward(x, kernel), x)(y_bar)[0],
        "kernel_gradient": lambda x, y_bar: jax.linear_transpose(lambda kernel: forward(x, kernel), kernel)(y_bar)[0],
    }
    return functions[row.operation]


def _shapes(s: Sizes) -> tuple[jax.ShapeDtypeStruct, ...]:
    """x, the kernel and y."""
    g = s.geometry
    x, kernel = (s.batch, g.length, s.in_channels), (g.kernel_size, s.in_per_group, s.out_channels)
    return tuple(jax.ShapeDtypeStruct(a, jnp.float32) for a in (x, kernel, (s.batch, g.out_length, s.out_channels)))


def _repeat(run: Callable[..., jax.Array], a: jax.Array, *others: jax.Array) -> list[jax.Array]:
    """The results of an operation with each of the others; `a` depends on the result before, as in a network."""
    results = []
    for b in others:
        results.append(run(a, b))
        a = a + results[-1].ravel()[0]
    return results


def promising_algorithms(row: TimedOperation, rows: Sequence[TimedOperation], random: np.random.Generator) -> list[str]:
    """The algorithms within `HOPELESS` times the fastest one's time for this operation.

    If the row has no times, they are those within this ratio for one of the four most similar geometries. One in ten of
    the others is added, because even the most similar geometries may be very different.
    """
    if row.times:
        limit = HOPELESS * min(row.times.values())
        return [name for name, ms in row.times.items() if name == "lax" or ms <= limit]
    names = candidates(row.operation, row.sizes)
    rows = [other for other in rows if other.operation == row.operation]
    if len(rows) < 40:
        return names
    here, others = logarithms([row]), logarithms(rows)
    near = [rows[i] for i in np.argsort(np.abs(others - here).sum(1))[:4]]
    limits = [HOPELESS * min(other.times.values()) for other in near]
    fast = {n for n in names for other, ms in zip(near, limits, strict=True) if other.times.get(n, math.inf) <= ms}
    return [name for name in names if name == "lax" or name in fast or random.random() < 0.1]


def measure(options: argparse.Namespace) -> None:
    """Append rows to a table, one geometry after the other, until the time is over or there are enough."""
    keep_memory()
    compute_inline()
    table = options.tables[0]
    rows = read(table) if table.exists() and table.stat().st_size else []
    random = np.random.default_rng([options.seed, len(rows)])
    geometries = iter(partial(_drawn, random), None)
    if options.like:
        again = read(options.like)
        geometries = [again[i : i + len(OPERATIONS)] for i in range(len(rows), len(again), len(OPERATIONS))]
    until, is_new = time.monotonic() + 60 * options.minutes, not rows
    with table.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow([*NUMBERS, "operation", *ALGORITHMS])
        for operations in geometries:
            if time.monotonic() > until or len(rows) >= len(OPERATIONS) * options.count:
                return
            for row in operations:
                if options.complete:
                    names = candidates(row.operation, row.sizes)
                else:
                    names = promising_algorithms(row, rows, random)
                rows.append(time_algorithms(row, names))
            for s, operation, times in rows[-len(OPERATIONS) :]:
                milliseconds = [times.get(name, "") for name in ALGORITHMS]
                writer.writerow([*s[1:], *astuple(s.geometry), operation, *milliseconds])
            file.flush()


def _drawn(random: np.random.Generator) -> list[TimedOperation]:
    sizes = draw(random)
    return [TimedOperation(sizes, operation, {}) for operation in OPERATIONS]


def logarithms(rows: Sequence[TimedOperation]) -> np.ndarray:
    """The features of the trees, as logarithms."""
    return np.log2([list(features(row.sizes).values()) for row in rows])


def learn(options: argparse.Namespace) -> None:
    """Learn trees from tables and write them to the package."""
    if not options.processor:
        raise UserError("learn needs --processor, a text that the names of these processors contain")
    rows = [row for path in options.tables for row in read(path) if row.times.get("lax")]
    trees = {operation: learn_tree([row for row in rows if row.operation == operation]) for operation in OPERATIONS}
    save_trees(options.processor, options.cores, trees)


def learn_tree(rows: Sequence[TimedOperation]) -> Any:
    """Learn the tree of one operation from its rows, and from `DRAWN` more geometries with interpolated times."""
    random = np.random.default_rng(0)
    drawn = [TimedOperation(draw(random), rows[0].operation, {}) for _ in range(DRAWN)]
    every = [*rows, *drawn]
    names = sorted({name for row in rows for name in row.times})
    times = interpolate(rows, drawn, names)
    is_candidate = np.array([[name in candidates(row.operation, row.sizes) for name in names] for row in every])
    # The cost of a leaf with one algorithm, for "auto" and for "fastest".
    local = is_candidate & [ALGORITHMS[name].LOCAL for name in names]
    costs = np.stack([np.where(own, times, np.inf) for own in (local, is_candidate)])
    costs = np.minimum(costs - costs.min(2, keepdims=True), math.log(HOPELESS))
    ratios = np.where(is_candidate, times - times[:, [names.index("lax")]], 0)

    def as_json(node: list[Any]) -> Any:
        if len(node) > 1:
            feature, threshold, *nodes = node
            return [feature, threshold, *map(as_json, nodes)]
        mean = np.exp(ratios[node[0]].mean(0)).round(3)
        gains = {name: ratio for name, ratio in zip(names, mean.tolist(), strict=True) if ratio < 1}
        return {"geometries": int((node[0] < len(rows)).sum()), "ratios": gains}

    return as_json(grow_tree(logarithms(every), costs, list(features(rows[0].sizes))))


def interpolate(rows: Sequence[TimedOperation], drawn: Sequence[TimedOperation], names: Sequence[str]) -> np.ndarray:
    """Logarithms of the times of all geometries, by a Gaussian process whose covariance is linear plus smooth."""
    times = np.log([[row.times.get(name, HOPELESS * min(row.times.values())) for name in names] for row in rows])
    times = np.minimum(times, times.min(1, keepdims=True) + math.log(FAR))
    known, mean = _coordinates(rows), times.mean(0)
    weights = np.linalg.solve(_covariance(known, known) + NOISE * np.eye(len(rows)), times - mean)
    return np.concatenate([times, mean + _covariance(_coordinates(drawn), known) @ weights])


def _coordinates(rows: Sequence[TimedOperation]) -> np.ndarray:
    sizes = [(s.batch, s.in_per_group, s.out_per_group, s.geometry) for s, *_ in rows]
    x = np.log2([(*s, g.out_length, g.groups, g.kernel_size, g.stride, g.dilation) for *s, g in sizes])
    return np.hstack([x, 2 * (x[:, 1:] == 0)])


def _covariance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = ((a[:, None] - b) ** 2).sum(2)
    return np.exp(-squares / (2 * SMOOTH**2)) + LINEAR * (1 + a @ b.T)


def grow_tree(x: np.ndarray, costs: np.ndarray, names: list[str]) -> list[Any]:
    """A tree, split where the loss decreases most: nodes `[feature, threshold, node, node]`, leaves `[indices]`."""
    root: list[Any] = [np.arange(len(x))]
    leaves = [(best_split(x, costs), root)]
    for _ in range(LEAVES - 1):
        (saved, feature, threshold), node = leaves.pop(max(range(len(leaves)), key=lambda i: leaves[i][0]))
        if saved <= 0:
            break
        (own,) = node
        is_low = x[own, feature] <= threshold
        parts: list[list[Any]] = [[own[is_low]], [own[~is_low]]]
        node[:] = [names[feature], float(f"{2**threshold:.6g}"), *parts]
        leaves += [(best_split(x[part[0]], costs[:, part[0]]), part) for part in parts]
    return root


def best_split(x: np.ndarray, costs: np.ndarray) -> tuple[float, int, float]:
    """The best reduction of `loss` by a split, and the feature and threshold of that split."""

    def loss(sums: np.ndarray, squares: np.ndarray, count: Any) -> np.ndarray:
        # Each part has its own algorithm. With the variance, a tree also grows where only two splits together gain.
        return sums.min(2).sum(0) + VARIANCE * (squares - (sums**2).sum((0, 2)) / count)

    best, count = (-math.inf, 0, 0.0), np.arange(1, len(x))
    for feature, column in enumerate(x.T if len(x) >= 2 * FEWEST else ()):
        order = np.argsort(column, kind="stable")
        low, squares = costs[:, order].cumsum(1), (costs[:, order] ** 2).sum((0, 2)).cumsum()
        (complete,) = loss(low[:, -1:], squares[-1:], len(x))
        high = low[:, -1:] - low[:, :-1]
        parts = loss(low[:, :-1], squares[:-1], count) + loss(high, squares[-1] - squares[:-1], len(x) - count)
        values, is_small = column[order], (count < FEWEST) | (len(x) - count < FEWEST)
        parts = np.where(is_small | (values[1:] == values[:-1]), math.inf, parts)
        i = int(parts.argmin())
        best = max(best, (float(complete - parts[i]), feature, float(values[i] + values[i + 1]) / 2))
    return best


def judge(options: argparse.Namespace) -> None:
    """Print the times of the chosen algorithms relative to the fastest, and the times of lax relative to the chosen."""
    if len(options.tables) != 2:
        raise UserError(f"judge needs two tables of the same geometries, got {len(options.tables)}")
    first, again = map(read, options.tables)
    for policy in (AUTO, FASTEST):
        slower, faster = {}, {}
        for number, (row, second) in enumerate(zip(first, again, strict=True)):
            # The first measurement decides which algorithm is the fastest, the second how fast it is.
            own = {name: ms for name, ms in row.times.items() if policy == FASTEST or ALGORITHMS[name].LOCAL}
            times = row.times | second.times
            name = choose(policy, row.operation, row.sizes, hardware=this_machine()).algorithm
            chosen = times.get(name, HOPELESS * min(times.values()))  # not timed: too slow for all similar sizes
            slower[number] = chosen / times[min(own, key=own.__getitem__)]
            faster[number] = times["lax"] / chosen
        print(f"{policy}: chosen / fastest {_summary(slower)}; lax / chosen {_summary(faster)}")
        for number in [*sorted(faster, key=faster.__getitem__)[:3], *sorted(slower, key=slower.__getitem__)[-5:]]:
            print(f"  chosen / fastest {slower[number]:.2f}, lax / chosen {faster[number]:.2f}: {first[number]}")


def _summary(ratios: dict[int, float]) -> str:
    values = np.array(list(ratios.values()))
    mean, percentile_90 = np.exp(np.log(values).mean()), np.quantile(values, 0.9)
    spread = f"90th percentile {percentile_90:.2f}, {values.min():.2f} to {values.max():.2f}"
    return f"{mean:.3f} (mean of {len(values)}), {spread}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a step; returns the exit code."""
    head, examples = (__doc__ or "").split("\n\n")[:2]
    parser = command.parser("planner", head, examples)
    parser.add_argument("step", choices=list(STEPS))
    parser.add_argument("tables", type=Path, nargs="+", help="CSV files; measure begins or continues the first")
    parser.add_argument("--minutes", type=float, default=math.inf, help="measure: stop after this many minutes")
    parser.add_argument("--count", type=int, default=10**6, help="measure: the most geometries in the table")
    parser.add_argument("--seed", type=int, default=1, help="measure: seed of the random geometries")
    parser.add_argument("--like", type=Path, help="measure: the geometries of this table again")
    parser.add_argument("--complete", action="store_true", help="measure: every algorithm, however slow")
    parser.add_argument("--processor", default="", help="learn: a text that the names of these processors contain")
    parser.add_argument(
        "--cores", type=int, default=this_machine().cores, help="learn: the number of cores that were measured"
    )
    options = parser.parse_args(arguments)
    return command.exit_code("planner", partial(STEPS[options.step], options))


STEPS: dict[str, Callable[[argparse.Namespace], None]] = {"measure": measure, "learn": learn, "judge": judge}

if __name__ == "__main__":
    raise SystemExit(main())
