"""The temporal convolutional network of Bai, Kolter and Koltun."""

from __future__ import annotations

from jconv import Model, layers

from .builder import ModelBuilder

FILTERS, KERNEL_SIZE, DROPOUT = 25, 7, 0.05


def tcn(outputs: int, shape: tuple[int, int] = (0, 1)) -> Model:
    """Residual blocks of two dilated causal convolutions with relu and dropout, the mean over time, and a dense layer.

    The dilations are 1, 2, 4 and so on, until the last output reads the complete series. 25 filters, kernel size 7 and
    dropout 0.05 are the paper's for sequential MNIST. There is no weight normalization, and the mean replaces the
    paper's last sample, so that series may differ in length. (An Empirical Evaluation of Generic Convolutional and
    Recurrent Networks for Sequence Modeling, 2018.)

    >>> tcn(2, (150, 1)).output_shapes((150, 1))["3.relu"]
    (150, 25)
    """
    builder, at, channels = ModelBuilder(), "x", shape[1]
    for block in range(_blocks(shape[0])):
        part = [
            layers.Conv1D(FILTERS, KERNEL_SIZE, padding="causal", dilation=2**block, activation="relu"),
            layers.Dropout(DROPOUT),
        ]
        past = builder.add(f"{block}.past", layers.Conv1D(FILTERS, 1), at) if channels != FILTERS else at
        both = builder.add(f"{block}.sum", layers.Add(), builder.chain(f"{block}.body", part * 2, at), past)
        at, channels = builder.add(f"{block}.relu", layers.Activation("relu"), both), FILTERS
    return builder.build_classifier(at, outputs)


def _blocks(length: int) -> int:
    """The least number of blocks whose receptive field, 1 + 2 (kernel size - 1) (2 ** blocks - 1), covers `length`."""
    blocks = 1
    while 1 + 2 * (KERNEL_SIZE - 1) * (2**blocks - 1) < length:
        blocks += 1
    return blocks
