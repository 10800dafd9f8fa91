"""The residual network of Wang, Yan and Oates."""

from __future__ import annotations

from jconv import Model, layers

from .builder import ModelBuilder, conv_block


def resnet(outputs: int, shape: tuple[int, int] = (0, 1)) -> Model:
    """Three residual blocks of 64, 128 and 128 filters, the mean over time, and a dense layer.

    A block has three convolutions of kernel sizes 8, 5 and 3, each followed by batch normalization and relu, the last
    relu after the sum with the input of the block. The input passes a convolution of size 1, if the number of channels
    changes, and batch normalization, as in the code with which Fawaz et al. (2019) compared networks. (Time Series
    Classification from Scratch with Deep Neural Networks: A Strong Baseline, IJCNN 2017.)

    >>> resnet(2).output_shapes((150, 1))["2.sum"]
    (150, 128)
    """
    builder, at, channels = ModelBuilder(), "x", shape[1]
    for block, filters in enumerate((64, 128, 128)):
        body = [*conv_block(filters, 8), *conv_block(filters, 5), *conv_block(filters, 3)[:-1]]
        widened = [layers.Conv1D(filters, 1, padding="same")] if channels != filters else []
        residual = builder.chain(f"{block}.body", body, at)
        shortcut = builder.chain(f"{block}.past", [*widened, layers.BatchNormalization()], at)
        total = builder.add(f"{block}.sum", layers.Add(), residual, shortcut)
        at, channels = builder.add(f"{block}.relu", layers.Activation("relu"), total), filters
    return builder.build_classifier(at, outputs)
