"""The residual network of Wang, Yan and Oates."""

from __future__ import annotations

from jconv import Model, layers

from .graph import Graph


def resnet(outputs: int, shape: tuple[int, int] = (0, 1)) -> Model:
    """Three residual blocks of 64, 128 and 128 filters, the mean over time, and one dense layer.

    A block is three convolutions of kernel sizes 8, 5 and 3, each with batch normalization and relu, the last relu
    behind the sum with what went in. That comes over a convolution of size 1 and batch normalization where its
    channels are others, else over batch normalization alone, as in the code that the review of Fawaz et al. (2019)
    measured. (Time Series Classification from Scratch with Deep Neural Networks: A Strong Baseline, IJCNN 2017.)

    >>> resnet(2).output_shapes((150, 1))["2.sum"]
    (150, 128)
    """
    graph, at, channels = Graph(), "x", shape[1]
    for block, filters in enumerate((64, 128, 128)):
        body = [
            layer
            for kernel_size in (8, 5, 3)
            for layer in (
                layers.Conv1D(filters, kernel_size, padding="same"),
                layers.BatchNormalization(),
                layers.Activation("relu"),
            )
        ]
        widened = [layers.Conv1D(filters, 1, padding="same")] if channels != filters else []
        past = [*widened, layers.BatchNormalization()]
        ends = graph.chain(f"{block}.body", body[:-1], at), graph.chain(f"{block}.past", past, at)
        at = graph.add(f"{block}.relu", layers.Activation("relu"), graph.add(f"{block}.sum", layers.Add(), *ends))
        channels = filters
    return graph.model(graph.chain("head", [layers.GlobalAveragePooling1D(), layers.Dense(outputs)], at))
