"""Inspects convolutions: the chosen algorithms, their times and their deviations from the reference."""

from .cross_check import cross_check
from .explain import Plan, explain
from .trace import chosen_algorithms
from .tune import Tuning, tune

__all__ = [
    "Plan",
    "Tuning",
    "chosen_algorithms",
    "cross_check",
    "explain",
    "tune",
]
