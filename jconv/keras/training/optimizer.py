"""Keras's optimizers as optax's transformations, with Keras's update rules.

An optimizer is a chain of clipping, the update rule, the learning rate and weight decay. Gradient accumulation wraps
this chain; the moving average of the params and the constraints come after both. This is Keras's order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..kinds.config import Config, flag, integer, number, optional
from .constraints import Constraint, constrain
from .objects import check_all_used, look_up
from .optimizer_version import OptimizerVersion, modernize
from .schedules import Schedule, read_schedule
from .update_rules import DEFAULTS, LEARNING_RATE, OPTIMIZERS, ShapeOf, Slots, moving_average


@dataclass(frozen=True)
class ParsedOptimizer:
    """An optimizer, read from its config.

    Attributes:
      name: the name of Keras's class.
      learning_rate: a number, or a function of the number of steps.
      accumulation: the number of steps over which gradients are accumulated.
      scales_loss: whether Keras multiplies the loss by a factor and divides the gradients by it.
      stores_rate: whether a file has the learning rate among the arrays, as in Keras 3 without a schedule.
      slots, unused_shape: the arrays in a file, see `UpdateRule`.
      may_lack_count: whether a file may have no step count, so that Keras continues from 0.
      make: returns the transformation for a learning rate, a function of the number of steps.
    """

    name: str
    learning_rate: float | Schedule
    accumulation: int
    scales_loss: bool
    stores_rate: bool
    slots: Slots
    unused_shape: ShapeOf | None
    may_lack_count: bool
    make: Callable[[Schedule], optax.GradientTransformation]


def read_optimizer(
    value: Any, constraints: dict[tuple[str, str], Constraint], *, is_keras_2: bool = False
) -> ParsedOptimizer:
    """Read a serialized optimizer; `is_keras_2` is whether Keras 2 wrote the file.

    Raises `KerasFileError` for an unknown optimizer or option.
    """
    value, version = modernize(value, is_keras_2)
    name, config = look_up(OPTIMIZERS, value, "optimizer", "the optimizer")
    defaults = {"learning_rate": LEARNING_RATE, **DEFAULTS.get(name, {})}
    config = Config({**defaults, **config.values}, config.place)
    rule = OPTIMIZERS[name](config, version)
    learning_rate = _learning_rate(config, version)
    clip = _clipping(config)
    decay = config.get("weight_decay", optional(number), None)
    # Keras reads 0 as null, and refuses 1.
    accumulated = config.get("gradient_accumulation_steps", optional(integer), None)
    if accumulated and accumulated < 2:
        config.fail(f"gradient_accumulation_steps must be at least 2, or 0 or null for none, got {accumulated}")
    steps = accumulated or 1
    average = _moving_average(config, version, steps)
    scales_loss = config.get("loss_scale_factor", optional(number), None) is not None
    check_all_used(config, version.value)

    def make(schedule: Schedule) -> optax.GradientTransformation:
        # Keras's schedules count steps, and one update is made every `steps` steps.
        rate = schedule if steps == 1 else lambda count: schedule(count * steps + steps - 1)
        decays = [] if decay is None else [_weight_decay(rate, decay)]
        chain = optax.chain(*clip, *rule.before, optax.scale_by_learning_rate(rate), *rule.after, *decays)
        outer = [*average, *([constrain(constraints)] if constraints else [])]
        inner = accumulate(chain, steps) if steps > 1 else chain
        return optax.chain(inner, *outer) if outer else inner

    return ParsedOptimizer(
        name,
        learning_rate,
        steps,
        scales_loss,
        stores_rate=version is OptimizerVersion.KERAS_3 and not callable(learning_rate),
        slots=((("ema",),) if average else ()) + ((("acc_grads",),) if steps > 1 else ()) + rule.slots,
        unused_shape=rule.unused_shape,
        may_lack_count=version is OptimizerVersion.LEGACY and name in ("RMSprop", "Adagrad"),
        make=make,
    )


def _learning_rate(config: Config, version: OptimizerVersion) -> float | Schedule:
    def read(value: Any) -> float | Schedule:
        is_schedule = isinstance(value, (dict, str))
        return read_schedule(value, "optimizer, learning_rate") if is_schedule else number(value)

    rate = config.get("learning_rate", read)
    decay = config.get("decay", optional(number), None) if version is OptimizerVersion.LEGACY else None
    if decay is None or decay <= 0:
        return rate
    return lambda count: (rate(count) if callable(rate) else rate) / (1 + decay * count)


def accumulate(inner: optax.GradientTransformation, steps: int) -> optax.GradientTransformation:
    """Like `optax.MultiSteps`: `inner` updates every `steps` steps, with the mean of their gradients.

    Unlike in optax, and as in Keras, `acc_grads` is the sum of the gradients so far, not their mean.
    """

    def init(params: Any) -> Any:
        zero = jnp.zeros((), jnp.int32)
        sums = jax.tree.map(jnp.zeros_like, params)
        return optax.MultiStepsState(zero, jnp.zeros((), jnp.int32), inner.init(params), sums)

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        sums = jax.tree.map(jnp.add, state.acc_grads, updates)
        zeros = jax.tree.map(jnp.zeros_like, updates)

        def step() -> Any:
            means = jax.tree.map(lambda g: g / steps, sums)
            return *inner.update(means, state.inner_opt_state, params), zeros

        def wait() -> Any:
            return zeros, state.inner_opt_state, sums

        is_due = state.mini_step == steps - 1
        updates, inner_state, sums = jax.lax.cond(is_due, step, wait)
        return updates, optax.MultiStepsState(
            (state.mini_step + 1) % steps, state.gradient_step + is_due, inner_state, sums
        )

    return optax.GradientTransformation(init, update)


def _weight_decay(schedule: Schedule, decay: float) -> optax.GradientTransformation:
    """Subtract the learning rate times `decay` times each param, independently of the gradient."""

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        rate = schedule(state.count)

        def shrink(u: jax.Array, p: jax.Array) -> jax.Array:
            return u - p * jnp.asarray(decay, p.dtype) * jnp.asarray(rate, p.dtype)

        return jax.tree.map(shrink, updates, params), optax.ScaleByScheduleState(state.count + 1)

    return optax.GradientTransformation(optax.scale_by_schedule(schedule).init, update)


def _clipping(config: Config) -> list[optax.GradientTransformation]:
    limits = {name: config.get(name, optional(number), None) for name in CLIPPINGS}
    given = {name: limit for name, limit in limits.items() if limit is not None}
    if len(given) > 1:
        config.fail(f"at most one of {', '.join(limits)} may be set, got {', '.join(given)}")
    return [CLIPPINGS[name](limit) for name, limit in given.items() if limit > 0]


def _clip_each(limit: float) -> optax.GradientTransformation:
    """Limit the norm of each gradient."""

    def clip(g: jax.Array) -> jax.Array:
        return g * limit / jnp.maximum(jnp.sqrt(jnp.sum(jnp.square(g))), limit)

    return optax.stateless(lambda updates, params: jax.tree.map(clip, updates))


def _clip_all(limit: float) -> optax.GradientTransformation:
    """Limit the norm of all gradients together."""

    def clip(updates: Any, params: Any) -> Any:
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in jax.tree.leaves(updates)))
        # As in Keras, the result is NaN unless the norm is finite.
        factor = limit * jnp.minimum(1 / norm, 1 / limit) + (norm - norm)
        return jax.tree.map(lambda g: g * factor, updates)

    return optax.stateless(clip)


CLIPPINGS: dict[str, Callable[[float], optax.GradientTransformation]] = {
    "clipnorm": _clip_each,
    "global_clipnorm": _clip_all,
    "clipvalue": optax.clip,
}


def _moving_average(config: Config, version: OptimizerVersion, steps: int) -> list[optax.GradientTransformation]:
    momentum = config.get("ema_momentum", number, 0.99)
    every = config.get("ema_overwrite_frequency", optional(integer), None)
    if not config.get("use_ema", flag, False):
        return []
    if not 0 <= momentum <= 1 or (every is not None and every < 1):
        config.fail(
            "ema_momentum must be from 0 to 1 and ema_overwrite_frequency null or at least 1, got "
            f"{momentum} and {every}"
        )
    includes_start = version is not OptimizerVersion.KERAS_3
    return [moving_average(momentum, every, steps, includes_start=includes_start)]
