"""Convolutions of a signal chunk by chunk."""

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
