"""Cases of normalizations, and of preprocessing layers with fixed constants."""

import numpy as np
from keras import layers as kl

from .case import Case

CASES = {
    "BatchNormalization": Case(
        (7, 4),
        {
            "default": lambda x: kl.BatchNormalization()(x),
            "length": lambda x: kl.BatchNormalization(axis=1, epsilon=0.1)(x),
            "negative": lambda x: kl.BatchNormalization(axis=-2, center=False)(x),
            "bare": lambda x: kl.BatchNormalization(center=False, scale=False)(x),
            "mask": lambda x: kl.GlobalAveragePooling1D()(kl.BatchNormalization()(kl.Masking()(kl.ReLU()(x)))),
        },
    ),
    "LayerNormalization": Case(
        (7, 4),
        {
            "default": lambda x: kl.LayerNormalization()(x),
            "length": lambda x: kl.LayerNormalization(axis=1, epsilon=0.1)(x),
            "both": lambda x: kl.LayerNormalization(axis=[1, 2], center=False)(x),
            "mixed": lambda x: kl.LayerNormalization(axis=[1, -1])(x),
            "bare": lambda x: kl.LayerNormalization(center=False, scale=False)(x),
        },
    ),
    "RMSNormalization": Case(
        (7, 4),
        {
            "default": lambda x: kl.RMSNormalization()(x),
            "both": lambda x: kl.RMSNormalization(axis=[2, 1], epsilon=0.1)(x),
        },
    ),
    "RMSNormalization_square": Case((4, 4), {"length": lambda x: kl.RMSNormalization(axis=1)(x)}),
    "UnitNormalization": Case(
        (7, 4),
        {
            "default": lambda x: kl.UnitNormalization()(x),
            "length": lambda x: kl.UnitNormalization(axis=1)(x),
            "both": lambda x: kl.UnitNormalization(axis=[1, -1])(x),
        },
    ),
    "GroupNormalization": Case(
        (6, 4),
        {
            "default": lambda x: kl.GroupNormalization(2)(x),
            "instance": lambda x: kl.GroupNormalization(-1, scale=False, epsilon=0.1)(x),
            "layer": lambda x: kl.GroupNormalization(1, center=False)(x),
            "length": lambda x: kl.GroupNormalization(3, axis=1)(x),
            "negative": lambda x: kl.GroupNormalization(3, axis=-2)(x),
            "vector": lambda x: kl.GroupNormalization(2)(kl.GlobalAveragePooling1D()(x)),
        },
    ),
    "SpectralNormalization": Case(
        (7, 4),
        {
            "dense": lambda x: kl.SpectralNormalization(kl.Dense(3, activation="relu"))(x),
            "conv": lambda x: kl.SpectralNormalization(kl.Conv1D(5, 2, use_bias=False), power_iterations=3)(x),
            "transpose": lambda x: kl.SpectralNormalization(kl.Conv1DTranspose(5, 2, strides=2))(x),
            "einsum": lambda x: kl.SpectralNormalization(kl.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d"))(x),
        },
    ),
    "SpectralNormalization_embedding": Case(
        (7,), {"truncated": lambda x: kl.SpectralNormalization(kl.Embedding(4, 3))(x)}, dtype="int32"
    ),
    "Normalization": Case(
        (7, 4),
        {
            "default": lambda x: kl.Normalization()(x),
            "inverse": lambda x: kl.Normalization(axis=1, invert=True)(x),
            "both": lambda x: kl.Normalization(axis=(2, 1))(x),
            "whole": lambda x: kl.Normalization(axis=None)(x),
            "given": lambda x: kl.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 0.0, 3.0, 4.0])(x),
            "numbers": lambda x: kl.Normalization(axis=None, mean=2.0, variance=3.0, invert=True)(x),
            "over_both": lambda x: kl.Normalization(axis=(1, 2), mean=np.arange(4.0), variance=np.ones(4))(x),
        },
    ),
    "Rescaling": Case(
        (7, 4),
        {
            "numbers": lambda x: kl.Rescaling(1 / 255, offset=-1)(x),
            "lists": lambda x: kl.Rescaling([1.0, 2.0, 3.0, 4.0], [[1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0]])(x),
            "array": lambda x: kl.Rescaling(np.float32([1, 2, 3, 4]), np.float64(0.5))(x),
        },
    ),
}
