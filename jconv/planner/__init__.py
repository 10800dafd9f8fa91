"""Chooses the algorithm for an operation from its sizes, the platform and the hardware, and says why."""

from .choose import (
    AUTO,
    FASTEST,
    POINTWISE_IS_MATMUL,
    USES_XLA_CONVOLUTION,
    Choice,
    candidates,
    check_algorithm,
    choose,
)
from .hardware import UNKNOWN, Hardware

__all__ = [
    "AUTO",
    "FASTEST",
    "POINTWISE_IS_MATMUL",
    "UNKNOWN",
    "USES_XLA_CONVOLUTION",
    "Choice",
    "Hardware",
    "candidates",
    "check_algorithm",
    "choose",
]
