"""Convolutions of a signal chunk by chunk, with the same outputs as for the complete signal."""

from .convolution import State, flush, init, latency, output_timing, pace, resume, step

__all__ = [
    "State",
    "flush",
    "init",
    "latency",
    "output_timing",
    "pace",
    "resume",
    "step",
]
