"""A data set of slow and fast waves, and a network that trains on it in a second."""

import signal

import jax
import jax.numpy as jnp
import numpy as np

from jconv import layers, sequential
from training import tasks
from training.core import loop
from training.core.learner import Progress, init_learner
from training.data import datasets


def series(rng, n):
    """Noisy sines (n, 32, 1), slow ones of class 0 and fast ones of class 1."""
    y = np.arange(n, dtype=np.int32) % 2
    phase = rng.uniform(0, 6, (n, 1))
    x = np.sin(np.arange(32) * np.where(y, 1.2, 0.4)[:, None] + phase)
    return (x + 0.1 * rng.standard_normal(x.shape))[..., None], y


def task():
    """50 series to train on and 30 to test."""
    rng = np.random.default_rng(0)
    data = datasets.Dataset("waves", *series(rng, 50), *series(rng, 30), ("slow", "fast"))
    model = sequential(
        [
            layers.Conv1D(6, 8, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(2),
        ]
    )
    return tasks.classification(data)._replace(model=model)


def start(task, plan, dtype=jnp.float32):
    """The progress at the beginning of a run."""
    return Progress(init_learner(task, plan, dtype), ())


def assert_same_bits(one, other):
    """Check that two trees have the same structure, and arrays of the same types and values."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(a, b)


def stop(patch, number, epoch):
    """Patch training so that a signal is raised at the end of an epoch."""
    train = loop.train

    def stopped(*arguments):
        for progress in train(*arguments):
            if len(progress.rows) == epoch:
                signal.raise_signal(number)
            yield progress

    patch.setattr(loop, "train", stopped)
