"""A task with data augmentation in training."""

from __future__ import annotations

from collections.abc import Mapping

import jax

from ..data import augment
from ..errors import UserError
from .task import Examples, Task

# A forecast's targets would not match the changed windows. Denoising itself adds noise, as `jitter` does.
UNSUPPORTED = {"forecast": ("slice", "warp", "scaling"), "denoise": ("jitter",)}


def with_augment(task: Task, strengths: Mapping[str, float]) -> Task:
    """The task with augmented series in each training step; series are not augmented in an evaluation.

    `strengths` are by the names in `augment.NAMES`. Augmentations in time also move the labels of samples. To denoise,
    the clean series are augmented. Raises `UserError` for an augmentation that does not exist or does
    not fit the task.
    """
    for name in strengths:
        if name not in augment.NAMES:
            raise UserError(f"there is no augmentation {name!r}; there are {', '.join(augment.NAMES)}")
        if name in UNSUPPORTED.get(task.kind, ()):
            supported = ", ".join(one for one in augment.NAMES if one not in UNSUPPORTED[task.kind])
            raise UserError(f"--augment {name} does not fit --task {task.kind}, which supports {supported}")

    def transform(key: jax.Array, examples: Examples) -> Examples:
        x, y, lengths = examples
        series = y if task.kind == "denoise" else x
        for number, name in enumerate(augment.NAMES):
            if name not in strengths:
                continue
            own_key = jax.random.fold_in(key, number)
            if name in augment.VALUE_CHANGES:
                series = augment.VALUE_CHANGES[name](own_key, series, strengths[name], lengths)
                continue
            times = augment.TIME_CHANGES[name](own_key, series, strengths[name], lengths)
            series = augment.resample(series, times, lengths)
            y = augment.resample_labels(y, times, lengths) if task.kind == "segment" else y
        changed = Examples(series, series if task.kind == "denoise" else y, lengths)
        if task.transform is None:
            return changed
        return task.transform(jax.random.fold_in(key, len(augment.NAMES)), changed)

    return task._replace(transform=transform)
