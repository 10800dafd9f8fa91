"""Layer descriptions: frozen dataclasses with `init`, `apply` and `reference`."""

from .activations.activation import ELU, Activation, HardSigmoid, LeakyReLU, ReLU, Softmax
from .activations.parametric_activation import PReLU
from .attention.attention import AdditiveAttention, Attention
from .attention.multi_head_attention import GroupedQueryAttention, MultiHeadAttention
from .base import Layer
from .channels_first import ChannelsFirst
from .convolution import Conv1D, Conv1DTranspose, DepthwiseConv1D, SeparableConv1D
from .dense import Dense, EinsumDense, Embedding
from .dot import Dot
from .mask import Masking, MaskOf, NonzeroMask
from .merging import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from .normalization.group_normalization import GroupNormalization
from .normalization.layer_normalization import LayerNormalization, RMSNormalization, UnitNormalization
from .normalization.normalization import BatchNormalization
from .normalization.rescaling import Normalization, Rescaling
from .normalization.spectral_normalization import SpectralNormalization
from .operations.operation import Operation
from .pooling.adaptive_pooling import AdaptiveAveragePooling1D, AdaptiveMaxPooling1D
from .pooling.global_pooling import GlobalAveragePooling1D, GlobalMaxPooling1D
from .pooling.pooling import AveragePooling1D, MaxPooling1D
from .recurrent.bidirectional import Bidirectional
from .recurrent.conv_lstm import ConvLSTM1D
from .recurrent.recurrent import GRU, LSTM, SimpleRNN
from .recurrent.time_distributed import TimeDistributed
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
