"""How `gun_point.keras` was made: a small network that real Keras trains on the built-in data.

`python docs/gun_point.py`, with Keras installed, writes the file again beside this one.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
from keras import layers

from training.data.datasets import load
from training.data.scaling import standardize

EPOCHS, BATCH = 200, 10


def network(length: int, channels: int, classes: int) -> keras.Model:
    """Wang, Yan and Oates's fully convolutional network (IJCNN 2017), an eighth as wide."""
    x = series = keras.Input((length, channels), name="series")
    for filters, size in ((16, 8), (32, 5), (16, 3)):
        x = layers.Conv1D(filters, size, padding="same")(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(series, layers.Dense(classes, activation="softmax", name="motion")(x), name="gun_point")


def main() -> None:
    keras.utils.set_random_seed(0)
    data, _, _ = standardize(load("gunpoint"))
    model = network(*data.x_train.shape[1:], len(data.classes))
    rate = keras.optimizers.schedules.CosineDecay(2e-3, EPOCHS * len(data.x_train) // BATCH)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(data.x_train, data.y_train, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    loss, accuracy = model.evaluate(data.x_test, data.y_test, verbose=0)
    model.save(Path(__file__).with_suffix(".keras"))
    print(f"loss {loss:.4f}, test accuracy {100 * accuracy:.1f}%")


if __name__ == "__main__":
    main()
