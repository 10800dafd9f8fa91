"""The two networks that the command trains, as jconv models."""

from __future__ import annotations

from jconv import Model, layers, sequential


def fcn(classes: int) -> Model:
    """The fully convolutional network of Wang, Yan and Oates (2017): (n, length, channels) to logits (n, classes).

    Three blocks of convolution, batch normalization and relu, then the mean over time and one dense layer. The
    softmax is in the loss. (Time Series Classification from Scratch with Deep Neural Networks: A Strong Baseline,
    IJCNN 2017.)

    >>> fcn(2).output_shapes((150, 1))["dense"]
    (2,)
    """
    blocks = [
        layer
        for filters, kernel_size in ((128, 8), (256, 5), (128, 3))
        for layer in (
            layers.Conv1D(filters, kernel_size, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
        )
    ]
    return sequential([*blocks, layers.GlobalAveragePooling1D(), layers.Dense(classes)])


def two_layer() -> Model:
    """Two convolutions whose windows touch and do not overlap: (n, 100, channels) to (n, 9, 16) to (n, 1, 16).

    There is no activation between them, so the whole is a linear map of 100 samples to 16 numbers.

    >>> two_layer().output_shapes((100, 1))
    {'conv1d': (9, 16), 'conv1d_1': (1, 16)}
    """
    return sequential([layers.Conv1D(16, 12, stride=12, padding="same") for _ in range(2)])
