"""Winograd convolution: fewer multiply-adds for several outputs at once."""

from .operations import LOCAL, forward, input_gradient, kernel_gradient

__all__ = ["LOCAL", "forward", "input_gradient", "kernel_gradient"]
