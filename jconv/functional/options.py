"""The types of the convolutions' arguments and results, for signatures that depend on which arguments are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import jax

from ..geometry import Padding

Params = Mapping[str, Any]
Activation = str | Callable[[Any], Any] | None
Extended = tuple[jax.Array, jax.Array]
"""What a convolution returns with `lengths` or `segment_ids`: the output, and these of the output."""


class Common(TypedDict, total=False):
    """The options that all convolutions have."""

    stride: int
    dilation: int
    activation: Activation
    algorithm: str
    precision: Any


class Padded(Common, total=False):
    """Those of the depthwise and the separable one."""

    padding: Padding
    padding_mode: str


class Grouped(Padded, total=False):
    """Those of the plain one."""

    groups: int


class Transposed(Common, total=False):
    """Those of the transposed one."""

    padding: str
    output_padding: int | None
