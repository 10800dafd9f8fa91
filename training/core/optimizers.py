"""Optimizers that begin afresh, by name, from optax: what is done to the gradient of a step, one thing after the other.

The gradient is clipped, turned into a direction, joined by the decay of weights, and scaled by the learning rate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import optax
from optax.contrib import reduce_on_plateau

from .plan import Plan

# Params that no decay pulls to zero, beside those of one axis: the last part of their names.
LEFT_ALONE = ("bias", "recurrent_bias", "gamma", "beta")


class Optimizer(NamedTuple):
    """What makes the direction of a gradient, and the rate of weight decay where none is asked for: optax's own."""

    direction: Callable[[], optax.GradientTransformation]
    weight_decay: float = 0.0


OPTIMIZERS: dict[str, Optimizer] = {
    "adam": Optimizer(optax.scale_by_adam),
    "adamw": Optimizer(optax.scale_by_adam, 1e-4),
    "sgd": Optimizer(partial(optax.trace, decay=0.9, nesterov=True)),
    "rmsprop": Optimizer(partial(optax.scale_by_rms, decay=0.9)),
    "lion": Optimizer(optax.scale_by_lion, 1e-3),
}


def optimizer(plan: Plan, rate: Callable[[Any], Any], steps: int) -> optax.GradientTransformation:
    """The plan's, for a learning rate over the count of steps, of which an epoch has `steps`.

    With a direction d of the gradient clipped to the norm `plan.clip`, a step is
    `params - rate * (d + plan.weight_decay * params)`: the decay is decoupled (Loshchilov and Hutter, Decoupled Weight
    Decay Regularization, ICLR 2019) whichever the direction, and leaves alone what `decayed` says.
    """
    chain = [optax.clip_by_global_norm(plan.clip)] if plan.clip is not None else []
    chain.append(OPTIMIZERS[plan.optimizer].direction())
    if plan.weight_decay:
        chain.append(optax.add_decayed_weights(plan.weight_decay, decayed))
    chain.append(optax.scale_by_learning_rate(rate))
    if plan.schedule == "plateau":
        halving = reduce_on_plateau(
            factor=0.5, patience=50, rtol=0.0, atol=1e-4, min_scale=0.1, accumulation_size=steps
        )
        chain.append(halving)
    return optax.chain(*chain)


def decayed(params: Any) -> Any:
    """Which arrays of a tree weight decay is for: all but biases and those of normalizations.

    Left alone are the arrays of one axis and, of more, those of such names.

    >>> import numpy as np
    >>> decayed({"conv1d": {"kernel": np.ones((3, 1, 8)), "bias": np.ones(8)}})
    {'conv1d': {'bias': False, 'kernel': True}}
    """

    def is_decayed(path: Any, array: Any) -> bool:
        name = jax.tree_util.keystr(path[-1:], simple=True).rpartition("/")[2]
        return array.ndim > 1 and name not in LEFT_ALONE

    return jax.tree_util.tree_map_with_path(is_decayed, params)
