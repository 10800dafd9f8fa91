"""Normalization layers."""

from .group_normalization import GroupNormalization
from .layer_normalization import LayerNormalization, RMSNormalization, UnitNormalization
from .normalization import BatchNormalization
from .rescaling import Normalization, Rescaling
from .spectral_normalization import SpectralNormalization

__all__ = [
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "Normalization",
    "RMSNormalization",
    "Rescaling",
    "SpectralNormalization",
    "UnitNormalization",
]
