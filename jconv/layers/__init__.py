"""Layer descriptions: frozen dataclasses with `init`, `apply` and `reference`; names handed on, nothing defined."""

from .activation import Activation
from .base import Layer
from .convolution import Conv1D, Conv1DTranspose, DepthwiseConv1D, SeparableConv1D
from .dense import Dense
from .global_pooling import GlobalAveragePooling1D, GlobalMaxPooling1D
from .merging import Add, Concatenate
from .normalization import BatchNormalization
from .pick import Pick
from .operation import Operation
from .pooling import AveragePooling1D, MaxPooling1D
from .regularization import Dropout
from .shape import Flatten, ZeroPadding1D
from .transparent import ChannelsFirst, Frozen, InDtype

__all__ = [
    "Activation",
    "Add",
    "AveragePooling1D",
    "BatchNormalization",
    "ChannelsFirst",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Dense",
    "DepthwiseConv1D",
    "Dropout",
    "Flatten",
    "Frozen",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "InDtype",
    "Layer",
    "MaxPooling1D",
    "Pick",
    "Operation",
    "SeparableConv1D",
    "ZeroPadding1D",
]
