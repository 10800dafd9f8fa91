"""A U-Net over time: numbers for each sample."""

from __future__ import annotations

from jconv import Model, layers

from .graph import Graph

FILTERS, KERNEL_SIZE = (16, 32, 64, 128), 9


def unet(outputs: int, shape: tuple[int, int]) -> Model:
    """Four levels of 16, 32, 64 and 128 filters, down by maxima over two samples and up by transposed convolutions.

    A level is two convolutions of 9 taps with batch normalization and relu. On the way up each stands behind the
    level's samples on the way down. Any length of at least 8 will do: where it is odd, a zero is put behind. (After
    Ronneberger, Fischer and Brox, U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI 2015.)

    >>> unet(1, (150, 2)).output_shapes((150, 2))["head"]
    (150, 1)
    """
    graph, at, length = Graph(), "x", shape[0]
    before: list[tuple[str, int]] = []
    for level, filters in enumerate(FILTERS):
        if level:
            before.append((at, length))
            at, length = graph.add(f"{level}.down", layers.MaxPooling1D(2), at), length // 2
        at = graph.chain(f"{level}", _twice(filters), at)
    for level in reversed(range(len(before))):
        filters, (skip, wanted) = FILTERS[level], before[level]
        at = graph.add(f"{level}.up", layers.Conv1DTranspose(filters, 2, stride=2), at)
        if wanted > 2 * length:
            at = graph.add(f"{level}.behind", layers.ZeroPadding1D((0, wanted - 2 * length)), at)
        length = wanted
        at = graph.add(f"{level}.beside", layers.Concatenate(), skip, at)
        at = graph.chain(f"{level}.again", _twice(filters), at)
    return graph.model(graph.add("head", layers.Conv1D(outputs, 1), at))


def _twice(filters: int) -> list[layers.Layer]:
    once = [
        layers.Conv1D(filters, KERNEL_SIZE, padding="same"),
        layers.BatchNormalization(),
        layers.Activation("relu"),
    ]
    return once * 2
