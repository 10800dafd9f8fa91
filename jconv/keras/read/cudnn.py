"""Arrays in the layout of NVIDIA's cuDNN, which `CuDNNLSTM` and `CuDNNGRU` of Keras 2 have in files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

LSTM_GATES, GRU_GATES = 4, 3
PARTS = ("kernel", "recurrent_kernel", "bias")


def undo_cudnn_layout(arrays: Mapping[str, Any], shapes: Mapping[str, Any]) -> dict[str, Any]:
    """A layer's arrays, with those of cuDNN in the layout of `LSTM` and `GRU`; `shapes` are those that the layer needs.

    cuDNN multiplies by a matrix (units, features) for each gate. Keras stores its values in this order, under the shape
    (features, units). There are two biases, for the sequence and for the state, one after the other. As in Keras, a
    bias of this length identifies the layout.

    >>> arrays = {"kernel": np.arange(18).reshape(2, 9), "recurrent_kernel": np.zeros((3, 9)), "bias": np.zeros(18)}
    >>> found = undo_cudnn_layout(arrays, {"bias": (2, 9)})
    >>> arrays["kernel"][:, :3].tolist(), found["kernel"][:, :3].tolist()
    ([[0, 1, 2], [9, 10, 11]], [[0, 2, 10], [1, 9, 11]])
    """
    changed = dict(arrays)
    for prefix in [name.removesuffix("recurrent_kernel") for name in arrays if name.endswith("recurrent_kernel")]:
        own = {part: arrays[f"{prefix}{part}"] for part in PARTS if f"{prefix}{part}" in arrays}
        if len(own) == len(PARTS) and own["bias"].shape != tuple(shapes[f"{prefix}bias"]) and _is_cudnn(**own):
            changed |= {f"{prefix}{part}": array for part, array in _to_keras(**own).items()}
    return changed


def _is_cudnn(kernel: Any, recurrent_kernel: Any, bias: Any) -> bool:
    if kernel.ndim != 2 or recurrent_kernel.ndim != 2:
        return False
    units, width = recurrent_kernel.shape
    is_gated = units > 0 and width in (LSTM_GATES * units, GRU_GATES * units)
    return is_gated and kernel.shape[1] == width and bias.shape == (2 * width,)


def _to_keras(kernel: Any, recurrent_kernel: Any, bias: Any) -> dict[str, Any]:
    units, width = recurrent_kernel.shape
    gates = [slice(start, start + units) for start in range(0, width, units)]
    biases = bias.reshape(2, width)
    return {
        "kernel": np.concatenate([kernel[:, gate].reshape(units, -1).T for gate in gates], axis=1),
        "recurrent_kernel": np.concatenate([recurrent_kernel[:, gate].T for gate in gates], axis=1),
        # An LSTM adds both biases; a GRU with `reset_after` uses them separately.
        "bias": biases.sum(axis=0) if len(gates) == LSTM_GATES else biases,
    }
