"""Layer descriptions: frozen dataclasses with `init`, `apply` and `reference`; names handed on, nothing defined."""

from .activation import ELU, Activation, HardSigmoid, LeakyReLU, ReLU, Softmax
from .adaptive_pooling import AdaptiveAveragePooling1D, AdaptiveMaxPooling1D
from .attention import AdditiveAttention, Attention
from .base import Layer
from .bidirectional import Bidirectional
from .channels_first import ChannelsFirst
from .conv_lstm import ConvLSTM1D
from .convolution import Conv1D, Conv1DTranspose, DepthwiseConv1D, SeparableConv1D
from .dense import Dense
from .dot import Dot
from .einsum_dense import EinsumDense
from .embedding import Embedding
from .ends import Cropping1D, UpSampling1D, ZeroPadding1D
from .global_pooling import GlobalAveragePooling1D, GlobalMaxPooling1D
from .group_normalization import GroupNormalization
from .layer_normalization import LayerNormalization, RMSNormalization, UnitNormalization
from .mask import Masking, MaskOf, NonzeroMask
from .merging import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from .multi_head_attention import GroupedQueryAttention, MultiHeadAttention
from .normalization import BatchNormalization
from .operation import Operation
from .parametric_activation import PReLU
from .pick import Pick
from .pooling import AveragePooling1D, MaxPooling1D
from .recurrent import GRU, LSTM, SimpleRNN
from .regularization import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
)
from .rescaling import Normalization, Rescaling
from .shape import Flatten, Permute, RepeatVector, Reshape
from .spectral_normalization import SpectralNormalization
from .time_distributed import TimeDistributed
from .transparent import Frozen, InDtype, InMode

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
