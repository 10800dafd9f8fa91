"""The table of Keras's classes, put together from a file for each file of `jconv/layers`."""

from ..kind import Kind
from . import (
    activation,
    adaptive_pooling,
    attention,
    convolution,
    dense,
    dot,
    einsum_dense,
    embedding,
    global_pooling,
    group_normalization,
    layer_normalization,
    mask,
    merging,
    multi_head_attention,
    normalization,
    parametric_activation,
    pooling,
    regularization,
    rescaling,
    shape,
    spectral_normalization,
)

ROOMS = (
    activation,
    adaptive_pooling,
    attention,
    convolution,
    dense,
    dot,
    einsum_dense,
    embedding,
    global_pooling,
    group_normalization,
    layer_normalization,
    mask,
    merging,
    multi_head_attention,
    normalization,
    parametric_activation,
    pooling,
    regularization,
    rescaling,
    shape,
    spectral_normalization,
)

KINDS: dict[str, Kind] = {kind.name: kind for room in ROOMS for kind in room.KINDS}
