"""Computes convolutions with every sharding of their operands over a mesh of devices, and counts incorrect results.

XLA's partitioner silently computes some convolutions on automatic meshes incorrectly. This command counts wrong
results, exceptions and aborts for `jax.lax.conv_general_dilated` and for jconv, forward and both gradients, for six
geometries and all shardings of `x` and of the kernel over the mesh axes, on eight simulated CPU devices:

    python -m benchmarks.sharding --mesh 4x2          # lax and jconv; docs/background/sharding.md has totals
    python -m benchmarks.sharding --mesh 2x2x2 --what jconv
"""

from __future__ import annotations

import argparse
import itertools
import math
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from .convolution import rows
from .convolution.jax_sides import jconv_convolution, lax_convolution
from .shared import command, markdown
from .shared.results import deviation

DEVICES = 8
GEOMETRIES: dict[str, dict[str, int]] = {
    "dense": {"kernel_size": 3},
    "strided": {"kernel_size": 3, "stride": 2},
    "dilated": {"kernel_size": 3, "dilation": 2},
    "4 groups": {"kernel_size": 3, "groups": 4},
    "depthwise": {"kernel_size": 3, "groups": 16},
    "depthwise strided": {"kernel_size": 3, "stride": 2, "groups": 16},
}
KINDS = {"auto": AxisType.Auto, "explicit": AxisType.Explicit}
FINDINGS = ("wrong", "refused", "abort")
MESHES = {"4x2": (4, 2), "2x2x2": (2, 2, 2), "8": (8,)}
TOLERANCE = 2e-5
"""The tolerance relative to the largest value. Incorrect results differ by integer factors."""

Operation = Callable[[jax.Array, jax.Array], jax.Array]


class Layout(NamedTuple):
    """The shardings of `x` (batch, length, channels) and of the kernel (taps, in, out) over the mesh axes."""

    x: PartitionSpec
    kernel: PartitionSpec


def _row(geometry: Mapping[str, Any]) -> rows.Row:
    """A geometry with the sizes of `x` and the number of output channels, and with causal padding."""
    return rows.Row("", "", batch=16, length=32, in_channels=16, out_channels=16, **geometry)


def jconv_operation(geometry: dict[str, int], algorithm: str = "auto") -> Operation:
    """The convolution of a geometry by jconv."""
    return jconv_convolution(_row(geometry), algorithm)


def lax_operation(geometry: dict[str, int]) -> Operation:
    """The same convolution by `jax.lax`."""
    return lax_convolution(_row(geometry))


OPERATIONS: dict[str, Callable[[dict[str, int]], Operation]] = {"lax": lax_operation, "jconv": jconv_operation}


def operands(geometry: dict[str, int]) -> tuple[jax.Array, jax.Array]:
    """Random `x` and kernel for a geometry, the same in every call."""
    x, kernel, _ = rows.operands(_row(geometry))
    return jnp.asarray(x), jnp.asarray(kernel)


def layouts(geometry: dict[str, int], mesh: jax.sharding.Mesh) -> Iterator[Layout]:
    """All layouts whose mesh axes divide the sharded axes; only one of those that exchange mesh axes of equal size."""
    names = list(mesh.shape)
    x, kernel = operands(geometry)
    seen = set()
    for x_at in itertools.product((None, 0, 1, 2), repeat=len(names)):
        for kernel_at in itertools.product((None, 1, 2), repeat=len(names)):
            key = tuple(sorted(zip((mesh.shape[n] for n in names), x_at, kernel_at, strict=True), key=str))
            if key in seen:
                continue
            seen.add(key)
            layout = Layout(_spec(names, x_at), _spec(names, kernel_at))
            if _divides(layout.x, x.shape, mesh) and _divides(layout.kernel, kernel.shape, mesh):
                yield layout


def _spec(names: list[str], places: tuple[int | None, ...]) -> PartitionSpec:
    on_axis = [tuple(n for n, place in zip(names, places, strict=True) if place == axis) for axis in range(3)]
    return PartitionSpec(*(group or None for group in on_axis))


def _divides(spec: PartitionSpec, shape: tuple[int, ...], mesh: jax.sharding.Mesh) -> bool:
    return all(
        size % math.prod(mesh.shape[n] for n in group or ()) == 0 for group, size in zip(spec, shape, strict=True)
    )


def value_and_gradients(operation: Operation) -> Callable[[jax.Array, jax.Array], tuple[jax.Array, ...]]:
    """`(y, x_bar, kernel_bar)` for the cotangent `cos(y)`, which depends on y and so has its sharding."""

    def results(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, ...]:
        y, vjp = jax.vjp(operation, x, kernel)
        return (y, *vjp(jnp.cos(y)))

    return results


def verdict(operation: Operation, geometry: dict[str, int], mesh: jax.sharding.Mesh, layout: Layout) -> str:
    """`"right"` or `"wrong: ..."` against the unsharded lax convolution, or `"refused: ..."` for an exception."""
    x, kernel = operands(geometry)
    expected = expected_results(tuple(geometry.items()))
    placed = [jax.device_put(a, NamedSharding(mesh, s)) for a, s in zip((x, kernel), layout, strict=True)]
    try:
        with jax.set_mesh(mesh):
            actual = jax.jit(value_and_gradients(operation))(*placed)
    except Exception as error:  # the exception is the result
        return f"refused: {type(error).__name__}"
    for name, a, e in zip(("y", "x_bar", "kernel_bar"), actual, expected, strict=True):
        off = deviation(a, e)
        if not off < TOLERANCE:
            return f"wrong: {name} by {off:.2g}"
    return "right"


@cache
def expected_results(geometry: tuple[tuple[str, int], ...]) -> list[np.ndarray[Any, Any]]:
    """The results of the three operations without sharding, computed once for each geometry."""
    results = jax.jit(value_and_gradients(lax_operation(dict(geometry))))(*operands(dict(geometry)))
    return [np.asarray(result) for result in results]


def make_mesh(name: str, kind: AxisType = AxisType.Auto) -> jax.sharding.Mesh:
    """One of `MESHES` over the first devices, with axes of one kind."""
    shape = MESHES[name]
    return jax.make_mesh(shape, tuple("abc"[: len(shape)]), axis_types=(kind,) * len(shape))


def verdicts(what: str, geometry: str, mesh: str, kind: str) -> Iterator[tuple[int, str]]:
    """The index and verdict of every layout, from child processes, because some layouts abort their process."""
    start = 0
    while True:
        case = f"{what}/{geometry}/{mesh}/{kind}/{start}"
        child_command = [sys.executable, "-m", "benchmarks.sharding", "--child", case]
        with subprocess.Popen(child_command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
            for line in child.stdout or ():
                yield start, line.strip()
                start += 1
        if child.returncode == 0:
            return
        if child.returncode > 0:  # not ended by a signal
            raise RuntimeError(f"exit code {child.returncode} of {shlex.join(child_command)}")
        yield start, "abort"
        start += 1


def child(case: str) -> None:
    """Print a line with the verdict of each layout of `case`, from the layout at its end on."""
    what, geometry, mesh_name, kind, start = case.split("/")
    mesh = make_mesh(mesh_name, KINDS[kind])
    for layout in list(layouts(GEOMETRIES[geometry], mesh))[int(start) :]:
        print(verdict(OPERATIONS[what](GEOMETRIES[geometry]), GEOMETRIES[geometry], mesh, layout), flush=True)
        jax.clear_caches()


def main() -> None:
    """Print a row for each geometry: the number of layouts, and how many are wrong, refused or aborted."""
    parser = command.parser("sharding", __doc__)
    parser.add_argument("--mesh", choices=MESHES, default="4x2", help="the mesh of eight devices (default: 4x2)")
    parser.add_argument("--kind", choices=KINDS, default="auto", help="the type of the mesh axes (default: auto)")
    parser.add_argument(
        "--what", choices=[*OPERATIONS, "both"], default="both", help="whose results to count; default both"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each layout that is not right")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", DEVICES)
    if args.child:
        child(args.child)
        return
    wanted = list(OPERATIONS) if args.what == "both" else [args.what]
    mesh = make_mesh(args.mesh)
    print(f"JAX {jax.__version__}, mesh {args.mesh}, {args.kind} axes\n")
    print(markdown.heading(["geometry", "layouts", *(f"{what} {found}" for what in wanted for found in FINDINGS)]))
    totals = np.zeros(1 + len(FINDINGS) * len(wanted), int)
    for name, geometry in GEOMETRIES.items():
        every = list(layouts(geometry, mesh))
        row = [len(every)]
        for what in wanted:
            found: dict[str, int] = dict.fromkeys(("right", *FINDINGS), 0)
            for n, text in verdicts(what, name, args.mesh, args.kind):
                found[text.split(":")[0]] += 1
                if args.verbose and text != "right":
                    print(f"{what} {name} x={every[n].x} kernel={every[n].kernel}: {text}", file=sys.stderr, flush=True)
            row += [found[finding] for finding in FINDINGS]
        totals += row
        print(markdown.row([name, *row]), flush=True)
    print(markdown.row(["all", *totals]))


if __name__ == "__main__":
    main()
