"""The conditions that the last digits of a run depend on: versions, hardware, cores, and the compiled program."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import jconv

from ..core import loop
from ..core.learner import Learner
from ..core.plan import Plan, epoch_key
from ..options.options import Options
from ..tasks import Task

# Options of XLA that write files, and the one that `--devices` replaces.
WITHOUT_EFFECT = ("--xla_dump", "--xla_force_host_platform_device_count")
PACKAGES = ("jax", "jaxlib", "numpy", "optax", "orbax-checkpoint")


def conditions(options: Options, task: Task, plan: Plan, learner: Learner) -> dict[str, Any]:
    """The conditions of a run for its `config.json`."""
    each = plan.batch_size * options.shard_length // options.devices
    return {
        "devices": [options.devices, options.shard_length],
        **environment(PACKAGES),
        "program": program(task, plan._replace(batch_size=each), learner),
    }


def environment(packages: Sequence[str]) -> dict[str, Any]:
    """The hardware, the cores of this process, and the versions of jconv and some packages."""
    device = next(iter(jnp.zeros(()).devices()))
    return {
        "platform": device.platform,
        "hardware": _processor() if device.platform == "cpu" else device.device_kind,
        "cores": _core_count(),
        "xla_flags": xla_flags(os.environ.get("XLA_FLAGS", "")),
        "versions": {"jconv": jconv.__version__, **{name: importlib.metadata.version(name) for name in packages}},
    }


def xla_flags(text: str) -> str:
    """The options of XLA in a value of `XLA_FLAGS` that may change results, in order.

    >>> xla_flags("--xla_dump_to=/tmp --xla_cpu_enable_fast_math=true --xla_force_host_platform_device_count=2")
    '--xla_cpu_enable_fast_math=true'
    """
    return " ".join(sorted(word for word in text.split() if not word.startswith(WITHOUT_EFFECT)))


def program(task: Task, plan: Plan, learner: Learner) -> str:
    """The SHA-256 of an epoch of training as XLA receives it, with the chosen algorithm of each convolution.

    It is that of a single device: a partitioned program chooses its algorithms later and contains memory addresses.
    """
    learner, examples = jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), (learner, loop.to_device(task.train, learner))
    )
    epoch: Any = loop.make_epoch(task, plan)
    return hashlib.sha256(epoch.lower(learner, epoch_key(plan, 0), examples).as_text().encode()).hexdigest()


def changes(begun: dict[str, Any], now: dict[str, Any], same_data: bool) -> tuple[list[str], list[str]]:
    """The conditions that differ, in words: those when the run began, and the present ones.

    Conditions that an earlier version did not record are not compared. Programs are compared only for the same data,
    which may be constants in them.
    """
    then, here = _named(begun), _named(now)
    names = [name for name in here if name in then and then[name] != here[name]]
    if not names and same_data and begun.get("program", now["program"]) != now["program"]:
        return ["other algorithms"], ["those chosen now"]
    return tuple([_words(name, side[name]) for name in names] for side in (then, here))  # pyright: ignore[reportReturnType]


def _named(config: dict[str, Any]) -> dict[str, Any]:
    count, shard_length = config.get("devices", (1, 1))
    own = {name: config[name] for name in ("hardware", "cores", "xla_flags") if name in config}
    return {**config["versions"], **own, "--devices": count, "--shard-length": shard_length}


def _words(name: str, value: Any) -> str:
    if name == "xla_flags":
        return f"XLA_FLAGS {value}" if value else "no XLA_FLAGS"
    return str(value) if name == "hardware" else f"{name} {value}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _core_count() -> int:
    """The number of cores that this process may use. The last digits of what XLA computes depend on it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
