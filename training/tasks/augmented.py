"""A task whose steps learn from changed series."""

from __future__ import annotations

from collections.abc import Mapping

import jax

from ..data import augment
from ..errors import UserError
from .task import Examples, Task

# What would leave targets behind, or be the task itself.
NOT_OF = {"forecast": ("slice", "warp", "scaling"), "denoise": ("jitter",)}


def with_augment(task: Task, strengths: Mapping[str, float]) -> Task:
    """The task with augmentations, by their names in `augment.NAMES`, in each step of training and nowhere else.

    What moves samples in time moves their labels along, and what is denoised is the changed series. Raises `UserError`
    for one that is not for the task.
    """
    for name in strengths:
        if name in NOT_OF.get(task.kind, ()):
            fit = ", ".join(one for one in augment.NAMES if one not in NOT_OF[task.kind])
            raise UserError(f"--augment {name} is not one for --task {task.kind}; it has {fit}")

    def draw(key: jax.Array, examples: Examples) -> Examples:
        x, y, lengths = examples
        series = y if task.kind == "denoise" else x
        for number, name in enumerate(augment.NAMES):
            if name not in strengths:
                continue
            own = jax.random.fold_in(key, number)
            if name in augment.VALUES:
                series = augment.VALUES[name](own, series, strengths[name], lengths)
                continue
            times = augment.TIMES[name](own, series, strengths[name], lengths)
            series = augment.sampled(series, times, lengths)
            y = augment.nearest(y, times, lengths) if task.kind == "segment" else y
        changed = Examples(series, series if task.kind == "denoise" else y, lengths)
        return changed if task.draw is None else task.draw(jax.random.fold_in(key, len(augment.NAMES)), changed)

    return task._replace(draw=draw)
