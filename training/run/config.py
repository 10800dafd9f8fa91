"""The configuration of a run: `config.json`."""

from __future__ import annotations

from typing import Any

from ..core.learner import Learner
from ..core.plan import Plan
from ..data import datasets
from ..options.options import Options
from ..tasks import NOISE, Task
from .conditions import conditions
from .resume import identity


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
        **_of_task(options, task),
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


def _of_task(options: Options, task: Task) -> dict[str, Any]:
    """The options that only this task has, with the values of their defaults; channels count from 1."""
    if task.forecast_target is not None:
        channels = [channel + 1 for channel in task.forecast_target.channels]
        return {"window": task.train.x.shape[1], "horizon": task.forecast_target.horizon, "target_channels": channels}
    return {"noise": options.noise or NOISE} if task.kind == "denoise" else {}
