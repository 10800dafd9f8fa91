"""Keras's optimizers as optax has them: the update rules to the letter, in optax's own parts where those are the same.

A rule is a chain: clipping, the optimizer's own part, the learning rate, decay of the weights. Around it gradients are
accumulated over several steps, and after it come the moving average of the params and the constraints, all in Keras's
order. `Rule.slots` says how a file lists the arrays of the state, by the names of the fields of optax's states.
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
from .moving_average import moving_average
from .named import check_all_read, one_of_table
from .optimizer_age import Age, aged, decayed
from .optimizer_cores import DEFAULTS, IDENTITY, LEARNING_RATE, OPTIMIZERS, Slots
from .schedules import Schedule, read_schedule


@dataclass(frozen=True)
class Rule:
    """An optimizer's config, read.

    `learning_rate` is a number, or None where there is a `schedule` of the count of steps. `make` gives the
    transformation for the learning rate to use, which is a number or a function of the count of steps. `scales` says
    whether Keras multiplies the loss by a factor, which the gradients are divided by again. Keras 3 stores a learning
    rate that has no schedule among the arrays, of which `stores_rate` says whether. `unused` is that of `Core`; with
    `may_be_uncounted` a file may have no count of steps, and Keras then counts from 0.
    """

    name: str
    learning_rate: float | None
    schedule: Schedule | None
    accumulation: int
    scales: bool
    stores_rate: bool
    slots: Slots
    make: Callable[[float | Schedule], optax.GradientTransformation]
    unused: Callable[[tuple[int, ...]], tuple[int, ...]] | None = None
    may_be_uncounted: bool = False


def read_optimizer(
    value: Any, place: str, constraints: dict[tuple[str, str], Constraint], *, older: bool = False
) -> Rule:
    """The rule of a serialized optimizer; with `older` one of a file that Keras 2 wrote.

    Raises `KerasFileError` for an optimizer that jconv does not have and for options that it does not know.
    """
    value, age = aged(value, older)
    (name, read), config = one_of_table(OPTIMIZERS, value, place, "the optimizer")
    defaults = {"learning_rate": LEARNING_RATE, **DEFAULTS.get(name, {})}
    config = Config({**defaults, **config.values}, config.place)
    core = read(config, age)
    rate, schedule = _rate(config, age, place)
    clip = _clipping(config)
    decay = config.get("weight_decay", optional(number), None)
    steps = config.get("gradient_accumulation_steps", optional(integer), None) or 1
    if steps < 1:
        config.fail(f"gradient_accumulation_steps must be at least 2 or null, got {steps}")
    average = _average(config, age)
    scales = config.get("loss_scale_factor", optional(number), None) is not None
    check_all_read(config, age.harmless)

    def make(rate: float | Schedule) -> optax.GradientTransformation:
        own = _at_real_steps(rate, steps)
        parts = [*clip, core.before, optax.scale_by_learning_rate(own), core.after]
        parts += [] if decay is None else [_weight_decay(own, decay)]
        chain = optax.chain(*(part for part in parts if part is not IDENTITY))
        outer = [average(steps)] if average else []
        outer += [constrain(constraints)] if constraints else []
        inner = accumulate(chain, steps) if steps > 1 else chain
        return optax.chain(inner, *outer) if outer else inner

    slots = ((("ema",),) if average else ()) + ((("acc_grads",),) if steps > 1 else ()) + core.slots
    stores_rate = age is Age.THREE and schedule is None
    uncounted = age is Age.LEGACY and name in ("RMSprop", "Adagrad")
    return Rule(name, rate, schedule, steps, scales, stores_rate, slots, make, core.unused, uncounted)


def _rate(config: Config, age: Age, place: str) -> tuple[float | None, Schedule | None]:
    """The learning rate, or the schedule that it has."""
    given = config.get("learning_rate", lambda v: v)
    schedule = read_schedule(given, f"{place}, learning_rate") if isinstance(given, (dict, str)) else None
    rate = None if schedule else config.get("learning_rate", number)
    decay = (config.get("decay", optional(number), None) or 0.0) if age is Age.LEGACY else 0.0
    if decay <= 0:
        return rate, schedule
    return None, decayed(schedule or config.get("learning_rate", number), decay)


def accumulate(inner: optax.GradientTransformation, steps: int) -> optax.GradientTransformation:
    """As `optax.MultiSteps`: `inner` sees the mean of `steps` gradients, and in between nothing changes.

    Unlike optax's, and as in Keras, `acc_grads` is the sum of the gradients so far.
    """

    def init(params: Any) -> Any:
        zero = jnp.zeros((), jnp.int32)
        sums = jax.tree.map(jnp.zeros_like, params)
        return optax.MultiStepsState(zero, jnp.zeros((), jnp.int32), inner.init(params), sums)

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        sums = jax.tree.map(jnp.add, state.acc_grads, updates)
        zeros = jax.tree.map(jnp.zeros_like, updates)

        def step() -> Any:
            moves, after = inner.update(jax.tree.map(lambda g: g / steps, sums), state.inner_opt_state, params)
            return moves, after, zeros

        def wait() -> Any:
            return zeros, state.inner_opt_state, sums

        due = state.mini_step == steps - 1
        moves, after, left = jax.lax.cond(due, step, wait)
        return moves, optax.MultiStepsState((state.mini_step + 1) % steps, state.gradient_step + due, after, left)

    return optax.GradientTransformation(init, update)


def _at_real_steps(rate: float | Schedule, steps: int) -> float | Schedule:
    """Keras's schedules count every step, also those that only accumulate; a step is taken at the last of them."""
    if not callable(rate) or steps == 1:
        return rate
    return lambda count: rate(count * steps + steps - 1)


def _weight_decay(rate: float | Schedule, decay: float) -> optax.GradientTransformation:
    """Take the share `rate * decay` off each param, whatever the gradient."""

    def shrink(updates: Any, params: Any, rate: Any) -> Any:
        return jax.tree.map(
            lambda u, p: u - p * jnp.asarray(decay, p.dtype) * jnp.asarray(rate, p.dtype), updates, params
        )

    if not callable(rate):
        return optax.stateless(lambda updates, params: shrink(updates, params, rate))

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        return shrink(updates, params, rate(state.count)), optax.ScaleByScheduleState(state.count + 1)

    return optax.GradientTransformation(lambda params: optax.ScaleByScheduleState(jnp.zeros((), jnp.int32)), update)


def _clipping(config: Config) -> list[optax.GradientTransformation]:
    limits = {name: config.get(name, optional(number), None) for name in ("clipnorm", "global_clipnorm", "clipvalue")}
    given = {name: limit for name, limit in limits.items() if limit is not None}
    if len(given) > 1:
        config.fail(f"at most one of {', '.join(limits)} may be set, got {', '.join(given)}")
    made = {"clipnorm": _clip_each, "global_clipnorm": _clip_all, "clipvalue": optax.clip}
    return [made[name](limit) for name, limit in given.items() if limit > 0]


def _clip_each(limit: float) -> optax.GradientTransformation:
    def clip(g: jax.Array) -> jax.Array:
        squares = jnp.sum(jnp.square(g))
        return g * limit / jnp.maximum(jnp.sqrt(squares), limit)

    return optax.stateless(lambda updates, params: jax.tree.map(clip, updates))


def _clip_all(limit: float) -> optax.GradientTransformation:
    def clip(updates: Any, params: Any) -> Any:
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in jax.tree.leaves(updates)))
        # Not finite in, not a number out, as in Keras.
        share = limit * jnp.minimum(1 / norm, 1 / limit) + (norm - norm)
        return jax.tree.map(lambda g: g * share, updates)

    return optax.stateless(clip)


def _average(config: Config, age: Age) -> Callable[[int], optax.GradientTransformation] | None:
    momentum = config.get("ema_momentum", number, 0.99)
    every = config.get("ema_overwrite_frequency", optional(integer), None)
    if not config.get("use_ema", flag, False):
        return None
    if not 0 <= momentum <= 1 or (every is not None and every < 1):
        config.fail(
            "ema_momentum must be from 0 to 1 and ema_overwrite_frequency null or at least 1, got "
            f"{momentum} and {every}"
        )
    return lambda steps: moving_average(momentum, every, steps, of_first=age is not Age.THREE)
