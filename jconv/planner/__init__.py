"""Which algorithm computes an operation: sizes, platform and hardware in, algorithm and reason out."""

from .choose import AUTO, FASTEST, OF_CONVOLUTIONS, OF_PRODUCTS, Choice, candidates, check_algorithm, choose
from .hardware import UNKNOWN, Hardware

__all__ = ["AUTO", "FASTEST", "OF_CONVOLUTIONS", "OF_PRODUCTS", "UNKNOWN", "Choice", "Hardware"]
__all__ += ["candidates", "check_algorithm", "choose"]
