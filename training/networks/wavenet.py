"""A WaveNet that reads series."""

from __future__ import annotations

from jconv import Model, layers

from .graph import Graph

FILTERS = 32


def wavenet(outputs: int, shape: tuple[int, int] = (0, 1)) -> Model:
    """Gated dilated causal convolutions, the sum of their skips, the mean over time, and one dense layer.

    A block multiplies the tanh of one convolution of two taps by the sigmoid of another; a convolution of size 1 of the
    product is added to what went in, and another is the block's skip. The dilations are 1, 2, 4 and so on, as many as
    it takes for the last sample to see the whole series. 32 filters. (van den Oord et al., WaveNet: A Generative Model
    for Raw Audio, 2016, which predicts the next sample of audio in place of the mean and the dense layer.)

    >>> wavenet(2, (150, 1)).output_shapes((150, 1))["7.product"]
    (150, 32)
    """
    graph = Graph()
    at, skips = graph.add("first", layers.Conv1D(FILTERS, 2, padding="causal"), "x"), []
    blocks = max(1, (shape[0] - 1).bit_length())
    for block in range(blocks):
        gate = [
            graph.add(
                f"{block}.{kind}", layers.Conv1D(FILTERS, 2, padding="causal", dilation=2**block, activation=kind), at
            )
            for kind in ("tanh", "sigmoid")
        ]
        product = graph.add(f"{block}.product", layers.Multiply(), *gate)
        skips.append(graph.add(f"{block}.skip", layers.Conv1D(FILTERS, 1), product))
        if block < blocks - 1:
            at = graph.add(
                f"{block}.out", layers.Add(), graph.add(f"{block}.in", layers.Conv1D(FILTERS, 1), product), at
            )
    summed = graph.add("skips", layers.Add(), *skips) if len(skips) > 1 else skips[0]
    head = [
        layers.Activation("relu"),
        layers.Conv1D(FILTERS, 1, activation="relu"),
        layers.GlobalAveragePooling1D(),
        layers.Dense(outputs),
    ]
    return graph.model(graph.chain("head", head, summed))
