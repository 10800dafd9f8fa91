"""The programs of public issues about slow convolutions, each in lax (or as in the issue) and in jconv.

Two-dimensional programs are run in one dimension. A program of twelve layers has only two on a CPU, where lax would
take minutes. The column "program" says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..shared import markdown, timing
from ..shared.timing import Call
from ..trainers.workers import Side, Worker
from . import truth
from .jax_sides import CONVOLUTIONS, Convolution, compiled, forward_program, gradient_scan
from .measure import Repetitions
from .programs import JCONV, LAX
from .rows import Row, operands
from .tables import number, times_as_large

SIDES = (LAX, JCONV)
AGREE = 1e-4
"""The tolerance of jconv's results compared with lax's, relative to the largest value."""

Layer = Callable[[jax.Array, jax.Array], jax.Array]
"""`(kernel, x) -> y`, with the kernel in jconv's layout."""

COLUMNS = ("issue", "program", "lax", "jconv", "lax / jconv", "others")


class Issue(NamedTuple):
    """An issue, a description of its program, and the call of each side."""

    link: str
    program: str
    sides: Callable[[], dict[str, Call]]


def issues(device: str) -> list[Issue]:
    """The issues that are timed; on a GPU with the sizes in the issue."""
    layers = 12 if device == "gpu" else 2
    in_scan = Row("a", "dense", 5, 150, 128, 256, 5)
    dilated = {
        dilation: Row("b", "depthwise", 32, 1024, 64, 64, 7, dilation=dilation, groups=64, padding="same")
        for dilation in (1, 64)
    }
    depthwise = Row("c", "depthwise", 124, 124, 256, 256, 3, groups=256, padding="same")
    return [
        Issue("jax-ml/jax 12868", "the issue's own: two passes in a fori_loop, channels first in lax", _loop),
        Issue("jax-ml/jax 12868", "both gradients as the step of a scan, FCN's second layer", lambda: _scan(in_scan)),
        Issue("jax-ml/jax 13800", f"depthwise, gradient of {layers} of 12 layers", lambda: _stack(layers)),
        *(
            Issue("jax-ml/jax 26266", f"depthwise, kernel size 7, dilation {dilation}", lambda row=row: _forward(row))
            for dilation, row in dilated.items()
        ),
        Issue("jax-ml/jax 23713", "depthwise over rows of the picture, kernel size 3", lambda: _forward(depthwise)),
        Issue("google/flax 4207", "the same as a layer of Flax and of Keras", lambda: _layers(depthwise)),
    ]


def run(settings: Repetitions, device: str) -> list[dict[str, Any]]:
    """Measure and print every issue. Returns the content of the JSON file."""
    print(markdown.heading(COLUMNS), flush=True)
    found = []
    for issue in issues(device):
        found.append(_measured(issue, settings))
        print(line(found[-1]), flush=True)
    found.append(_gathers())
    print(line(found[-1]), flush=True)
    return found


def show(found: list[dict[str, Any]]) -> None:
    """Print an earlier run."""
    print(markdown.heading(COLUMNS))
    print(*map(line, found), sep="\n")


def line(found: dict[str, Any]) -> str:
    """The row of an issue in the table."""
    values, unit = found["values"], found["unit"]
    own = values[JCONV]
    others = ", ".join(f"{side} {number(value)} {unit}" for side, value in values.items() if side not in SIDES)
    compared = times_as_large(values[LAX] / own) if own else "–"
    cells = [found["link"], found["program"], *(f"{number(values[side])} {unit}" for side in SIDES), compared, others]
    return markdown.row(cells)


def _measured(issue: Issue, settings: Repetitions) -> dict[str, Any]:
    calls = issue.sides()
    first, results = {}, {}
    for side, call in calls.items():
        results[side], first[side] = timing.once(call)
        actual, expected = jax.tree.leaves(results[side]), jax.tree.leaves(results[LAX])
        truth.check(actual, expected, f"{issue.link}, {issue.program}: {side}", AGREE)
    found = timing.medians(calls, first, max_repeats=settings.repeats, budget=settings.budget)
    values = {side: found[side].milliseconds for side in calls}
    return {"link": issue.link, "program": issue.program, "unit": "ms", "values": values}


def _loop() -> dict[str, Call]:
    row = Row("loop", "dense", 1, 1024, 1000, 1000, 1)
    x, kernel = jnp.full((1, 1024, 1000), 0.5), jnp.full((1, 1000, 1000), 0.5)

    def channels_first(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv(x, kernel, (1,), "VALID")

    def twice(convolution: Convolution) -> Convolution:
        return lambda x, kernel: jax.lax.fori_loop(0, 2, lambda _, x: convolution(x, kernel), x)

    first = compiled(twice(channels_first), (jnp.swapaxes(x, 1, 2), jnp.transpose(kernel, (2, 1, 0)))).call
    return {
        LAX: lambda: jnp.swapaxes(first(), 1, 2),
        JCONV: compiled(twice(CONVOLUTIONS[JCONV](row)), (x, kernel)).call,
    }


def _scan(row: Row) -> dict[str, Call]:
    o = operands(row)
    return {side: gradient_scan(row, side, o, 4, (1e-3, 1e-3)).checked for side in SIDES}


def _forward(row: Row) -> dict[str, Call]:
    o = operands(row)
    return {side: forward_program(row, side, o).call for side in SIDES}


def _stack(layers: int) -> dict[str, Call]:
    """The gradients of the issue's loss, the squared distance of the last output from a target, for every kernel."""
    row = Row("stack", "depthwise", 32, 1024, 512, 512, 5, groups=512, padding="same")
    o = operands(row)
    kernels = [jnp.asarray(o.kernel) * (1 + layer / 10) for layer in range(layers)]

    def gradient(convolution: Convolution) -> Callable[..., Any]:
        def loss(kernels: list[jax.Array], x: jax.Array, target: jax.Array) -> jax.Array:
            for kernel in kernels:
                x = convolution(x, kernel)
            return jnp.mean(jnp.square(x - target))

        return jax.grad(loss)

    return {side: compiled(gradient(CONVOLUTIONS[side](row)), (kernels, o.x, o.y_bar)).call for side in SIDES}


def _layers(row: Row) -> dict[str, Call]:
    o = operands(row)
    libraries = _layers_of_libraries(row)
    return _forward(row) | {name: compiled(layer, (o.kernel, o.x)).call for name, layer in libraries.items()}


def _layers_of_libraries(row: Row) -> dict[str, Layer]:
    """The depthwise convolution of a row as a layer of each installed library; Keras only if its backend is JAX."""
    found = {}
    for name, load in (("Flax", _flax), ("Keras", _keras)):
        with suppress(ImportError, LookupError):
            found[name] = load(row)
    return found


def _flax(row: Row) -> Layer:
    from flax import nnx

    layer = nnx.Conv(
        row.in_channels,
        row.out_channels,
        (row.kernel_size,),
        padding="SAME",
        feature_group_count=row.groups,
        use_bias=False,
        rngs=nnx.Rngs(0),
    )
    definition, state = nnx.split(layer)

    def apply(kernel: jax.Array, x: jax.Array) -> Any:
        # The kernel is the only leaf of the state.
        filled = jax.tree.map(lambda _: kernel, state)
        return nnx.merge(definition, filled)(x)

    return apply


def _keras(row: Row) -> Layer:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    if keras.backend.backend() != "jax":
        raise LookupError("the backend of Keras is not JAX")
    layer = keras.layers.DepthwiseConv1D(row.kernel_size, padding="same", use_bias=False)
    layer.build((None, row.length, row.in_channels))

    def apply(kernel: jax.Array, x: jax.Array) -> Any:
        weights = [kernel.reshape(row.kernel_size, row.in_channels, 1)]
        return layer.stateless_call(weights, [], x)[0]

    return apply


def _gathers() -> dict[str, Any]:
    """Count in a child process, since the number of devices of a process is fixed before its first computation."""
    link = "openxla/xla 47945"
    program = "all-gathers in a grouped convolution of a batch that is sharded over 8 simulated devices"
    with closing(Worker(Side(link, "convolution.gathers", "gathers"), None)) as worker:
        return {"link": link, "program": program, "unit": "all-gathers", "values": worker.request()}
