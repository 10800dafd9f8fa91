"""Activation functions as layers."""

from .activation import ELU, Activation, HardSigmoid, LeakyReLU, ReLU, Softmax
from .parametric_activation import PReLU

__all__ = [
    "ELU",
    "Activation",
    "HardSigmoid",
    "LeakyReLU",
    "PReLU",
    "ReLU",
    "Softmax",
]
