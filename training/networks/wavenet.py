"""A WaveNet that classifies series."""

from __future__ import annotations

from jconv import Model, layers

from .builder import ModelBuilder

FILTERS = 32


def wavenet(outputs: int, shape: tuple[int, int] = (0, 1)) -> Model:
    """Gated dilated causal convolutions, the sum of their skips, the mean over time, and a dense layer.

    A block multiplies the tanh of one convolution of kernel size 2 by the sigmoid of another. One convolution of size 1
    of the product is added to the input of the block, and another is its skip. All have 32 filters. The dilations are
    1, 2, 4 and so on, until the last output reads the complete series. (van den Oord et al., WaveNet: A Generative
    Model for Raw Audio, 2016, which predicts the next audio sample and has no mean and dense layer.)

    >>> wavenet(2, (150, 1)).output_shapes((150, 1))["7.product"]
    (150, 32)
    """
    builder = ModelBuilder()
    at, skips = builder.add("first", layers.Conv1D(FILTERS, 2, padding="causal"), "x"), []
    blocks = max(1, (shape[0] - 1).bit_length())
    for block in range(blocks):
        gate = []
        for kind in ("tanh", "sigmoid"):
            layer = layers.Conv1D(FILTERS, 2, padding="causal", dilation=2**block, activation=kind)
            gate.append(builder.add(f"{block}.{kind}", layer, at))
        product = builder.add(f"{block}.product", layers.Multiply(), *gate)
        skips.append(builder.add(f"{block}.skip", layers.Conv1D(FILTERS, 1), product))
        if block < blocks - 1:
            change = builder.add(f"{block}.in", layers.Conv1D(FILTERS, 1), product)
            at = builder.add(f"{block}.out", layers.Add(), change, at)
    summed = builder.add("skips", layers.Add(), *skips) if len(skips) > 1 else skips[0]
    head = [
        layers.Activation("relu"),
        layers.Conv1D(FILTERS, 1, activation="relu"),
        layers.GlobalAveragePooling1D(),
        layers.Dense(outputs),
    ]
    return builder.build(builder.chain("head", head, summed))
