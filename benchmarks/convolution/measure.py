"""Measures one row: the programs of all sides are checked, then timed in alternation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import jconv

from ..shared import timing
from ..shared.machine import Ceilings
from . import jax_sides, truth
from .other_libraries import Library
from .programs import (
    FASTEST,
    FORWARD,
    GRADIENTS,
    JCONV,
    LAX,
    SCAN_FORWARD,
    SCAN_GRADIENTS,
    VMAP_FORWARD,
    VMAP_GRADIENTS,
    Program,
)
from .rows import Array, Operands, Row, operands

Times = dict[str, float | None]
"""Milliseconds by side; None for a side that would take longer than `patience`."""

VMAP_MODELS = 4
LIGHT = 3.0
"""Rows whose forward pass takes fewer milliseconds are also measured under vmap."""
QUICK_STEPS, SLOW_STEPS, SLOW = 4, 2, 20.0
"""The steps of a scan: fewer if lax's gradients take more than `SLOW` milliseconds."""
NAIVE_FLOPS, DEPTHWISE_PENALTY = 1e9, 30
"""The speed of lax's slowest gradients in a loop, to predict what would take too long: FLOPs per second, and for
depthwise rows the ratio to the time outside of a loop."""


class Repetitions(NamedTuple):
    """The most timings of a program, the seconds for a program, and the longest call to wait for in seconds."""

    repeats: int = 31
    budget: float = 2.0
    patience: float = 60.0


class Bench:
    """The measurement of a row: its operands, expected results, and the times so far."""

    def __init__(self, row: Row, settings: Repetitions, libraries: Mapping[str, Library]):
        self.row, self.settings, self.libraries = row, settings, libraries
        self.operands = operands(row)
        self.expected = truth.expected(row, self.operands)
        self.times: dict[str, Times] = {}
        self.repeats: dict[str, dict[str, int]] = {}
        self.programs: dict[str, Program] = {}
        self.y_size = 1.0

    def run(
        self,
        name: str,
        builders: Mapping[str, Callable[[], Program]],
        wanted: tuple[Array, ...],
        predicted: Callable[[str], float] = lambda side: 0.0,
        steps: int = 1,
    ) -> None:
        """Build, check and time one program on every side; `predicted` gives the expected seconds of a side's call."""
        calls, first = {}, {}
        for side, build in builders.items():
            if predicted(side) <= self.settings.patience:
                program = build()
                result, first[side] = timing.once(program.checked)
                actual = tuple(truth.part(self.row, a) for a in program.read(result))
                truth.check(actual, wanted, f"{self.row.name}: {name} of {side}")
                calls[side] = program.call
                if first[side] <= timing.MAX_WARMUP_SECONDS:  # the first call of a program may start threads
                    first[side] = min(first[side], timing.once(program.call)[1])
                self._keep(name, side, program, result)
        found = {}
        if calls:
            found = timing.medians(calls, first, max_repeats=self.settings.repeats, budget=self.settings.budget)
        self.times[name] = {side: found[side].milliseconds / steps if side in found else None for side in builders}
        self.repeats[name] = {side: found[side].repeats for side in found}

    def seconds(self, name: str, side: str) -> float:
        """The seconds of a program, from which another's are predicted; infinite if the program was not run."""
        milliseconds = self.times[name][side]
        return np.inf if milliseconds is None else milliseconds / 1e3

    def _keep(self, name: str, side: str, program: Program, result: Any) -> None:
        if name == GRADIENTS and side in (LAX, JCONV):
            self.programs[side] = program
        if name == FORWARD and side == LAX:
            self.y_size = float(np.square(program.read(result)[0], dtype=np.float64).mean())


def measure(row: Row, libraries: Mapping[str, Library], settings: Repetitions, ceilings: Ceilings) -> dict[str, Any]:
    """The results of one row, as in the JSON file; times of a scan are per step."""
    bench = Bench(row, settings, libraries)
    _measure_outside_loops(bench)
    # Gradients of single examples are clipped or compared before they change a kernel, so nobody scans over them.
    steps = None if row.shared_kernel else _measure_in_scan(bench)
    forward = bench.times[FORWARD][JCONV]
    # The bounds in milliseconds, by arithmetic and by memory.
    computing, copying = row.flops / (1e6 * ceilings.gflops), row.bytes / (1e6 * ceilings.gigabytes)
    if row.ensemble == 1 and forward is not None and forward < LIGHT:
        _measure_under_vmap(bench)
    return {
        "row": row._asdict(),
        "milliseconds": bench.times,
        "repeats": bench.repeats,
        "scan_steps": steps,
        "algorithms": algorithms(row, bench.operands),
        "fastest_algorithms": algorithms(row, bench.operands, "fastest"),
        "compile_seconds": {side: program.compile_seconds for side, program in bench.programs.items()},
        "temporary_bytes": {side: program.temporary_bytes for side, program in bench.programs.items()},
        "roofline_share": forward and max(computing, copying) / forward,
        "copy_share": forward and copying / forward,
    }


def _measure_outside_loops(bench: Bench) -> None:
    row, o, want, libraries = bench.row, bench.operands, bench.expected, bench.libraries
    sides = (LAX, JCONV, FASTEST) if algorithms(row, o) != algorithms(row, o, "fastest") else (LAX, JCONV)
    forward = {side: partial(jax_sides.forward_program, row, side, o) for side in sides}
    forward |= {side: partial(library.forward, row, o) for side, library in libraries.items()}
    bench.run(FORWARD, forward, (want.y,))
    both = {side: partial(jax_sides.gradient_program, row, side, o) for side in sides}
    both |= {side: partial(library.gradients, row, o) for side, library in libraries.items() if library.gradients}
    bench.run(GRADIENTS, both, tuple(want), lambda side: 3 * bench.seconds(FORWARD, side))


def _measure_in_scan(bench: Bench) -> int:
    """Measure both programs as steps of a scan. Returns the number of steps."""
    row, o = bench.row, bench.operands
    milliseconds = bench.times[GRADIENTS][LAX]
    steps = QUICK_STEPS if milliseconds is not None and milliseconds < SLOW else SLOW_STEPS
    bench.run(
        SCAN_FORWARD,
        {side: partial(jax_sides.forward_scan, row, side, o, steps, bench.y_size) for side in (LAX, JCONV)},
        (truth.part(row, o.x) + 1,),
        lambda side: steps * bench.seconds(FORWARD, side),
        steps,
    )
    selected = Operands(*(truth.part(row, a) for a in o))
    scales, wanted = jax_sides.moved(selected, bench.expected)
    bench.run(
        SCAN_GRADIENTS,
        {side: partial(jax_sides.gradient_scan, row, side, o, steps, scales) for side in (LAX, JCONV)},
        wanted,
        lambda side: steps * _predicted_in_loop(row, side, bench.seconds(GRADIENTS, side)),
        steps,
    )
    return steps


def _predicted_in_loop(row: Row, side: str, outside: float) -> float:
    """The predicted seconds of a step with gradients in a loop, from the seconds outside of a loop."""
    if side != LAX:
        return outside
    return DEPTHWISE_PENALTY * outside if row.depthwise else max(outside, 2 * row.flops / NAIVE_FLOPS)


def _measure_under_vmap(bench: Bench) -> None:
    several = Bench(bench.row._replace(ensemble=VMAP_MODELS), bench.settings, {})
    row, o, want = several.row, several.operands, several.expected
    for name, build, operations in (
        (VMAP_FORWARD, jax_sides.forward_program, (want.y,)),
        (VMAP_GRADIENTS, jax_sides.gradient_program, tuple(want)),
    ):
        several.run(name, {side: partial(build, row, side, o) for side in (LAX, JCONV)}, operations)
    bench.times |= several.times
    bench.repeats |= several.repeats


def algorithms(row: Row, o: Operands, algorithm: str = "auto") -> dict[str, str] | None:
    """The algorithm of each operation; None for a transposed row."""
    if row.transposed:
        return None
    program = jax_sides.gradients(row, jax_sides.jconv_convolution(row, algorithm))
    return {operation: choice.algorithm for operation, choice in jconv.chosen_algorithms(program, *o)}


def warm_up() -> None:
    """Compile a small program on both sides, so that the first row does not include JAX's initialization."""
    row = Row("warm up", "dense", 1, 8, 1, 1, 3)
    for side in (LAX, JCONV):
        jax_sides.gradient_program(row, side, operands(row)).call()
