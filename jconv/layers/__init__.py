"""Layer descriptions: frozen dataclasses with `init`, `apply` and `reference`; names handed on, nothing defined."""

from .activation import ELU, Activation, LeakyReLU, ReLU, Softmax, ThresholdedReLU
from .adaptive_pooling import AdaptiveAveragePooling1D, AdaptiveMaxPooling1D
from .base import Layer
from .convolution import Conv1D, Conv1DTranspose, DepthwiseConv1D, SeparableConv1D
from .dense import Dense
from .dot import Dot
from .global_pooling import GlobalAveragePooling1D, GlobalMaxPooling1D
from .mask import Masking, MaskOf, NonzeroMask
from .merging import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from .normalization import BatchNormalization
from .operation import Operation
from .parametric_activation import PReLU
from .pick import Pick
from .pooling import AveragePooling1D, MaxPooling1D
from .regularization import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
)
from .shape import Cropping1D, Flatten, Permute, RepeatVector, Reshape, UpSampling1D, ZeroPadding1D
from .transparent import ChannelsFirst, Frozen, InDtype

__all__ = [
    "ELU",
    "Activation",
    "ActivityRegularization",
    "AdaptiveAveragePooling1D",
    "AdaptiveMaxPooling1D",
    "Add",
    "AlphaDropout",
    "Average",
    "AveragePooling1D",
    "BatchNormalization",
    "ChannelsFirst",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Cropping1D",
    "Dense",
    "DepthwiseConv1D",
    "Dot",
    "Dropout",
    "Flatten",
    "Frozen",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "InDtype",
    "Layer",
    "LeakyReLU",
    "MaskOf",
    "Masking",
    "MaxPooling1D",
    "Maximum",
    "Minimum",
    "Multiply",
    "NonzeroMask",
    "Operation",
    "PReLU",
    "Permute",
    "Pick",
    "ReLU",
    "RepeatVector",
    "Reshape",
    "SeparableConv1D",
    "Softmax",
    "SpatialDropout1D",
    "Subtract",
    "ThresholdedReLU",
    "UpSampling1D",
    "ZeroPadding1D",
]
