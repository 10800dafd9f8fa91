"""The table of Keras's classes, put together from a file for each file of `jconv/layers`."""

from ..kind import Kind
from . import (
    attention,
    convolution,
    einsum_dense,
    embedding,
    group_normalization,
    layer_normalization,
    multi_head_attention,
    normalization,
    rescaling,
    spectral_normalization,
)

ROOMS = (
    attention,
    convolution,
    einsum_dense,
    embedding,
    group_normalization,
    layer_normalization,
    multi_head_attention,
    normalization,
    rescaling,
    spectral_normalization,
)

KINDS: dict[str, Kind] = {kind.name: kind for room in ROOMS for kind in room.KINDS}
