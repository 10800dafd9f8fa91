"""A U-Net over time, with outputs for each sample."""

from __future__ import annotations

from jconv import Model, layers

from .builder import ModelBuilder, conv_block

FILTERS, KERNEL_SIZE = (16, 32, 64, 128), 9


def unet(outputs: int, shape: tuple[int, int]) -> Model:
    """Four levels of 16, 32, 64 and 128 filters, down by max pooling and up by transposed convolutions.

    A level has two convolutions of kernel size 9 with batch normalization and relu. On the way up it also reads its
    own output from the way down. Series need at least 8 samples; a zero is appended to odd lengths. (After
    Ronneberger, Fischer and Brox, U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI 2015.)

    >>> unet(1, (150, 2)).output_shapes((150, 2))["head"]
    (150, 1)
    """
    builder, at, length = ModelBuilder(), "x", shape[0]
    before: list[tuple[str, int]] = []
    for level, filters in enumerate(FILTERS):
        if level:
            before.append((at, length))
            at, length = builder.add(f"{level}.down", layers.MaxPooling1D(2), at), length // 2
        at = builder.chain(f"{level}", 2 * conv_block(filters, KERNEL_SIZE), at)
    for level in reversed(range(len(before))):
        filters, (skip, wanted) = FILTERS[level], before[level]
        at = builder.add(f"{level}.up", layers.Conv1DTranspose(filters, 2, stride=2), at)
        if wanted > 2 * length:
            at = builder.add(f"{level}.behind", layers.ZeroPadding1D((0, wanted - 2 * length)), at)
        length = wanted
        at = builder.add(f"{level}.beside", layers.Concatenate(), skip, at)
        at = builder.chain(f"{level}.again", 2 * conv_block(filters, KERNEL_SIZE), at)
    return builder.build(builder.add("head", layers.Conv1D(outputs, 1), at))
