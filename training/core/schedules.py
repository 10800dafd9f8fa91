"""Learning rate schedules by name, from optax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optax

Schedule = Callable[[Any], Any]

# Functions of the initial rate and the number of steps. The optimizer halves the rate on a plateau, since it has the
# losses.
SCHEDULES: dict[str, Callable[[float, int], Schedule]] = {
    "cosine": optax.cosine_decay_schedule,
    "linear": lambda rate, steps: optax.linear_schedule(rate, 0.0, steps),
    "constant": lambda rate, steps: optax.constant_schedule(rate),
    "plateau": lambda rate, steps: optax.constant_schedule(rate),
}


def schedule(name: str, rate: float, steps: int, warm_up: int = 0) -> Schedule:
    """The learning rate of each of `steps`, counted from 0. It rises linearly in the first `warm_up` steps.

    The rate of step 0 is `rate / warm_up`, so it already changes the params.

    >>> [round(float(schedule("linear", 1.0, 6, 2)(step)), 2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    after = SCHEDULES[name](rate, steps - warm_up)
    if not warm_up:
        return after
    rise = rate / warm_up
    return optax.join_schedules([optax.linear_schedule(rise, rate + rise, warm_up), after], [warm_up])
