"""What each of Keras's optimizers makes of a gradient, in optax's own parts where those are the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..kinds.config import Config, flag, number
from .optimizer_age import Age

Slots = tuple[tuple[str, ...], ...]
IDENTITY = optax.identity()


@dataclass(frozen=True)
class Core:
    """An optimizer's own part: `before` the learning rate, what remembers its product `after`, and the slots of both.

    The slots are those of the file, in its order: of each group, the arrays of every name for the first array of
    params, then for the second. Behind them there may be one array more for each array of params that the rule does not
    use, of the shape that `unused` gives for that array's.
    """

    before: optax.GradientTransformation
    slots: Slots
    after: optax.GradientTransformation = IDENTITY
    unused: Callable[[tuple[int, ...]], tuple[int, ...]] | None = None


def scale_by_keras_adam(b1: float, b2: float, eps: float, amsgrad: bool = False) -> optax.GradientTransformation:
    """Adam as Keras has it: `eps` is added to the root of the second moment before that is corrected for its start.

    The corrections are of the params' type, as in Keras: in float32 the first of them are off by 1e-5.
    """

    def init(params: Any) -> Any:
        zeros = [jax.tree.map(jnp.zeros_like, params) for _ in range(3 if amsgrad else 2)]
        state = optax.ScaleByAmsgradState if amsgrad else optax.ScaleByAdamState
        return state(jnp.zeros((), jnp.int32), *zeros)

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        mu = jax.tree.map(lambda g, m: m + (g - m) * (1 - b1), updates, state.mu)
        nu = jax.tree.map(lambda g, v: v + (jnp.square(g) - v) * (1 - b2), updates, state.nu)
        largest = jax.tree.map(jnp.maximum, state.nu_max, nu) if amsgrad else nu

        def scaled(m: jax.Array, v: jax.Array) -> jax.Array:
            step = (state.count + 1).astype(m.dtype)
            powers = [jnp.power(jnp.asarray(b, m.dtype), step) for b in (b1, b2)]
            return m * (jnp.sqrt(1 - powers[1]) / (1 - powers[0])) / (jnp.sqrt(v) + eps)

        after = state._replace(count=state.count + 1, mu=mu, nu=nu)
        return jax.tree.map(scaled, mu, largest), after._replace(nu_max=largest) if amsgrad else after

    return optax.GradientTransformation(init, update)


def scale_by_legacy_rss(start: float, eps: float) -> optax.GradientTransformation:
    """As `optax.scale_by_rss`, `eps` added to the root of the sum of squares and not to the sum."""

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        sums = jax.tree.map(lambda g, s: s + jnp.square(g), updates, state.sum_of_squares)
        return jax.tree.map(lambda g, s: g / (jnp.sqrt(s) + eps), updates, sums), optax.ScaleByRssState(sums)

    return optax.GradientTransformation(optax.scale_by_rss(start).init, update)


def _sgd(config: Config, age: Age) -> Core:
    momentum, nesterov = config.get("momentum", number, 0.0), config.get("nesterov", flag, False)
    if not momentum:
        # Keras 2 has the arrays also where it has no use for them.
        if age is Age.TWO:
            return Core(IDENTITY, (("trace",),))
        return Core(IDENTITY, (), unused=(lambda shape: shape) if age is Age.LEGACY else None)
    # The trace is of the gradient times the rate, which may change from step to step.
    return Core(IDENTITY, (("trace",),), optax.trace(momentum, nesterov))


def _adam(config: Config, age: Age) -> Core:
    betas = config.get("beta_1", number, 0.9), config.get("beta_2", number, 0.999)
    amsgrad = config.get("amsgrad", flag, False)
    part = scale_by_keras_adam(*betas, config.get("epsilon", number, 1e-7), amsgrad)
    moments = (("mu",), ("nu",)) if age is Age.LEGACY else (("mu", "nu"),)
    # Keras 2.1 to 2.3 without TensorFlow's tf.keras: where the greatest moments would be, one number each.
    unused = (lambda shape: (1,)) if age is Age.LEGACY and not amsgrad else None
    return Core(part, (*moments, *([("nu_max",)] if amsgrad else [])), unused=unused)


def _adamw(config: Config, age: Age) -> Core:
    config.get("weight_decay", number)
    return _adam(config, age)


def _rmsprop(config: Config, age: Age) -> Core:
    rho, momentum = config.get("rho", number, 0.9), config.get("momentum", number, 0.0)
    eps, centered = config.get("epsilon", number, 1e-7), config.get("centered", flag, False)
    inside = age is not Age.LEGACY or momentum > 0
    scale = optax.scale_by_stddev if centered else optax.scale_by_rms
    part = scale(rho, eps, eps_in_sqrt=inside)
    slots = [("nu",), *([("trace",)] if momentum > 0 else []), *([("mu",)] if centered else [])]
    return Core(part, tuple(slots), _descending_trace(momentum) if momentum > 0 else IDENTITY)


def _descending_trace(momentum: float) -> optax.GradientTransformation:
    """`optax.trace` with the sign of Keras's RMSprop, whose momentum is subtracted."""
    trace = optax.trace(momentum)

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        moves, state = trace.update(jax.tree.map(jnp.negative, updates), state, params)
        return jax.tree.map(jnp.negative, moves), state

    return optax.GradientTransformation(trace.init, update)


def _adagrad(config: Config, age: Age) -> Core:
    start, eps = config.get("initial_accumulator_value", number, 0.1), config.get("epsilon", number, 1e-7)
    part = scale_by_legacy_rss(start, eps) if age is Age.LEGACY else optax.scale_by_rss(start, eps)
    return Core(part, (("sum_of_squares",),))


def _lion(config: Config, age: Age) -> Core:
    return Core(optax.scale_by_lion(config.get("beta_1", number, 0.9), config.get("beta_2", number, 0.99)), (("mu",),))


# What Keras takes where a config does not say it, as for an optimizer that was given by its name; elsewhere 0.001.
DEFAULTS: dict[str, dict[str, float]] = {"SGD": {"learning_rate": 0.01}, "AdamW": {"weight_decay": 0.004}}
LEARNING_RATE = 0.001

OPTIMIZERS: dict[str, tuple[str, Callable[[Config, Age], Core]]] = {
    "SGD": ("SGD", _sgd),
    "Adam": ("Adam", _adam),
    "AdamW": ("AdamW", _adamw),
    "RMSprop": ("RMSprop", _rmsprop),
    "Adagrad": ("Adagrad", _adagrad),
    "Lion": ("Lion", _lion),
}
