"""The network in Keras, trained by `fit`, on the backend in KERAS_BACKEND."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import keras

from . import fcn


class Keras:
    """A `Sequential` model, compiled with Keras's defaults and Adam."""

    def __init__(self, batch_size: int) -> None:
        backend = keras.backend.backend()
        library = importlib.import_module(backend)
        self.version = f"Keras {keras.__version__}, {backend} {library.__version__}"
        self.batch_size = batch_size
        self.x, self.y = fcn.series(batch_size)
        self.model = _model()

    def losses(self) -> list[float]:
        """See `fcn.Training`."""
        losses = []
        for _ in range(2):
            self.model.reset_metrics()  # the result is a mean since the last reset
            losses.append(float(self.model.train_on_batch(self.x[: self.batch_size], self.y[: self.batch_size])))
        return losses

    def run(self, epochs: int) -> None:
        """See `fcn.Training`; `fit` fetches the loss of every epoch."""
        self.model.fit(self.x, self.y, batch_size=self.batch_size, epochs=epochs, verbose=0)


SIDES: dict[str, Callable[[int], fcn.Training]] = {"fit": Keras}


def _model() -> Any:
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
    model.compile(
        optimizer=keras.optimizers.Adam(fcn.LEARNING_RATE, epsilon=fcn.ADAM_EPSILON),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model
