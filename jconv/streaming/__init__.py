"""Convolutions of a signal that comes chunk by chunk, with the same outputs as for the complete signal."""

from .convolution import State, flush, init, latency, pace, resume, step

__all__ = [
    "State",
    "flush",
    "init",
    "latency",
    "pace",
    "resume",
    "step",
]
