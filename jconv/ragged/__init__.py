"""Sequences of different lengths in one array: ragged, with their lengths, or packed, with segment ids."""

from .packing import pack, pad, unpack
from .sequences import Sequences, make_sequences, of, of_lengths, of_segment_ids
from .windows import Window

__all__ = [
    "Sequences",
    "Window",
    "make_sequences",
    "of",
    "of_lengths",
    "of_segment_ids",
    "pack",
    "pad",
    "unpack",
]
