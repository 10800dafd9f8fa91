"""Makes `operations.h5.gz` and `operations.npz` with Keras 2.15 and TensorFlow 2.15: `python make_operations.py`.

The network has functions of TensorFlow between its layers; the file contains their names.
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
tf: Any = importlib.import_module("tensorflow")


def model() -> Any:
    """A model with one output for each function; `operations.npz` has the outputs under the same names."""
    x, y = keras.Input((6, 4), name="x"), keras.Input((6, 4), name="y")
    n = keras.Input((6,), name="n", dtype="int32")
    counts = tf.cast(tf.math.not_equal(n, 0), "float32")
    values = {
        "add": x + y,
        "constants": 1.0 - x * 2.0 / 3.0,
        "right": 2.0 * tf.maximum(x, 0.25),
        "slice": x[:, 1:-1, ::2],
        "last": x[:, -1],
        "new_axis": tf.squeeze(x[:, None], axis=1),
        "ellipsis": x[..., 1:],
        "mask": x * tf.expand_dims(counts, axis=-1),
        "concat": tf.concat([x, y], axis=-1),
        "stack": tf.stack([x, y], axis=2),
        "mean": tf.reduce_mean(x, axis=1),
        "sum": tf.reduce_sum(x, axis=[1, 2], keepdims=True),
        "most": tf.reduce_max(x, axis=-1),
        "transpose": tf.transpose(x, perm=[0, 2, 1]),
        "reshape": tf.reshape(x, (-1, 8, 3)),
        "matmul": tf.matmul(x, y, transpose_b=True),
        "relu": tf.nn.relu(x),
        "softmax": tf.nn.softmax(x, axis=1),
        "gelu": tf.nn.gelu(x),
        "normal": tf.math.l2_normalize(x, axis=-1),
        "root": tf.sqrt(tf.abs(x)),
        "clipped": tf.clip_by_value(x, -0.5, 0.5),
        "power": tf.square(x) ** 2,
        "where": tf.where(x > y, x, y),
        "tanh": tf.tanh(keras.layers.Dense(3)(x)),
    }
    # The name of a function's own output depends on what the program called before.
    outputs = [keras.layers.Activation("linear", name=name)(value) for name, value in values.items()]
    return keras.Model([x, y, n], outputs)


def main() -> None:
    """Write both files."""
    keras.utils.set_random_seed(0)
    made, rng = model(), np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, 6, 4)).astype("float32")
    n = rng.integers(0, 3, (3, 6)).astype("int32")
    outputs = {name: array.numpy() for name, array in zip(made.output_names, made([x, y, n]), strict=True)}
    with TemporaryDirectory() as folder:
        path = Path(folder, "operations.h5")
        made.save(path)
        Path("operations.h5.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    np.savez_compressed("operations.npz", **outputs, x=x, y=y, n=n)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
