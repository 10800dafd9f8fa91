"""jconv beside plain lax: forward, and forward with both gradients, alone and as the step of a scan.

    python -m benchmarks.conv1d            # the table of the README, about three minutes on two cores

Each timing is the median of interleaved repetitions in one process, the order rotated; a row compares medians. Every
result is checked against the NumPy reference before it is timed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jconv

Timed = Callable[[], Any]


class Row(NamedTuple):
    """One convolution: sizes in the order of the usual tables."""

    name: str
    batch: int
    length: int
    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1


ROWS = [
    Row("FCN, first layer", 5, 150, 1, 128, 8),
    Row("FCN, second layer", 5, 150, 128, 256, 5),
    Row("FCN, third layer", 5, 150, 256, 128, 3),
    Row("dense", 16, 512, 128, 256, 5),
    Row("wav2vec 2.0, a strided layer", 1, 3199, 512, 512, 3, 2),
    Row("TCN, dilated", 8, 512, 64, 64, 3, 1, 8),
    Row("pointwise", 16, 512, 128, 256, 1),
    Row("windows that do not overlap", 64, 108, 1, 16, 12, 12),
    Row("8 groups", 8, 1024, 128, 128, 9, 1, 1, 8),
    Row("depthwise", 4, 512, 256, 256, 7, 1, 1, 256),
]
SCAN_STEPS = 4
TOLERANCE = 1e-5


def lax_convolution(row: Row) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The row as plain lax has it, causal padding."""
    reach = (row.kernel_size - 1) * row.dilation + 1
    return lambda x, kernel: jax.lax.conv_general_dilated(
        x,
        kernel,
        (row.stride,),
        [(reach - 1, 0)],
        rhs_dilation=(row.dilation,),
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=row.groups,
    )


def jconv_convolution(row: Row) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The row as jconv has it, by its own choice of algorithm."""
    options: dict[str, Any] = {"stride": row.stride, "dilation": row.dilation, "groups": row.groups}
    return lambda x, kernel: jconv.conv1d({"kernel": kernel}, x, padding="causal", **options)


def programs(row: Row, convolution: Callable[[jax.Array, jax.Array], jax.Array]) -> dict[str, Timed]:
    """The three compiled programs of a row; the scan's step takes the gradients and moves both operands by them."""
    x, kernel, y_bar = operands(row)

    def gradients(x: jax.Array, kernel: jax.Array) -> Any:
        y, pull = jax.vjp(convolution, x, kernel)
        return y, pull(y_bar)

    def scanned(x: jax.Array, kernel: jax.Array) -> Any:
        def step(carry: Any, _: Any) -> Any:
            _, bars = gradients(*carry)
            return jax.tree.map(lambda a, b: a + 1e-6 * b, carry, bars), None

        return jax.lax.scan(step, (x, kernel), None, length=SCAN_STEPS)[0]

    functions = {"forward": convolution, "with gradients": gradients, "in a scan": scanned}
    return {name: _call(jax.jit(function), x, kernel) for name, function in functions.items()}


def _call(compiled: Callable[..., Any], *arguments: Any) -> Timed:
    return lambda: jax.block_until_ready(compiled(*arguments))


def operands(row: Row) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Random x, kernel and cotangent of a row."""
    rng = np.random.default_rng(0)
    out_length = jconv.output_length(
        row.length, row.kernel_size, stride=row.stride, dilation=row.dilation, padding="causal"
    )
    shapes = (
        (row.batch, row.length, row.in_channels),
        (row.kernel_size, row.in_channels // row.groups, row.out_channels),
        (row.batch, out_length, row.out_channels),
    )
    x, kernel, y_bar = (jnp.asarray(rng.standard_normal(shape, np.float32)) for shape in shapes)
    return x, kernel, y_bar


def check(row: Row, timed: dict[str, Timed]) -> None:
    """Raise `ArithmeticError` unless output and both gradients are those of the NumPy reference."""
    x, kernel, y_bar = (np.asarray(a) for a in operands(row))
    options: dict[str, Any] = {
        "stride": row.stride,
        "dilation": row.dilation,
        "groups": row.groups,
        "padding": "causal",
    }
    params_bar, x_bar = jconv.reference.conv1d_vjp({"kernel": kernel}, x, y_bar, **options)
    expected = (jconv.reference.conv1d({"kernel": kernel}, x, **options), x_bar, params_bar["kernel"])
    y, bars = timed["with gradients"]()
    for actual, want in zip((y, *bars), expected, strict=True):
        deviation = np.abs(np.asarray(actual) - want).max() / np.abs(want).max()
        if not deviation < TOLERANCE:
            raise ArithmeticError(f"{row}: off by {deviation:.1e} of the largest value")


def medians(timed: dict[str, Timed], repeats: int) -> dict[str, float]:
    """Milliseconds of each, measured in turn, the first of each turn changing."""
    names = list(timed)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            began = time.perf_counter()
            timed[name]()
            seconds[name].append(time.perf_counter() - began)
    return {name: 1e3 * float(np.median(values)) for name, values in seconds.items()}


def measure(row: Row, repeats: int) -> str:
    """The row of the table: milliseconds of lax and jconv for each program, the scan's for one step."""
    sides = {"lax": programs(row, lax_convolution(row)), "jconv": programs(row, jconv_convolution(row))}
    for timed in sides.values():
        check(row, timed)
    cells = []
    for name in sides["lax"]:
        timed = {side: sides[side][name] for side in sides}
        slowest = max(medians(timed, 1).values())  # also compiles nothing any more: both have run once
        value = medians(timed, max(3, min(repeats, int(4e3 / max(slowest, 1)))))
        per = SCAN_STEPS if name == "in a scan" else 1
        cells.append(f"{value['lax'] / per:.3g}, {value['jconv'] / per:.3g} ({value['lax'] / value['jconv']:.2g}x)")
    sizes = f"{row.batch}, {row.length}, {row.in_channels}, {row.out_channels}, {row.kernel_size}"
    sizes += f", {row.stride}, {row.dilation}, {row.groups}"
    return f"| {row.name} ({sizes}) | " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conv1d", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=31, help="timings of each program (default: 31)")
    parser.add_argument("--rows", default="", help="only the rows whose name holds this text")
    args = parser.parse_args()
    device = jax.devices()[0]
    print(f"JAX {jax.__version__}, {device.platform} {device.device_kind}, float32, ms: lax, jconv (lax / jconv)\n")
    print(
        "| batch, length, in, out, kernel size, stride, dilation, groups | forward | with both gradients | in a scan |"
    )
    print("|---|---|---|---|")
    for row in ROWS:
        if args.rows in row.name:
            print(measure(row, args.repeats), flush=True)


if __name__ == "__main__":
    main()
