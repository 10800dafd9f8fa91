"""Types of arguments and results of the public convolutions, for their overloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import jax

from ..geometry import Padding

Params = Mapping[str, Any]
Activation = str | Callable[[Any], Any] | None
OutputAndExtent = tuple[jax.Array, jax.Array]
"""The result of a convolution with `lengths` or `segment_ids`: the output, and the lengths or ids of the output."""


class CommonOptions(TypedDict, total=False):
    """The options of all convolutions."""

    stride: int
    dilation: int
    activation: Activation
    algorithm: str
    precision: Any


class DepthwiseOptions(CommonOptions, total=False):
    """The options of `depthwise_conv1d` and `separable_conv1d`."""

    padding: Padding
    padding_mode: str


class Conv1DOptions(DepthwiseOptions, total=False):
    """The options of `conv1d`."""

    groups: int


class TransposeOptions(CommonOptions, total=False):
    """The options of `conv1d_transpose`."""

    padding: str
    output_padding: int | None
