"""Layer descriptions: frozen dataclasses with `init`, `apply` and `reference`."""

from .activations import ELU, Activation, HardSigmoid, LeakyReLU, PReLU, ReLU, Softmax
from .attention import AdditiveAttention, Attention, GroupedQueryAttention, MultiHeadAttention
from .base import Layer
from .channels_first import ChannelsFirst
from .convolution import Conv1D, Conv1DTranspose, DepthwiseConv1D, SeparableConv1D
from .dense import Dense, EinsumDense, Embedding
from .dot import Dot
from .mask import Masking, MaskOf, NonzeroMask
from .merging import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from .normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    Normalization,
    Rescaling,
    RMSNormalization,
    SpectralNormalization,
    UnitNormalization,
)
from .operations import Operation
from .pooling import (
    AdaptiveAveragePooling1D,
    AdaptiveMaxPooling1D,
    AveragePooling1D,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    MaxPooling1D,
)
from .recurrent import GRU, LSTM, Bidirectional, ConvLSTM1D, SimpleRNN, TimeDistributed
from .regularization import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
)
from .resizing import Cropping1D, UpSampling1D, ZeroPadding1D
from .shape import Flatten, Permute, Pick, RepeatVector, Reshape
from .wrapper import Frozen, InDtype, InMode

__all__ = [
    "ELU",
    "GRU",
    "LSTM",
    "Activation",
    "ActivityRegularization",
    "AdaptiveAveragePooling1D",
    "AdaptiveMaxPooling1D",
    "Add",
    "AdditiveAttention",
    "AlphaDropout",
    "Attention",
    "Average",
    "AveragePooling1D",
    "BatchNormalization",
    "Bidirectional",
    "ChannelsFirst",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "ConvLSTM1D",
    "Cropping1D",
    "Dense",
    "DepthwiseConv1D",
    "Dot",
    "Dropout",
    "EinsumDense",
    "Embedding",
    "Flatten",
    "Frozen",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "GroupNormalization",
    "GroupedQueryAttention",
    "HardSigmoid",
    "InDtype",
    "InMode",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "MaskOf",
    "Masking",
    "MaxPooling1D",
    "Maximum",
    "Minimum",
    "MultiHeadAttention",
    "Multiply",
    "NonzeroMask",
    "Normalization",
    "Operation",
    "PReLU",
    "Permute",
    "Pick",
    "RMSNormalization",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "SeparableConv1D",
    "SimpleRNN",
    "Softmax",
    "SpatialDropout1D",
    "SpectralNormalization",
    "Subtract",
    "TimeDistributed",
    "UnitNormalization",
    "UpSampling1D",
    "ZeroPadding1D",
]
