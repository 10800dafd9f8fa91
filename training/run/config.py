"""`config.json` of a run: its options, data and layers, and what its results depend on.

The last digits also depend on the versions of packages, the hardware, the cores, and the compiled program.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jconv
from jconv import planner

from ..core import loop
from ..core.learner import Learner
from ..core.plan import Plan, epoch_key
from ..data import datasets
from ..options.options import FREE, Options
from ..tasks import NOISE, Task

# Options of XLA that write files, and the one that `--devices` replaces.
WITHOUT_EFFECT = ("--xla_dump", "--xla_force_host_platform_device_count")
PACKAGES = ("jax", "jaxlib", "numpy", "optax", "orbax-checkpoint")


def config(options: Options, plan: Plan, data: datasets.Dataset, task: Task, learner: Learner) -> dict[str, Any]:
    """The content of `config.json`: options with the values of their defaults, data, layers, conditions."""
    mean, deviation = task.scaling
    # The examples of a forecast are windows of series.
    validation = 0 if task.validation is None or task.forecast_target is not None else len(task.validation.x)
    return {
        **identity(options, plan, data, task.validation, learner),
        "task": task.kind,
        "data": options.data,
        "model": options.model,
        **({"start": task.pretrained.description} if task.pretrained else {}),
        **plan._asdict(),
        "x64": options.x64,
        "validation": options.validation,
        "classes": list(task.classes),
        "series": series_counts(data, validation),
        "series_shape": list(data.x_train.shape[1:]),
        "unequal_lengths": data.lengths_train is not None,
        "channel_mean": mean.tolist(),
        "channel_deviation": deviation.tolist(),
        **_task_options(options, task),
        **(
            {"target_mean": task.target_scaling.mean, "target_deviation": task.target_scaling.deviation}
            if task.target_scaling
            else {}
        ),
        "layers": [f"{node.name}: {node.layer}" for node in task.model.nodes],
        **conditions(options, task, plan, learner),
    }


def series_counts(data: datasets.Dataset, validation: int) -> dict[str, int]:
    """The number of series of each part of the data."""
    test = 0 if data.x_test is None else len(data.x_test)
    return {"training": len(data.x_train), **({"validation": validation} if validation else {}), "test": test}


def _task_options(options: Options, task: Task) -> dict[str, Any]:
    """The options that only this task has, with the values of their defaults; channels count from 1."""
    if task.forecast_target is not None:
        channels = [channel + 1 for channel in task.forecast_target.channels]
        return {"window": task.train.x.shape[1], "horizon": task.forecast_target.horizon, "target_channels": channels}
    return {"noise": options.noise or NOISE} if task.kind == "denoise" else {}


def identity(options: Options, plan: Plan, data: datasets.Dataset, held: Any, learner: Learner) -> dict[str, Any]:
    """What the results of a run depend on, for `config.json`: options with the values of defaults, and fingerprints.

    `held` are the examples held out for validation, None without any.
    """
    model = Path(options.model)
    data = data._replace(name="", notes=())
    prints = {
        "data": fingerprint(data if held is None else (data, held)),
        "model": file_fingerprint(model) if model.is_file() else None,
        "shapes": fingerprint(jax.tree.map(lambda array: f"{array.dtype}{array.shape}", learner)),
    }
    return {"options": recorded_options(options, plan), "fingerprints": prints}


def recorded_options(options: Options, plan: Plan) -> dict[str, Any]:
    """The options that the results of a run depend on, with the values of their defaults."""
    found = {name: value for name, value in options._asdict().items() if name not in FREE}
    return found | {name: value for name, value in plan._asdict().items() if name in found}


def fingerprint(tree: Any) -> str:
    """The SHA-256 of the arrays and other values of a tree, with their paths, types and shapes.

    >>> x = {"x": np.zeros(3)}
    >>> fingerprint(x) == fingerprint({"x": np.zeros(3)}), fingerprint(x) == fingerprint({"x": np.zeros((3, 1))})
    (True, False)
    """
    digest = hashlib.sha256()
    for path, value in jax.tree_util.tree_leaves_with_path(tree):
        digest.update(jax.tree_util.keystr(path).encode())
        if hasattr(value, "dtype"):
            array = np.ascontiguousarray(value)
            digest.update(f"{array.dtype} {np.shape(value)} ".encode())
            digest.update(array.reshape(-1).view(np.uint8).data)
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()


def file_fingerprint(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def conditions(options: Options, task: Task, plan: Plan, learner: Learner) -> dict[str, Any]:
    """The conditions that the last digits of a run depend on: devices, environment, and the compiled program."""
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
        "hardware": planner.this_machine().processor if device.platform == "cpu" else device.device_kind,
        # The last digits of what XLA computes depend on it.
        "cores": planner.cores(),
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

    The epoch is lowered for a single device: a partitioned program chooses its algorithms later and contains memory
    addresses.
    """
    learner, examples = jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), (learner, loop.to_device(task.train, learner))
    )
    epoch: Any = loop.make_epoch(task, plan)
    return hashlib.sha256(epoch.lower(learner, epoch_key(plan, 0), examples).as_text().encode()).hexdigest()
