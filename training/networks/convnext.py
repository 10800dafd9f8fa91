"""A network of depthwise convolutions, after ConvNeXt."""

from __future__ import annotations

from jconv import Model, layers

from .graph import Graph

WIDTHS, BLOCKS, KERNEL_SIZE, EPSILON = (64, 128), 2, 7, 1e-6
SHORT = 128


def convnext(outputs: int, shape: tuple[int, int] = (0, 1)) -> Model:
    """Two stages of two blocks, 64 and 128 wide, the mean over time, layer normalization, and one dense layer.

    A block is a depthwise convolution of 7 taps, layer normalization, a dense layer four times as wide with gelu and
    one back, added to what went in. The first layer makes a sample of every four, or of every one where a series is
    shorter than 128, and the second stage one of every two. (After Liu et al., A ConvNet for the 2020s, CVPR 2022.)

    >>> convnext(2, (150, 1)).output_shapes((150, 1))["1.1.sum"]
    (19, 128)
    """
    graph = Graph()
    patch = 4 if shape[0] >= SHORT else 1
    stem = [layers.Conv1D(WIDTHS[0], 4, stride=patch, padding="same"), _normalization()]
    at = graph.chain("stem", stem, "x")
    for stage, width in enumerate(WIDTHS):
        if stage:
            at = graph.chain(f"{stage}.down", [_normalization(), layers.Conv1D(width, 2, stride=2, padding="same")], at)
        for block in range(BLOCKS):
            body = [
                layers.DepthwiseConv1D(KERNEL_SIZE, padding="same"),
                _normalization(),
                layers.Dense(4 * width, activation="gelu"),
                layers.Dense(width),
            ]
            name = f"{stage}.{block}"
            at = graph.add(f"{name}.sum", layers.Add(), graph.chain(name, body, at), at)
    return graph.model(
        graph.chain("head", [layers.GlobalAveragePooling1D(), _normalization(), layers.Dense(outputs)], at)
    )


def _normalization() -> layers.LayerNormalization:
    return layers.LayerNormalization(epsilon=EPSILON)
