"""The table of Keras's classes, put together from a file for each file of `jconv/layers`."""

from ..kind import Kind
from . import (
    activation,
    adaptive_pooling,
    convolution,
    dense,
    dot,
    global_pooling,
    mask,
    merging,
    parametric_activation,
    pooling,
    regularization,
    shape,
)

ROOMS = (
    activation,
    adaptive_pooling,
    convolution,
    dense,
    dot,
    global_pooling,
    mask,
    merging,
    parametric_activation,
    pooling,
    regularization,
    shape,
)

KINDS: dict[str, Kind] = {kind.name: kind for room in ROOMS for kind in room.KINDS}
