"""Makes the files with training state in this folder, with Keras 2.15 and TensorFlow 2.15: `python make.py`.

Each file contains a small model after three steps of training; `after.npz` contains its weights after six more, in
Keras's order.
"""

from __future__ import annotations

import gzip
import importlib
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

keras: Any = importlib.import_module("keras")

BEFORE, AFTER = 3, 6
Array = np.ndarray[Any, Any]


def batches() -> tuple[Array, Array]:
    """The inputs of all steps, and the targets, which are probabilities of two classes."""
    rng = np.random.default_rng(0)
    steps = BEFORE + AFTER
    x, y = rng.standard_normal((steps, 4, 6, 2)), rng.random((steps, 4, 2))
    return x.astype("float32"), (y / y.sum(-1, keepdims=True)).astype("float32")


def cases() -> dict[str, tuple[Any, Any]]:
    """The optimizer and the loss of each file."""
    o, old, s, losses = keras.optimizers, keras.optimizers.legacy, keras.optimizers.schedules, keras.losses
    return {
        "sgd.h5": (o.SGD(0.05), "mse"),
        "sgd_nesterov.h5": (
            o.SGD(s.ExponentialDecay(0.05, 3, 0.5), momentum=0.9, nesterov=True, weight_decay=0.02, clipnorm=0.5),
            losses.Huber(0.7),
        ),
        "adam.keras": (o.Adam(0.01, amsgrad=True, global_clipnorm=0.3), losses.MeanAbsoluteError()),
        "adam_by_name.keras": ("adam", "mse"),
        "adam.h5": (o.Adam(s.CosineDecay(0.02, 8, 0.1)), losses.CosineSimilarity()),
        "adamw.h5": (o.AdamW(0.01, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=4), "log_cosh"),
        "rmsprop.h5": (o.RMSprop(0.005, momentum=0.7, centered=True, clipvalue=0.1), losses.MeanSquaredError()),
        "adagrad.h5": (o.Adagrad(0.05, initial_accumulator_value=0.2), "mae"),
        "lion.h5": (o.Lion(0.002, weight_decay=0.1), losses.CategoricalCrossentropy(True, label_smoothing=0.1)),
        "legacy_sgd.h5": (old.SGD(0.05, momentum=0.9, decay=0.1), "mean_squared_error"),
        "legacy_sgd.keras": (old.SGD(0.05, clipnorm=0.2), losses.MeanSquaredError()),
        "legacy_adam.h5": (old.Adam(0.01, amsgrad=True, decay=0.05, clipvalue=0.1), losses.MeanSquaredError()),
        "legacy_rmsprop.h5": (old.RMSprop(0.005, epsilon=1e-2), "mse"),
        "legacy_rmsprop_centered.h5": (old.RMSprop(0.005, momentum=0.7, centered=True, epsilon=1e-2), "mse"),
        "legacy_adagrad.h5": (old.Adagrad(s.InverseTimeDecay(0.05, 5, 0.5), epsilon=1e-2), "mse"),
    }


def model() -> Any:
    """Convolution, normalization and a dense layer, with penalties on weights and outputs and a constraint."""
    keras.utils.set_random_seed(0)
    k = keras.layers
    return keras.Sequential(
        [
            k.Input((6, 2)),
            k.Conv1D(3, 3, activation="tanh", kernel_regularizer="l2", activity_regularizer=keras.regularizers.L2(0.1)),
            k.BatchNormalization(momentum=0.9),
            k.GlobalAveragePooling1D(),
            k.Dense(2, kernel_constraint=keras.constraints.MaxNorm(0.9), bias_regularizer=keras.regularizers.L1(0.01)),
        ]
    )


def main() -> None:
    """Write all files."""
    x, y = batches()
    after = {}
    for name, (optimizer, loss) in cases().items():
        trained = model()
        trained.compile(optimizer, loss)
        for step in range(BEFORE):
            trained.train_on_batch(x[step], y[step])
        with TemporaryDirectory() as folder:
            path = Path(folder, name)
            trained.save(path)
            Path(f"{name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        for step in range(BEFORE, BEFORE + AFTER):
            trained.train_on_batch(x[step], y[step])
        after[name] = np.concatenate([np.ravel(weight) for weight in trained.get_weights()])
    np.savez("after.npz", **after)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
