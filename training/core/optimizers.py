"""Optimizers by name, from optax: gradient clipping, direction, decoupled weight decay, learning rate."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import optax
from optax.contrib import reduce_on_plateau

from .plan import Plan

# Names of arrays that weight decay leaves out, besides all arrays of one axis.
NOT_DECAYED = ("bias", "recurrent_bias", "gamma", "beta")


class Optimizer(NamedTuple):
    """The transformation of a gradient into a direction, and the default rate of weight decay, as in optax."""

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
    """The plan's optimizer for a schedule `rate`, a function of the step; an epoch has `steps` steps.

    A step is `params - rate * (d + plan.weight_decay * params)`, with the direction d of the gradient clipped to the
    norm `plan.clip`: the decay is decoupled (Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019)
    for every optimizer, and applies to the arrays of `decay_mask`.
    """
    chain = [optax.clip_by_global_norm(plan.clip)] if plan.clip is not None else []
    chain.append(OPTIMIZERS[plan.optimizer].direction())
    if plan.weight_decay:
        chain.append(optax.add_decayed_weights(plan.weight_decay, decay_mask))
    chain.append(optax.scale_by_learning_rate(rate))
    if plan.schedule == "plateau":
        plateau = reduce_on_plateau(
            factor=0.5, patience=50, rtol=0.0, atol=1e-4, min_scale=0.1, accumulation_size=steps
        )
        chain.append(plateau)
    return optax.chain(*chain)


def decay_mask(params: Any) -> Any:
    """Which arrays of a tree are decayed: kernels, but neither biases nor the params of normalization layers.

    >>> import numpy as np
    >>> decay_mask({"conv1d": {"kernel": np.ones((3, 1, 8)), "bias": np.ones(8)}})
    {'conv1d': {'bias': False, 'kernel': True}}
    """

    def is_decayed(path: Any, array: Any) -> bool:
        name = jax.tree_util.keystr(path[-1:], simple=True).rpartition("/")[2]
        return array.ndim > 1 and name not in NOT_DECAYED

    return jax.tree_util.tree_map_with_path(is_decayed, params)
