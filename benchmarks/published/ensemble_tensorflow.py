"""The mean of published networks by Keras on TensorFlow, in one `tf.function`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf  # pyright: ignore[reportMissingImports, reportMissingModuleSource]

from ..network_sides.side import Call
from .ensemble_sides import EnsembleSide


class TensorFlow(EnsembleSide):
    """The models' `__call__`."""

    def __init__(self, files: Sequence[str]) -> None:
        super().__init__()
        # TensorFlow accepts this before it has variables.
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self.models: list[Any] = [keras.saving.load_model(file, compile=False) for file in files]

    def forward(self, x: Any) -> Call:
        """See `EnsembleSide`."""
        compiled = tf.function(lambda x: [model(x, training=False) for model in self.models])
        x = [tf.constant(one) for one in x] if isinstance(x, list) else tf.constant(x)
        return lambda: [y.numpy() for y in compiled(x)]


SIDES = {"tensorflow": TensorFlow}
