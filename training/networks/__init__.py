"""The networks by name.

Each function builds a model from the number of outputs and the shape (length, channels) of a series. Classifiers
compute logits (n, outputs); the softmax is part of the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jconv import Model

from .convnext import convnext
from .fcn import fcn
from .inception_time import inception_time
from .lite import lite
from .mlp import mlp
from .resnet import resnet
from .tcn import tcn
from .two_layer import two_layer
from .unet import unet
from .wavenet import wavenet


class Network(NamedTuple):
    """A network: `build(outputs, (length, channels))` returns the model.

    The shape of its output is (n, outputs), with `is_per_sample` (n, length, outputs). With `forecasts` it is
    (n, 1, outputs), and forecasting is the only task.
    """

    build: Callable[[int, tuple[int, int]], Model]
    description: str
    is_per_sample: bool = False
    forecasts: bool = False


NETWORKS: dict[str, Network] = {
    "fcn": Network(fcn, "three convolutions with batch normalization (Wang et al. 2017)"),
    "resnet": Network(resnet, "three residual blocks of three convolutions (Wang et al. 2017)"),
    "mlp": Network(mlp, "three dense layers of 500 with dropout (Wang et al. 2017)"),
    "inception-time": Network(inception_time, "six Inception modules of kernel sizes 10, 20, 40 (Fawaz et al. 2020)"),
    "lite": Network(lite, "handmade filters and separable convolutions, 9,814 params (Ismail-Fawaz et al. 2023)"),
    "tcn": Network(tcn, "residual blocks of dilated causal convolutions (Bai et al. 2018)"),
    "wavenet": Network(wavenet, "gated dilated causal convolutions with skips (van den Oord et al. 2016)"),
    "convnext": Network(convnext, "depthwise convolutions of size 7 between pointwise ones (after Liu et al. 2022)"),
    "two-layer": Network(
        two_layer,
        "two convolutions of kernel size and stride 12: a forecast from up to 144 samples",
        forecasts=True,
    ),
    "unet": Network(unet, "four levels down and up with skips (Ronneberger et al. 2015)", is_per_sample=True),
}

__all__ = [
    "NETWORKS",
    "Network",
    "convnext",
    "fcn",
    "inception_time",
    "lite",
    "mlp",
    "resnet",
    "tcn",
    "two_layer",
    "unet",
    "wavenet",
]
