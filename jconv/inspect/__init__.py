"""What jconv does with a call: the algorithms that it chooses, their times and their deviations."""

from .cross_check import cross_check
from .explain import Plan, explain
from .trace import chosen
from .tune import Tuning, tune

__all__ = [
    "Plan",
    "Tuning",
    "chosen",
    "cross_check",
    "explain",
    "tune",
]
