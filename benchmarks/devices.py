"""Weak scaling over simulated devices: FLOPs, communication and time of a training step.

    python -m benchmarks.devices            # 1, 2, 4 and 8 devices, both networks; some minutes

The work of each device is constant: with more devices, the FCN has more series in a batch, and the U-Net a longer
recording. All simulated devices share the processors of this machine, so more devices take longer here. What can be
measured is the cost of the partitioning, relative to one device that does the same work, and what each device computes
and receives. Two more rows are for one device that uses only XLA's convolutions, as an accelerator does.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jconv import Model
from training.core import devices, loop
from training.core.learner import init_learner
from training.core.plan import Plan, epoch_key
from training.networks import fcn, unet
from training.tasks import Examples, Task, losses

from .shared import command, machine, markdown
from .shared.timing import once
from .trainers.workers import Side, Worker

COUNTS = (1, 2, 4, 8)
SERIES, LENGTH = 8, 512
SAMPLES = 16_384
KINDS = ("all-reduce", "collective-permute", "all-gather", "all-to-all", "reduce-scatter")
BYTES = {"f32": 4, "f64": 8, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "pred": 1}


class Measured(NamedTuple):
    """A training step on several devices.

    For each device, `flops` counts the FLOPs, `touched` the bytes of its memory accesses, `received` the bytes that it
    receives by each kind of collective, and `temporary` the bytes of its memory in addition to arguments and results.
    `seconds` is the time of a step on all devices, `alone` the time of the same work on one device.
    """

    network: str
    devices: int
    flops: float
    touched: float
    temporary: int
    received: dict[str, int]
    seconds: float
    alone: float


def fcn_task(count: int) -> Task:
    """The FCN for two classes, on 8 series of 512 samples per device."""
    rng = np.random.default_rng(0)
    examples = Examples(rng.standard_normal((SERIES * count, LENGTH, 1)), np.arange(SERIES * count) % 2)
    loss, reference, score = losses.cross_entropy, losses.cross_entropy_reference, losses.accuracy
    return _task(fcn(2, (LENGTH, 1)), examples, loss, reference, score)


def unet_task(count: int) -> Task:
    """The U-Net, which denoises one recording of 16,384 samples per device."""
    rng = np.random.default_rng(0)
    clean = np.sin(np.arange(SAMPLES * count) / 9)[None, :, None]
    examples = Examples(clean + 0.3 * rng.standard_normal(clean.shape), clean)
    loss, reference, score = losses.squared_error, losses.squared_error_reference, losses.absolute_error
    return _task(unet(1, (SAMPLES * count, 1)), examples, loss, reference, score)


def by_lax(task: Task) -> Task:
    """The same network, with XLA's convolutions alone."""
    nodes: list[Any] = [*task.model.nodes]
    for i, node in enumerate(nodes):
        if hasattr(node.layer, "algorithm"):
            nodes[i] = replace(node, layer=replace(node.layer, algorithm="lax"))
    return task._replace(model=replace(task.model, nodes=tuple(nodes)))


class ShardedNetwork(NamedTuple):
    """A network: `task(count)` is its task for `count` devices.

    With `shards_length` the length is sharded instead of the batch; with `single` only one device is measured.
    """

    task: Callable[[int], Task]
    shards_length: bool = False
    single: bool = False


NETWORKS = {
    "FCN, batch": ShardedNetwork(fcn_task),
    "FCN, by lax": ShardedNetwork(lambda count: by_lax(fcn_task(count)), single=True),
    "U-Net, length": ShardedNetwork(unet_task, shards_length=True),
    "U-Net, by lax": ShardedNetwork(lambda count: by_lax(unet_task(count)), shards_length=True, single=True),
}


def measure(network: str, count: int, repeats: int) -> Measured:
    """Compile and time one step in this process, which must have `count` devices."""
    make, shards_length, _ = NETWORKS[network]
    task = make(count)
    plan = Plan(epochs=1, batch_size=len(task.train.x), learning_rate=1e-3, seed=0, evaluate_every=1)
    mesh = devices.make_mesh(count, count if shards_length else 1)
    sides = [_compiled(task, plan, mesh)]
    program = sides[0][0]
    cost: Any = program.cost_analysis()
    if mesh is not None:
        sides.append(_compiled(task, plan, None))
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(1 + repeats):
        for side, taken in zip(sides, times, strict=True):
            (side[1], *_), seconds = once(partial(_finished, *side))
            taken.append(seconds)
    seconds = [float(np.median(taken[1:])) for taken in times]
    temporary = program.memory_analysis().temp_size_in_bytes
    return Measured(
        network,
        count,
        cost["flops"],
        cost["bytes accessed"],
        temporary,
        received(program.as_text()),
        seconds[0],
        seconds[-1],
    )


def received(text: str) -> dict[str, int]:
    """Bytes that one device receives by each kind of collective in a compiled program.

    >>> received("  %a = f32[4,2]{1,0} all-reduce(%b), channel_id=1")
    {'all-reduce': 32}
    """
    found: dict[str, int] = {}
    for line in text.splitlines():
        match = re.search(r" = (.*?) (" + "|".join(KINDS) + r")(-start)?\(", line)
        if match:
            shapes = re.findall(r"\b([a-z]+\d*)\[([\d,]*)\]", match[1])
            size = sum(BYTES[kind] * math.prod(int(n) for n in dims.split(",") if n) for kind, dims in shapes)
            found[match[2]] = found.get(match[2], 0) + size
    return found


def table(rows: Sequence[Measured]) -> str:
    """The rows in Markdown."""
    head = ["network", "devices", "GFLOP", "MB touched", "MB needed", "KB summed", "KB from neighbours", "KB gathered"]
    head += ["ms a step", "ms, one device", "ratio"]
    lines = []
    for row in rows:
        kinds = [row.received.get(kind, 0) / 1e3 for kind in KINDS[:2]]
        kinds += [sum(row.received.get(kind, 0) for kind in KINDS[2:]) / 1e3]
        cells = [row.network, row.devices, f"{row.flops / 1e9:.3g}", f"{row.touched / 1e6:.0f}"]
        cells += [f"{row.temporary / 1e6:.1f}", *(f"{kind:.1f}" for kind in kinds)]
        cells += [f"{1e3 * row.seconds:.0f}", f"{1e3 * row.alone:.0f}", f"{row.seconds / row.alone:.2f}"]
        lines.append(cells)
    return markdown.table(head, lines)


class Devices:
    """The side of the worker processes: a process with simulated devices, as many as `count`."""

    def __init__(self, count: int) -> None:
        jax.config.update("jax_num_cpu_devices", count)
        self.count = count

    def reply(self, request: dict[str, Any]) -> dict[str, Any]:
        """Measure a network."""
        return measure(request["network"], self.count, request["repeats"])._asdict()


SIDES = {"devices": Devices}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each network in a separate process, print the table, and return the exit code."""
    parser = command.parser("devices", __doc__)
    parser.add_argument("--devices", type=int, nargs="+", default=COUNTS, help="numbers of devices (default: 1 2 4 8)")
    parser.add_argument("--repeats", type=int, default=9, help="steps that are timed (default: 9)")
    parser.add_argument("--json", **command.JSON)
    return command.exit_code("devices", partial(_compare, parser.parse_args(arguments)))


def _compare(options: argparse.Namespace) -> None:
    rows = []
    for network in NETWORKS:
        for count in (1,) if NETWORKS[network].single else options.devices:
            with closing(Worker(Side(network, "devices", "devices"), count)) as worker:
                rows.append(Measured(**worker.request(network=network, repeats=options.repeats)))
            print(table(rows).splitlines()[-1], file=sys.stderr, flush=True)
    about = machine.describe(jax.devices("cpu")[0])
    if options.json:
        command.write_json(options.json, {"machine": about, "rows": [row._asdict() for row in rows]})
    print(f"{about['date'][:10]}, {about['cores']} cores of {about['cpu']}, JAX {jax.__version__}, float32\n")
    print(table(rows))


def _compiled(task: Task, plan: Plan, mesh: Any) -> list[Any]:
    """A step, as an epoch of one batch: the compiled program and its arguments, learner, key and examples."""
    start, key = devices.replicate(init_learner(task, plan, jnp.float32), mesh), epoch_key(plan, 0)
    examples = loop.to_device(task.train, start)
    one_epoch: Any = loop.make_epoch(task, plan, mesh)
    return [one_epoch.lower(start, key, examples).compile(), start, key, examples]


def _finished(program: Any, *given: Any) -> Any:
    return jax.block_until_ready(program(*given))


def _task(model: Model, examples: Examples, loss: Any, reference: Any, score: Any) -> Task:
    scaling = (np.zeros(1), np.ones(1))
    return Task("denoise", model, examples, None, loss, reference, score, "score", (), (), scaling)


if __name__ == "__main__":
    raise SystemExit(main())
