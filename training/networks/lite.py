"""LITE: an Inception module with handmade filters, then two depthwise separable convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import numpy as np

from jconv import Model, layers

from ..arrays import Array
from .builder import ModelBuilder

Arrays = Mapping[str, Any]

FILTERS = 32
KERNEL_SIZES = (40, 20, 10)
TREND_SIZES = (2, 4, 8, 16, 32, 64)
PEAK_SIZES = (6, 12, 24, 48, 96)


def lite(outputs: int, shape: tuple[int, int] = (0, 1)) -> Model:
    """Handmade and learned filters, concatenated, two separable convolutions, the mean over time, and a dense layer.

    There are 32 learned filters of each of the sizes 40, 20 and 10; `HandmadeFilters` has the others. The separable
    convolutions have 32 filters, kernel sizes 20 and 10 and dilations 2 and 4. Batch normalization and relu follow the
    concatenation and each separable convolution. For series of one channel 9,814 parameters are trained, without the
    dense layer. LITETime is the mean of the probabilities of five such networks. (Ismail-Fawaz et al., LITE: Light
    Inception with boosTing tEchniques for Time Series Classification, IEEE DSAA 2023.)

    >>> lite(2).output_shapes((150, 1))["join"]
    (150, 113)
    """
    builder = ModelBuilder()
    parts = [
        builder.add(f"learned.{size}", layers.Conv1D(FILTERS, size, padding="same", use_bias=False), "x")
        for size in KERNEL_SIZES
    ]
    at = builder.add("join", layers.Concatenate(), *parts, builder.add("handmade", HandmadeFilters(), "x"))
    at = builder.chain("end", [layers.BatchNormalization(), layers.Activation("relu")], at)
    for number, size in enumerate(KERNEL_SIZES[1:], start=1):
        block = [
            layers.SeparableConv1D(FILTERS, size, padding="same", dilation=2**number, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
        ]
        at = builder.chain(f"separable.{number}", block, at)
    return builder.build_classifier(at, outputs)


@dataclass(frozen=True)
class HandmadeFilters(layers.Layer):
    """17 fixed filters of the sum of all channels, and relu: (length, channels) to (length, 17).

    Six filters of alternating signs, their negatives, and five that detect peaks. Nothing is trained. (Ismail-Fawaz et
    al., Deep Learning For Time Series Classification Using New Hand-Crafted Convolution Filters, IEEE Big Data 2022.)

    >>> HandmadeFilters().output_shape((150, 3))
    (150, 17)
    """

    def output_shape(self, input_shape: Any) -> Any:
        """`(length, 17)`."""
        return _convolution().output_shape(input_shape)

    def apply_sequences(
        self,
        params: Arrays,
        state: Arrays,
        x: Any,
        sequences: Any,
        *,
        training: bool = False,
        key: jax.Array | None = None,
    ) -> tuple[Any, dict[str, Any], Any]:
        """See `Layer.apply_sequences`."""
        return _convolution().apply_sequences(_kernel(x), state, x, sequences, training=training, key=key)

    def flops(self, input_shape: Any) -> int:
        """2 per multiply-add."""
        return _convolution().flops(input_shape)

    def window(self) -> Any:
        """The window of the longest filter."""
        return _convolution().window()

    def output_timing(self) -> Any:
        """See `Layer.output_timing`."""
        return _convolution().output_timing()

    def stream_init(self, params: Arrays, state: Arrays, x: Any, options: Any) -> Any:
        """See `Layer.stream_init`."""
        return _convolution().stream_init(_kernel(x), state, x, options)

    def stream_step(
        self,
        params: Arrays,
        state: Arrays,
        stream: Any,
        x: Any,
        *,
        last: bool = False,
        slots: jax.Array | None = None,
    ) -> tuple[Any, Any]:
        """See `Layer.stream_step`."""
        return _convolution().stream_step(_kernel(x), state, stream, x, last=last, slots=slots)

    def _jax(self, params: Arrays, x: Any) -> Any:
        return _convolution().apply(_kernel(x), {}, x)[0]

    def _numpy(self, params: Arrays, x: Any) -> Array:
        return _convolution().reference(_kernel(x, np.float64), {}, x)


@cache
def filters() -> Array:
    """The filters (96, 17), padded with zeros so that each gives the outputs of a "same" convolution of its own size.

    >>> filters()[46:49, 0].tolist()
    [0.0, -1.0, 1.0]
    """
    trends = [np.where(np.arange(size) % 2, 1.0, -1.0) for size in TREND_SIZES]
    columns = [*trends, *(-trend for trend in trends), *map(_peak, PEAK_SIZES)]
    longest = max(map(len, columns))
    kernel = np.zeros((longest, len(columns)))
    for number, column in enumerate(columns):
        first = (longest - 1) // 2 - (len(column) - 1) // 2
        kernel[first : first + len(column), number] = column
    return kernel


def _peak(size: int) -> Array:
    """Three peaks of equal width with parabolic sides, of the heights -1, 2 and -1."""
    rise = (np.arange(1, size // 6 + 1) / (size // 6)) ** 2
    hill = np.concatenate([rise, rise[::-1]])
    return np.concatenate([-hill, 2 * hill, -hill])


def _convolution() -> layers.Conv1D:
    longest, count = filters().shape
    return layers.Conv1D(count, longest, padding="same", use_bias=False, activation="relu")


def _kernel(x: Any, dtype: Any = None) -> dict[str, Any]:
    kernel = np.repeat(filters()[:, None], x.shape[-1], axis=1)
    return {"kernel": kernel.astype(dtype or x.dtype)}
