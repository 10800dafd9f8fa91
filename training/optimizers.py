"""Optimizers that begin afresh, by name, each for a schedule of the learning rate."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import optax

OPTIMIZERS: dict[str, Callable[[Any], optax.GradientTransformation]] = {
    "adam": optax.adam,
    "adamw": optax.adamw,
    "sgd": partial(optax.sgd, momentum=0.9, nesterov=True),
    "rmsprop": partial(optax.rmsprop, decay=0.9),
    "lion": optax.lion,
}
