"""Keras's side of `python -m benchmarks.keras_fit`: the published protocol with `fit`, on Keras's backend."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from . import fcn


class LowestLoss(keras.callbacks.Callback):
    """Keeps the weights of the lowest training loss in memory; Keras's own callback, which writes a file, is slower."""

    def __init__(self) -> None:
        super().__init__()
        self.loss, self.weights = np.inf, None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Copy the weights if the loss is lower."""
        model: Any = self.model
        if logs["loss"] < self.loss:
            self.loss, self.weights = logs["loss"], model.get_weights()


class Protocol:
    """The network with jconv's initial params, compiled and trained as in the published code."""

    def __init__(self, setup: Any, to_file: bool = False) -> None:
        backend = keras.backend.backend()
        library = importlib.import_module(backend)
        self.version = f"Keras {keras.__version__}, {backend} {library.__version__}"
        folder = Path(setup["folder"])
        with np.load(folder / "series.npz") as series:
            self.x, self.y, self.batch_size = series["x"], series["y"], int(series["batch_size"])
        self.model: Any = keras.saving.load_model(folder / "start.keras", compile=False)
        self.model.compile(
            optimizer=keras.optimizers.Adam(fcn.LEARNING_RATE, epsilon=fcn.ADAM_EPSILON),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        file = folder / f"best-{backend}.keras"
        best = keras.callbacks.ModelCheckpoint(file, monitor="loss", save_best_only=True) if to_file else LowestLoss()
        halved = keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=50, min_lr=1e-4)
        self.callbacks = [halved, best]

    def losses(self) -> list[float]:
        """See `fcn.Training`."""
        losses = []
        for _ in range(2):
            self.model.reset_metrics()  # the result is a mean since the last reset
            losses.append(float(self.model.train_on_batch(self.x[: self.batch_size], self.y[: self.batch_size])[0]))
        return losses

    def run(self, epochs: int) -> None:
        """See `fcn.Training`."""
        given: Any = {"batch_size": self.batch_size, "epochs": epochs, "verbose": 0, "callbacks": self.callbacks}
        self.model.fit(self.x, self.y, **given)


SIDES: dict[str, Callable[[Any], fcn.Training]] = {"fit": Protocol, "file": partial(Protocol, to_file=True)}
