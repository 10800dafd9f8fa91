"""A network of depthwise convolutions, after ConvNeXt."""

from __future__ import annotations

from jconv import Model, layers

from .builder import ModelBuilder

WIDTHS, BLOCKS, KERNEL_SIZE, EPSILON = (64, 128), 2, 7, 1e-6
# Shorter series are not downsampled by the first layer.
MIN_STRIDED_LENGTH = 128


def convnext(outputs: int, shape: tuple[int, int] = (0, 1)) -> Model:
    """Two stages of two blocks, 64 and 128 wide, the mean over time, layer normalization, and a dense layer.

    A block adds to its input a depthwise convolution of kernel size 7, layer normalization, a dense layer four times as
    wide with gelu, and a dense layer back to the width. The stride of the first layer is 4, or 1 for series shorter
    than 128 samples; the second stage begins with stride 2. (After Liu et al., A ConvNet for the 2020s, CVPR 2022.)

    >>> convnext(2, (150, 1)).output_shapes((150, 1))["1.1.sum"]
    (19, 128)
    """
    builder = ModelBuilder()
    patch = 4 if shape[0] >= MIN_STRIDED_LENGTH else 1
    stem = [layers.Conv1D(WIDTHS[0], 4, stride=patch, padding="same"), _normalization()]
    at = builder.chain("stem", stem, "x")
    for stage, width in enumerate(WIDTHS):
        if stage:
            down = [_normalization(), layers.Conv1D(width, 2, stride=2, padding="same")]
            at = builder.chain(f"{stage}.down", down, at)
        for block in range(BLOCKS):
            body = [
                layers.DepthwiseConv1D(KERNEL_SIZE, padding="same"),
                _normalization(),
                layers.Dense(4 * width, activation="gelu"),
                layers.Dense(width),
            ]
            name = f"{stage}.{block}"
            at = builder.add(f"{name}.sum", layers.Add(), builder.chain(name, body, at), at)
    head = [layers.GlobalAveragePooling1D(), _normalization(), layers.Dense(outputs)]
    return builder.build(builder.chain("head", head, at))


def _normalization() -> layers.LayerNormalization:
    return layers.LayerNormalization(epsilon=EPSILON)
