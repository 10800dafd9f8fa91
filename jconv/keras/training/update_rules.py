"""The update rules of Keras's optimizers, built from optax's transformations where these compute the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..kinds.config import Config, flag, number
from .objects import read_numbers
from .optimizer_version import OptimizerVersion

Slots = tuple[tuple[str, ...], ...]
ShapeOf = Callable[[tuple[int, ...]], tuple[int, ...]]


@dataclass(frozen=True)
class UpdateRule:
    """The transformations `before` and `after` the multiplication by the learning rate, and their arrays in a file.

    `slots` are groups of state fields: a file lists all fields of the first group for the first array of params, then
    for the second, and so on, then the next group. After them there may be one unused array for each array of params,
    whose shape `unused_shape` gives.
    """

    before: tuple[optax.GradientTransformation, ...]
    slots: Slots
    after: tuple[optax.GradientTransformation, ...] = ()
    unused_shape: ShapeOf | None = None


def scale_by_keras_adam(b1: float, b2: float, eps: float, amsgrad: bool) -> optax.GradientTransformation:
    """Adam as in Keras: `eps` is added to the root of the second moment before its bias correction.

    As in Keras, the corrections have the type of the params, so in float32 they have errors of 1e-5 in the first steps.
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

        new_state = state._replace(count=state.count + 1, mu=mu, nu=nu)
        return jax.tree.map(scaled, mu, largest), new_state._replace(nu_max=largest) if amsgrad else new_state

    return optax.GradientTransformation(init, update)


def scale_by_legacy_rss(start: float, eps: float) -> optax.GradientTransformation:
    """Like `optax.scale_by_rss`, but `eps` is added to the root of the sum of squares instead of the sum."""

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        sums = jax.tree.map(lambda g, s: s + jnp.square(g), updates, state.sum_of_squares)
        return jax.tree.map(lambda g, s: g / (jnp.sqrt(s) + eps), updates, sums), optax.ScaleByRssState(sums)

    return optax.GradientTransformation(optax.scale_by_rss(start).init, update)


def moving_average(
    momentum: float, every: int | None, steps: int, *, includes_start: bool
) -> optax.GradientTransformation:
    """Keras's moving average of the params (`use_ema`), kept in `optax.EmaState.ema`.

    Must be the last transformation of a chain, except for constraints. The average begins as the params after the first
    step, or, with `includes_start`, before it, as in Keras 2. Then each step multiplies it by `momentum` and adds
    `1 - momentum` times the new params. Every `every` steps the params become the average; never if `every` is None.
    Gradients are accumulated over `steps` steps, which Keras counts as one.
    """

    def init(params: Any) -> Any:
        first = jnp.asarray if includes_start else jnp.zeros_like
        return optax.EmaState(jnp.zeros((), jnp.int32), jax.tree.map(first, params))

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        count = state.count // steps
        weight = jnp.where((count == 0) & (not includes_start), 0.0, momentum)

        def average(p: jax.Array, u: jax.Array, ema: jax.Array) -> jax.Array:
            w = weight.astype(p.dtype)
            return w * ema + (1 - w) * (p + u)

        ema = jax.tree.map(average, params, updates, state.ema)
        if every is not None:
            is_due = (count + 1) % every == 0
            updates = jax.tree.map(lambda u, p, a: jnp.where(is_due, a - p, u), updates, params, ema)
        return updates, optax.EmaState(state.count + 1, ema)

    return optax.GradientTransformation(init, update)


def _sgd(config: Config, version: OptimizerVersion) -> UpdateRule:
    momentum, nesterov = config.get("momentum", number, 0.0), config.get("nesterov", flag, False)
    if not momentum:
        # Keras 2 stores the momentum arrays even if there is no momentum.
        if version is OptimizerVersion.KERAS_2:
            return UpdateRule((), (("trace",),))
        is_legacy = version is OptimizerVersion.LEGACY
        return UpdateRule((), (), unused_shape=(lambda shape: shape) if is_legacy else None)
    # The trace sums gradients that are already multiplied by the learning rate, which may change from step to step.
    return UpdateRule((), (("trace",),), (optax.trace(momentum, nesterov),))


def _adam(config: Config, version: OptimizerVersion) -> UpdateRule:
    b1, b2, eps = read_numbers(config, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
    amsgrad = config.get("amsgrad", flag, False)
    scale = scale_by_keras_adam(b1, b2, eps, amsgrad)
    is_legacy = version is OptimizerVersion.LEGACY
    moments = (("mu",), ("nu",)) if is_legacy else (("mu", "nu"),)
    # In place of the maximum of the moments, standalone Keras 2.1 to 2.3 stores arrays of one element.
    unused_shape = (lambda shape: (1,)) if is_legacy and not amsgrad else None
    return UpdateRule((scale,), (*moments, *([("nu_max",)] if amsgrad else [])), unused_shape=unused_shape)


def _adamw(config: Config, version: OptimizerVersion) -> UpdateRule:
    config.get("weight_decay", number)
    return _adam(config, version)


def _rmsprop(config: Config, version: OptimizerVersion) -> UpdateRule:
    rho, momentum, eps = read_numbers(config, rho=0.9, momentum=0.0, epsilon=1e-7)
    centered = config.get("centered", flag, False)
    eps_in_sqrt = version is not OptimizerVersion.LEGACY or momentum > 0
    scale = optax.scale_by_stddev if centered else optax.scale_by_rms
    slots = [("nu",), *([("trace",)] if momentum > 0 else []), *([("mu",)] if centered else [])]
    after = (_negative_trace(momentum),) if momentum > 0 else ()
    return UpdateRule((scale(rho, eps, eps_in_sqrt=eps_in_sqrt),), tuple(slots), after)


def _negative_trace(momentum: float) -> optax.GradientTransformation:
    """`optax.trace` with a trace of the opposite sign: Keras's RMSprop subtracts its momentum."""
    trace = optax.trace(momentum)

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        updates, state = trace.update(jax.tree.map(jnp.negative, updates), state, params)
        return jax.tree.map(jnp.negative, updates), state

    return optax.GradientTransformation(trace.init, update)


def _adagrad(config: Config, version: OptimizerVersion) -> UpdateRule:
    scale = scale_by_legacy_rss if version is OptimizerVersion.LEGACY else optax.scale_by_rss
    start, eps = read_numbers(config, initial_accumulator_value=0.1, epsilon=1e-7)
    return UpdateRule((scale(start, eps),), (("sum_of_squares",),))


def _lion(config: Config, version: OptimizerVersion) -> UpdateRule:
    b1, b2 = read_numbers(config, beta_1=0.9, beta_2=0.99)
    return UpdateRule((optax.scale_by_lion(b1, b2),), (("mu",),))


# Keras's defaults for options that a config lacks, as for an optimizer given by name.
LEARNING_RATE = 0.001
DEFAULTS: dict[str, dict[str, float]] = {"SGD": {"learning_rate": 0.01}, "AdamW": {"weight_decay": 0.004}}

OPTIMIZERS: dict[str, Callable[[Config, OptimizerVersion], UpdateRule]] = {
    "SGD": _sgd,
    "Adam": _adam,
    "AdamW": _adamw,
    "RMSprop": _rmsprop,
    "Adagrad": _adagrad,
    "Lion": _lion,
}
