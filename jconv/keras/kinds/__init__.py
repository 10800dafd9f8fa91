"""The table of Keras's classes, put together from a file for each file of `jconv/layers`."""

from ..kind import Kind
from . import convolution

KINDS: dict[str, Kind] = {kind.name: kind for room in (convolution,) for kind in room.KINDS}
