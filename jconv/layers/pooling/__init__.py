"""Pooling layers."""

from .adaptive_pooling import AdaptiveAveragePooling1D, AdaptiveMaxPooling1D
from .global_pooling import GlobalAveragePooling1D, GlobalMaxPooling1D
from .pooling import AveragePooling1D, MaxPooling1D

__all__ = [
    "AdaptiveAveragePooling1D",
    "AdaptiveMaxPooling1D",
    "AveragePooling1D",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
    "MaxPooling1D",
]
