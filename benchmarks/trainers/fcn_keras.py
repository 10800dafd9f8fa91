"""The network in Keras, trained by `fit`, on the backend in KERAS_BACKEND."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from . import fcn


class Keras:
    """A model whose output is logits, compiled with Adam, and trained by `fit` on series with classes."""

    callbacks: Sequence[keras.callbacks.Callback] = ()

    def __init__(self, model: Any, x: Any, y: Any, batch_size: int, metrics: Sequence[str] = ()) -> None:
        backend = keras.backend.backend()
        library = importlib.import_module(backend)
        self.version = f"Keras {keras.__version__}, {backend} {library.__version__}"
        self.model, self.x, self.y, self.batch_size = model, x, y, batch_size
        model.compile(
            optimizer=keras.optimizers.Adam(fcn.LEARNING_RATE, epsilon=fcn.ADAM_EPSILON),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[*metrics],
        )

    def losses(self) -> list[float]:
        """See `fcn.Trainer`."""
        losses = []
        for _ in range(2):
            self.model.reset_metrics()  # the result is a mean since the last reset
            found = self.model.train_on_batch(self.x[: self.batch_size], self.y[: self.batch_size])
            losses.append(float(np.ravel(found)[0]))  # with metrics, the loss is the first of several values
        return losses

    def run(self, epochs: int) -> None:
        """See `fcn.Trainer`; `fit` fetches the loss of every epoch."""
        given: Any = {"batch_size": self.batch_size, "epochs": epochs, "verbose": 0, "callbacks": [*self.callbacks]}
        self.model.fit(self.x, self.y, **given)


def build(batch_size: int) -> Keras:
    """The side: a `Sequential` model with the initial params."""
    layers, params = keras.layers, fcn.initial_params()
    model = keras.Sequential([keras.Input((fcn.LENGTH, fcn.CHANNELS))])
    for filters, kernel_size in fcn.BLOCKS:
        model.add(layers.Conv1D(filters, kernel_size, padding="same"))
        model.add(layers.BatchNormalization(momentum=fcn.NORM_MOMENTUM, epsilon=fcn.NORM_EPSILON))
        model.add(layers.ReLU())
    model.add(layers.GlobalAveragePooling1D())
    model.add(layers.Dense(fcn.CLASSES))
    # The layers with weights, in order; the moving averages of a normalization follow its gamma and beta.
    weighted = [layer for layer in model.layers if layer.weights]
    for layer, values in zip(weighted, params.values(), strict=True):
        for variable, value in zip(layer.trainable_weights, values.values(), strict=True):
            variable.assign(value)
    return Keras(model, *fcn.series(batch_size), batch_size)


SIDES: dict[str, Callable[[int], fcn.Trainer]] = {"fit": build}
