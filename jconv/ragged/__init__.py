"""Sequences of different lengths in one array: by their lengths, or packed with segment ids."""

from .packing import pack, pad, unpack
from .sequences import Sequences, Window, is_still, of, of_lengths, of_segment_ids, read, repeated, shifted, taken, taps

__all__ = [
    "Sequences",
    "Window",
    "is_still",
    "of",
    "of_lengths",
    "of_segment_ids",
    "pack",
    "pad",
    "read",
    "repeated",
    "shifted",
    "taken",
    "taps",
    "unpack",
]
