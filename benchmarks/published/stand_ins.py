"""Stand-ins for classes and functions that published files only name: layers written with jconv.

Each computes what its author's code does. `keras_outputs.py` has the same for Keras.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jconv import layers
from jconv.layers import Layer

from .splines import spline_basis


class StandIn(Layer):
    """Base class of layers without state that read the complete length; the computation is `compute(np, params, x)`."""

    def window(self) -> None:
        """None: the output depends on all samples."""

    def compute(self, np: Any, params: Mapping[str, Any], x: Any) -> Any:
        """The output; `np` is `numpy` or `jax.numpy`."""
        raise NotImplementedError  # each layer has its own

    def _jax(self, params: Mapping[str, Any], x: Any) -> Any:
        return self.compute(jnp, params, x)

    def _numpy(self, params: Mapping[str, Any], x: Any) -> Any:
        return self.compute(np, params, x)


@dataclass(frozen=True)
class LastStep(StandIn):
    """`Lambda(lambda x: x[:, -1, :])`."""

    def output_shape(self, input_shape: Any) -> Any:
        """`(channels,)`."""
        return tuple(input_shape[1:])

    def compute(self, np: Any, params: Mapping[str, Any], x: Any) -> Any:
        """See `StandIn`."""
        return x[:, -1]


@dataclass(frozen=True)
class MaskedMean(StandIn):
    """MMSplice's `GlobalAveragePooling1D_Mask0`: the mean of features over the samples where a sequence is not zero."""

    inputs: tuple[str, ...] = ("features", "sequence")

    def output_shape(self, input_shape: Any) -> Any:
        """`(channels,)` of the features."""
        return tuple(input_shape[0][1:])

    def compute(self, np: Any, params: Mapping[str, Any], x: Any) -> Any:
        """See `StandIn`."""
        features, sequence = x
        weights = sequence.max(axis=2, keepdims=True)
        return (features * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-7)


@dataclass(frozen=True)
class SplineWeight(StandIn):
    """MMSplice's `SplineWeight1D`: each channel times one plus a spline of the position."""

    count: int = 10
    degree: int = 3

    def output_shape(self, input_shape: Any) -> Any:
        """The shape of the input, whose length must be known."""
        if input_shape[0] is None:
            raise ValueError("SplineWeight needs a known length, got None")
        return tuple(input_shape)

    def param_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """The coefficients of the splines."""
        return {"kernel": (self.count, input_shape[1])}

    def compute(self, np: Any, params: Mapping[str, Any], x: Any) -> Any:
        """See `StandIn`."""
        basis = np.asarray(spline_basis(x.shape[1], self.count, self.degree), x.dtype)
        return x * (1 + basis @ params["kernel"])


@dataclass(frozen=True)
class ChannelAttention(StandIn):
    """`Attention_layer` of c_AMPs-prediction: a sum over the samples, with weights for each channel."""

    def output_shape(self, input_shape: Any) -> Any:
        """`(channels,)`."""
        return tuple(input_shape[1:])

    def param_shapes(self, input_shape: Any) -> dict[str, tuple[int, ...]]:
        """The matrix and the bias of the scores."""
        channels = input_shape[1]
        return {"W": (channels, channels), "b": (channels,)}

    def compute(self, np: Any, params: Mapping[str, Any], x: Any) -> Any:
        """See `StandIn`."""
        weights = np.exp(np.tanh(x @ params["W"] + params["b"]))
        return (x * weights / (weights.sum(axis=1, keepdims=True) + 1e-7)).sum(axis=1)


STAND_INS: dict[str, dict[str, dict[str, Any]]] = {
    "deeplc": {"custom_activations": {"<lambda>": layers.ReLU(max_value=20.0, negative_slope=0.1)}},
    "mmsplice": {
        "custom_layers": {
            "ConvDNA": layers.Conv1D,
            "GlobalAveragePooling1D_Mask0": MaskedMean(),
            "SplineWeight1D": SplineWeight(),
        }
    },
    "c_amps": {"custom_layers": {"Attention_layer": ChannelAttention()}},
    "dna_lstm": {"custom_layers": {"last_step_layer": LastStep()}},
    # Lambda(lambda x: x[:, -n:, :]) of series of 30 samples.
    "last_1_of_30": {"custom_layers": {"Lambda": layers.Cropping1D((29, 0))}},
    "last_20_of_30": {"custom_layers": {"Lambda": layers.Cropping1D((10, 0))}},
}
"""The options of `jconv.keras.load` by the name in a manifest."""


def names(supplied: str) -> list[str]:
    """The classes, layers and functions that a stand-in supplies."""
    return [name for by_name in STAND_INS[supplied].values() for name in by_name]
