"""The fully convolutional network of Wang, Yan and Oates."""

from __future__ import annotations

from jconv import Model, layers, sequential


def fcn(outputs: int, shape: tuple[int, int] = (0, 1)) -> Model:
    """Three blocks of convolution, batch normalization and relu, then the mean over time and one dense layer.

    The filters are 128, 256, 128 and the kernel sizes 8, 5, 3. (Time Series Classification from Scratch with Deep
    Neural Networks: A Strong Baseline, IJCNN 2017.)

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
    return sequential([*blocks, layers.GlobalAveragePooling1D(), layers.Dense(outputs)])
