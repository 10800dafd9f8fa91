"""Series with noise on them, and the series without."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jconv import Model

from ..data.datasets import Dataset, within
from ..data.scaling import standardize
from . import losses
from .task import Examples, Task, built, check_lengths

Array = np.ndarray[Any, Any]

NOISE = 0.5
# Of the noise that is drawn once: what is evaluated and proved is the same in each run, whatever its seed.
SEED = 0


def denoise(data: Dataset, network: str | Model = "unet", noise: float = NOISE) -> Task:
    """Give each series as it is, from the series plus normal noise, with a network of numbers for each sample.

    Channels are standardized by the training set, and `noise` is the deviation of what is then added to each sample. In
    training it is drawn anew in each step; what is evaluated has noise that is drawn once. What must be beaten is the
    noisy series itself. Labels are not used. Raises `UserError` where series are too short for the network, and for
    series of unequal length where it takes none.
    """
    data, *scaling = standardize(data)
    _, length, channels = data.x_train.shape
    model = built(network, data, channels, (length, channels))
    check_lengths(data, model)
    rng = np.random.default_rng(SEED)

    def noisy(x: Array, lengths: Array | None) -> Examples:
        own = within(x, lengths)[..., None]
        return Examples(np.where(own, x + noise * rng.standard_normal(x.shape), 0), x, lengths)

    def draw(key: jax.Array, examples: Examples) -> Examples:
        clean = examples.y
        return examples._replace(x=clean + noise * jax.random.normal(key, clean.shape, clean.dtype))

    train = noisy(data.x_train, data.lengths_train)
    test = None if data.x_test is None else noisy(data.x_test, data.lengths_test)
    return Task(
        "denoise",
        model,
        train,
        test,
        loss=losses.squared_error,
        loss_reference=losses.squared_error_reference,
        score=losses.absolute_error,
        score_name="absolute_error",
        classes=(),
        baseline=tuple(_noise(part) for part in (train, test) if part),
        baseline_name="noisy series itself",
        scaling=(scaling[0], scaling[1]),
        sequence=True,
        draw=draw,
    )


def _noise(examples: Examples) -> float:
    """The squared error of the noisy series itself."""
    x, y, lengths = examples
    return float(losses.squared_error_reference(x, y, lengths=lengths))
