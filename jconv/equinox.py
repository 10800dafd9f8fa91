"""Equinox's 1-D convolution, computed by jconv. Needs Equinox."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import equinox as eqx
import jax

from .functional import conv1d
from .geometry import pad_amounts

__all__ = ["Conv1d", "use_jconv"]

Model = TypeVar("Model")
_MODES: dict[str, Any] = {"ZEROS": "zeros", "REFLECT": "reflect", "REPLICATE": "edge", "CIRCULAR": "wrap"}


class Conv1d(eqx.nn.Conv1d):
    """`equinox.nn.Conv1d`: the same arguments, fields and results, computed by jconv.

    >>> layer = Conv1d(3, 8, 5, padding="SAME", key=jax.random.key(0))
    >>> layer(jax.numpy.ones((3, 100))).shape, layer.weight.shape
    ((8, 100), (8, 3, 5))
    """

    def __call__(self, x: jax.Array, *, key: Any = None) -> jax.Array:
        """The output (out_channels, length) of `x` (in_channels, length); `key` is ignored.

        Raises `ValueError` for `x` with other than two axes.
        """
        if x.ndim != 2:
            raise ValueError(f"x must be (in_channels, length), got the shape {x.shape}; use jax.vmap for a batch")
        params = {"kernel": self.weight.transpose(2, 1, 0)}
        if self.bias is not None:
            params["bias"] = self.bias[:, 0]
        (stride,), (dilation,) = self.stride, self.dilation
        y = conv1d(
            params,
            x.T,
            stride=stride,
            padding=self._conv1d_padding(x.shape[1]),
            dilation=dilation,
            groups=self.groups,
            padding_mode=_MODES[self.padding_mode],
        )
        return y.T

    def _conv1d_padding(self, length: int) -> str | tuple[int, int]:
        """`self.padding` as an argument of `conv1d`, for an input of this length."""
        if not isinstance(self.padding, str):
            ((low, high),) = self.padding
            return low, high
        if self.padding != "SAME_LOWER":
            return self.padding.lower()
        (stride,), (dilation,), (size,) = self.stride, self.dilation, self.kernel_size
        low, high = pad_amounts(length, size, stride=stride, dilation=dilation, padding="same")
        return high, low


def use_jconv(model: Model) -> Model:
    """The model with each `equinox.nn.Conv1d` replaced by a `Conv1d` of this module with the same arrays.

    >>> model = eqx.nn.Sequential([eqx.nn.Conv1d(1, 4, 3, key=jax.random.key(0)), eqx.nn.Lambda(jax.nn.relu)])
    >>> type(use_jconv(model)[0]) is Conv1d
    True
    """

    def is_convolution(node: Any) -> bool:
        return type(node) is eqx.nn.Conv1d

    def converted(node: Any) -> Any:
        if not is_convolution(node):
            return node
        layer = object.__new__(Conv1d)
        for field in dataclasses.fields(node):
            object.__setattr__(layer, field.name, getattr(node, field.name))
        return layer

    return jax.tree.map(converted, model, is_leaf=is_convolution)
