"""Layer descriptions: frozen dataclasses with `init`, `apply` and `reference`; names handed on, nothing defined."""

from .activation import Activation
from .base import Layer
from .bidirectional import Bidirectional
from .conv_lstm import ConvLSTM1D
from .convolution import Conv1D, Conv1DTranspose, DepthwiseConv1D, SeparableConv1D
from .dense import Dense
from .global_pooling import GlobalAveragePooling1D, GlobalMaxPooling1D
from .merging import Add, Concatenate
from .normalization import BatchNormalization
from .pick import Pick
from .pooling import AveragePooling1D, MaxPooling1D
from .recurrent import GRU, LSTM, SimpleRNN
from .regularization import Dropout
from .shape import Flatten, ZeroPadding1D
from .time_distributed import TimeDistributed
from .transparent import ChannelsFirst, Frozen, InDtype

__all__ = [
    "GRU",
    "LSTM",
    "Activation",
    "Add",
    "AveragePooling1D",
    "BatchNormalization",
    "Bidirectional",
    "ChannelsFirst",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "ConvLSTM1D",
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
    "SeparableConv1D",
    "SimpleRNN",
    "TimeDistributed",
    "ZeroPadding1D",
]
