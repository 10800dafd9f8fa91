"""Makes `tcn.h5.gz`, `tcn.keras.gz` and `tcn.npz`: `python make_tcn.py`.

With Keras 2.15, TensorFlow 2.15 and keras-tcn 3.5.7.
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
tcn: Any = importlib.import_module("tcn")

CASES: dict[str, dict[str, Any]] = {
    "plain": {"nb_filters": 3, "dilations": [1, 2]},
    "same": {"nb_filters": 4, "kernel_size": 2, "nb_stacks": 2, "dilations": [1, 3], "padding": "same"},
    "batch": {"nb_filters": 3, "dilations": [1, 4], "use_batch_norm": True, "return_sequences": True},
    "layer": {"nb_filters": 2, "dilations": [1], "use_layer_norm": True, "dropout_rate": 0.2, "activation": "tanh"},
    "no_skips": {"nb_filters": [3, 5], "dilations": [1, 2], "use_skip_connections": False, "go_backwards": True},
}


def main() -> None:
    """Write both files, with random weights."""
    x = keras.Input((9, 4), name="x")
    model = keras.Model(x, [tcn.TCN(**options, name=name)(x) for name, options in CASES.items()])
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.2, 0.8, array.shape) * rng.choice([1, -1]) for array in model.get_weights()])
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(np.abs(layer.moving_variance.numpy()))
    given = rng.standard_normal((2, 9, 4)).astype("float32")
    outputs = {name: array.numpy() for name, array in zip(CASES, model(given), strict=True)}
    for name in ("tcn.h5", "tcn.keras"):
        with TemporaryDirectory() as folder:
            path = Path(folder, name)
            model.save(path)
            Path(f"{name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    np.savez_compressed("tcn.npz", **outputs, x=given)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
