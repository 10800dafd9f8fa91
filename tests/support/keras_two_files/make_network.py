"""Makes `network.*` of this folder with Keras 2.15 and TensorFlow 2.15: `python make_network.py`.

A network of layers whose meaning or config differs between Keras 2 and Keras 3, and its outputs.
"""

import gzip
import importlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

keras: Any = importlib.import_module("keras")
kl = keras.layers
MERGING = ("Add", "Average", "Multiply", "Maximum", "Minimum")


def model() -> Any:
    first, second = keras.Input((6, 4), name="first"), keras.Input((6, 4), name="second")
    one, other = kl.Masking(0.0)(first), kl.Masking(0.0)(second)
    outputs = []
    for name in MERGING:
        both, single = getattr(kl, name)()([one, other]), getattr(kl, name)()([one, second])
        outputs += [both, kl.GlobalAveragePooling1D()(both), kl.GlobalAveragePooling1D()(single)]
    for layer in (kl.Concatenate(), kl.Concatenate(axis=1)):
        outputs.append(kl.GlobalAveragePooling1D()(layer([one, other])))
    outputs.append(kl.GlobalAveragePooling1D()(kl.Concatenate()([one, second])))
    hard = {"recurrent_activation": "hard_sigmoid"}
    outputs += [
        kl.LSTM(2, **hard)(one),
        kl.GRU(2, reset_after=False, **hard)(one),
        kl.Bidirectional(kl.LSTM(2, return_sequences=True, **hard))(one),
        kl.TimeDistributed(kl.Dense(2, activation="hard_sigmoid"))(first),
        kl.Activation("hard_sigmoid")(first),
        kl.Dense(2, activation=kl.LeakyReLU(0.1))(first),
        kl.Conv1D(2, 2, activation=kl.PReLU(shared_axes=[1]))(first),
        kl.MultiHeadAttention(2, 2)(one, other),
        kl.Attention(use_scale=True)([one, other]),
        kl.ThresholdedReLU(0.4)(first),
    ]
    return keras.Model([first, second], outputs)


def main() -> None:
    made, rng = model(), np.random.default_rng(0)
    made.set_weights([(rng.standard_normal(array.shape) * 0.5).astype("float32") for array in made.get_weights()])
    x = rng.standard_normal((2, 3, 6, 4)).astype("float32")
    x[0, 0, 4:] = x[0, 1, 1] = x[1, 0, 2] = x[1, 1, 4:] = 0
    outputs = {name: array.numpy() for name, array in zip(made.output_names, made(list(x)), strict=True)}
    for name in ("network.h5", "network.keras"):
        with TemporaryDirectory() as folder:
            path = Path(folder, name)
            made.save(path)
            Path(f"{name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    np.savez("outputs.npz", **outputs, first=x[0], second=x[1])


if __name__ == "__main__":
    main()
