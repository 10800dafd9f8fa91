"""One network of InceptionTime."""

from __future__ import annotations

from jconv import Model, layers

from .builder import ModelBuilder

DEPTH, FILTERS = 6, 32
KERNEL_SIZES = (40, 20, 10)


def inception_time(outputs: int, shape: tuple[int, int] = (0, 1)) -> Model:
    """Six Inception modules, a residual connection around every three, the mean over time, and a dense layer.

    A module reduces an input of several channels to 32, and convolves these with 32 filters of each of the sizes 40, 20
    and 10. A maximum over three samples of the input is convolved with 32 filters of size 1. All results
    are concatenated and pass batch normalization and relu. InceptionTime is the mean of the probabilities of five such
    networks. (Fawaz et al., InceptionTime: Finding AlexNet for time series classification, Data Mining and Knowledge
    Discovery 2020.)

    >>> inception_time(2).output_shapes((150, 1))["5.join"]
    (150, 128)
    """
    builder, at, past, channels = ModelBuilder(), "x", "x", shape[1]
    for module in range(DEPTH):
        at, channels = _add_module(builder, str(module), at, channels), 4 * FILTERS
        if module % 3 == 2:
            short = [layers.Conv1D(channels, 1, padding="same", use_bias=False), layers.BatchNormalization()]
            both = builder.add(f"{module}.sum", layers.Add(), builder.chain(f"{module}.past", short, past), at)
            at = past = builder.add(f"{module}.out", layers.Activation("relu"), both)
    return builder.build_classifier(at, outputs)


def _add_module(builder: ModelBuilder, name: str, at: str, channels: int) -> str:
    def conv(filters: int, kernel_size: int) -> layers.Conv1D:
        return layers.Conv1D(filters, kernel_size, padding="same", use_bias=False)

    narrow = builder.add(f"{name}.narrow", conv(FILTERS, 1), at) if channels > 1 else at
    parts = [builder.add(f"{name}.{size}", conv(FILTERS, size), narrow) for size in KERNEL_SIZES]
    parts.append(builder.chain(f"{name}.max", [layers.MaxPooling1D(3, stride=1, padding="same"), conv(FILTERS, 1)], at))
    joined = builder.add(f"{name}.join", layers.Concatenate(), *parts)
    return builder.chain(f"{name}.end", [layers.BatchNormalization(), layers.Activation("relu")], joined)
