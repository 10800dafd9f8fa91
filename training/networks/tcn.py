"""The temporal convolutional network of Bai, Kolter and Koltun."""

from __future__ import annotations

from jconv import Model, layers

from .graph import Graph

FILTERS, KERNEL_SIZE, DROPOUT = 25, 7, 0.05


def tcn(outputs: int, shape: tuple[int, int] = (0, 1)) -> Model:
    """Residual blocks of two dilated causal convolutions with relu and dropout, the mean over time, one dense layer.

    The dilations are 1, 2, 4 and so on, as many as it takes for the last sample to see the whole series. 25 filters, 7
    taps and a dropout of 0.05 are those of the paper's sequential MNIST. Its weight normalization is left out, and the
    mean stands where it has the last sample, so that series may differ in length. (An Empirical Evaluation of Generic
    Convolutional and Recurrent Networks for Sequence Modeling, 2018.)

    >>> tcn(2, (150, 1)).output_shapes((150, 1))["3.relu"]
    (150, 25)
    """
    graph, at, channels = Graph(), "x", shape[1]
    for block in range(_blocks(shape[0])):
        part = [
            layers.Conv1D(FILTERS, KERNEL_SIZE, padding="causal", dilation=2**block, activation="relu"),
            layers.Dropout(DROPOUT),
        ]
        past = graph.add(f"{block}.past", layers.Conv1D(FILTERS, 1), at) if channels != FILTERS else at
        both = graph.add(f"{block}.sum", layers.Add(), graph.chain(f"{block}.body", part * 2, at), past)
        at, channels = graph.add(f"{block}.relu", layers.Activation("relu"), both), FILTERS
    return graph.model(graph.chain("head", [layers.GlobalAveragePooling1D(), layers.Dense(outputs)], at))


def _blocks(length: int) -> int:
    """Blocks until the last sample sees so many samples: 1 + 2 (taps - 1) (2 ** blocks - 1) of them."""
    blocks = 1
    while 1 + 2 * (KERNEL_SIZE - 1) * (2**blocks - 1) < length:
        blocks += 1
    return blocks
