"""Denoising: the clean series from the series with noise added."""

from __future__ import annotations

import jax
import numpy as np

from jconv import Model

from ..data.datasets import Dataset, sample_mask
from ..data.scaling import standardize
from . import losses
from .task import Examples, Task, examples_of, model_for_series

NOISE = 0.5
# Seed of the noise in evaluations and in the proof, which is the same whatever the seed of the run.
SEED = 0


def denoise(data: Dataset, network: str | Model = "unet", noise: float = NOISE) -> Task:
    """Recover each series from the series plus normal noise, with a network that has outputs for each sample.

    Channels are standardized by the training set; `noise` is the standard deviation of the noise added after that. In
    training it is drawn anew in each step, for evaluation it is drawn once. The baseline is the noisy series itself.
    Labels are not used. Raises `UserError` for series that are too short for the network, and for series of unequal
    length if the network requires one length.
    """
    data, mean, deviation = standardize(data)
    model = model_for_series(network, data, data.x_train.shape[2])
    rng = np.random.default_rng(SEED)

    def noisy(examples: Examples) -> Examples:
        x, _, lengths = examples
        valid = sample_mask(x, lengths)[..., None]
        return Examples(np.where(valid, x + noise * rng.standard_normal(x.shape), 0), x, lengths)

    def transform(key: jax.Array, examples: Examples) -> Examples:
        clean = examples.y
        return examples._replace(x=clean + noise * jax.random.normal(key, clean.shape, clean.dtype))

    train, test = examples_of(data, noisy)
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
        baseline=tuple(
            float(losses.squared_error_reference(part.x, part.y, lengths=part.lengths))
            for part in (train, test)
            if part
        ),
        baseline_name="noisy series itself",
        scaling=(mean, deviation),
        is_per_sample=True,
        transform=transform,
    )
