"""The fully convolutional network of Wang, Yan and Oates."""

from __future__ import annotations

from jconv import Model, layers, sequential

from .builder import conv_block


def fcn(outputs: int, shape: tuple[int, int] = (0, 1)) -> Model:
    """Three blocks of convolution, batch normalization and relu, then the mean over time and a dense layer.

    The filters are 128, 256, 128 and the kernel sizes 8, 5, 3. (Time Series Classification from Scratch with Deep
    Neural Networks: A Strong Baseline, IJCNN 2017.)

    >>> fcn(2).output_shapes((150, 1))["dense"]
    (2,)
    """
    blocks = [*conv_block(128, 8), *conv_block(256, 5), *conv_block(128, 3)]
    return sequential([*blocks, layers.GlobalAveragePooling1D(), layers.Dense(outputs)])
