"""One network of InceptionTime."""

from __future__ import annotations

from jconv import Model, layers

from .graph import Graph

DEPTH, FILTERS = 6, 32
KERNEL_SIZES = (40, 20, 10)


def inception_time(outputs: int, shape: tuple[int, int] = (0, 1)) -> Model:
    """Six Inception modules, a residual connection over every three, the mean over time, and one dense layer.

    A module makes 32 channels of its input where that has several, convolves these with 32 filters of each of the sizes
    40, 20 and 10, and beside them 32 of size 1 behind a maximum over three samples; batch normalization and relu come
    last. What is called InceptionTime is the mean of five such networks' probabilities. (Fawaz et al., InceptionTime:
    Finding AlexNet for time series classification, Data Mining and Knowledge Discovery 2020.)

    >>> inception_time(2).output_shapes((150, 1))["5.join"]
    (150, 128)
    """
    graph, at, past, channels = Graph(), "x", "x", shape[1]
    for module in range(DEPTH):
        at, channels = _module(graph, str(module), at, channels), 4 * FILTERS
        if module % 3 == 2:
            short = [layers.Conv1D(channels, 1, padding="same", use_bias=False), layers.BatchNormalization()]
            both = graph.add(f"{module}.sum", layers.Add(), graph.chain(f"{module}.past", short, past), at)
            at = past = graph.add(f"{module}.out", layers.Activation("relu"), both)
    return graph.model(graph.chain("head", [layers.GlobalAveragePooling1D(), layers.Dense(outputs)], at))


def _module(graph: Graph, name: str, at: str, channels: int) -> str:
    def conv(filters: int, kernel_size: int) -> layers.Conv1D:
        return layers.Conv1D(filters, kernel_size, padding="same", use_bias=False)

    narrow = graph.add(f"{name}.narrow", conv(FILTERS, 1), at) if channels > 1 else at
    parts = [graph.add(f"{name}.{size}", conv(FILTERS, size), narrow) for size in KERNEL_SIZES]
    parts.append(graph.chain(f"{name}.max", [layers.MaxPooling1D(3, stride=1, padding="same"), conv(FILTERS, 1)], at))
    joined = graph.add(f"{name}.join", layers.Concatenate(), *parts)
    return graph.chain(f"{name}.end", [layers.BatchNormalization(), layers.Activation("relu")], joined)
