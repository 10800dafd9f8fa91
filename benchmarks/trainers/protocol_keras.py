"""Keras's side of `python -m benchmarks.keras_fit`: the published protocol with `fit`, on Keras's backend."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from . import fcn
from .fcn_keras import Keras


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


class Protocol(Keras):
    """The network with jconv's initial params, compiled and trained as in the published code."""

    def __init__(self, setup: Any, to_file: bool = False) -> None:
        folder = Path(setup["folder"])
        model = keras.saving.load_model(folder / "start.keras", compile=False)
        with np.load(folder / "series.npz") as series:
            super().__init__(model, series["x"], series["y"], int(series["batch_size"]), metrics=["accuracy"])
        file = folder / f"best-{keras.backend.backend()}.keras"
        best = keras.callbacks.ModelCheckpoint(file, monitor="loss", save_best_only=True) if to_file else LowestLoss()
        halved = keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=50, min_lr=1e-4)
        self.callbacks = [halved, best]


SIDES: dict[str, Callable[[Any], fcn.Trainer]] = {"fit": Protocol, "file": partial(Protocol, to_file=True)}
