"""Keras's learning rate schedules, as functions of the step count."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..kinds.config import Config, as_list, flag, number, optional
from .objects import read_numbers, read_object

Schedule = Callable[[Any], jax.Array]
MAX_STEP = 2**31 - 1


def read_schedule(value: Any, place: str) -> Schedule:
    """A serialized schedule as a function from the number of steps done to the learning rate of the next step.

    Raises `KerasFileError` for a schedule that is not part of Keras.

    >>> halving = {"initial_learning_rate": 0.5, "decay_steps": 10, "decay_rate": 0.5}
    >>> float(read_schedule({"class_name": "ExponentialDecay", "config": halving}, "learning_rate")(20))
    0.125
    """
    schedule = read_object(SCHEDULES, value, place, "the schedule")

    def rate(count: Any) -> jax.Array:
        # As in Keras, numbers beyond the range of the type are infinite; NumPy need not warn.
        with np.errstate(over="ignore"):
            return schedule(count)

    return rate


def _floating(count: Any) -> jax.Array:
    return jnp.asarray(count, jnp.result_type(float))


def _numbers(value: Any) -> list[float]:
    return [number(part) for part in as_list(value)]


def _steps(value: Any) -> float:
    steps = number(value)
    if steps <= 0:
        raise ValueError("must be a number above zero")
    return steps


def _fraction(config: Config) -> Schedule:
    """The number of steps divided by `decay_steps`, rounded down with `staircase`."""
    steps, staircase = config.get("decay_steps", _steps), config.get("staircase", flag, False)
    return lambda count: jnp.floor(_floating(count) / steps) if staircase else _floating(count) / steps


def _exponential(config: Config) -> Schedule:
    start, rate, fraction = _start(config), config.get("decay_rate", number), _fraction(config)
    return lambda count: start * jnp.power(_floating(rate), fraction(count))


def _inverse_time(config: Config) -> Schedule:
    start, rate, fraction = _start(config), config.get("decay_rate", number), _fraction(config)
    return lambda count: start / (1 + rate * fraction(count))


def _piecewise(config: Config) -> Schedule:
    # Keras casts the boundaries to the type of the step count, a 32-bit integer.
    boundaries = [int(max(-MAX_STEP, min(b, MAX_STEP))) for b in config.get("boundaries", _numbers)]
    values = config.get("values", _numbers)
    if not boundaries or len(values) != len(boundaries) + 1:
        config.fail(f"values must be one more than boundaries, got {len(values)} and {len(boundaries)}")
    if sorted(boundaries) != boundaries:
        config.fail("boundaries must increase")
    return lambda count: _floating(values)[jnp.searchsorted(jnp.asarray(boundaries), jnp.asarray(count), side="left")]


def _polynomial(config: Config) -> Schedule:
    start, steps = _start(config), config.get("decay_steps", _steps)
    end, power = read_numbers(config, end_learning_rate=0.0001, power=1.0)
    cycle = config.get("cycle", flag, False)

    def schedule(count: Any) -> jax.Array:
        done = _floating(count)
        within = steps * jnp.where(done == 0, 1.0, jnp.ceil(done / steps)) if cycle else jnp.asarray(steps, done.dtype)
        return (start - end) * jnp.power(1 - jnp.minimum(done, within) / within, power) + end

    return schedule


def _cosine(config: Config) -> Schedule:
    start, steps = _start(config), config.get("decay_steps", _steps)
    target = config.get("warmup_target", optional(number), None)
    alpha, warmup = read_numbers(config, alpha=0.0, warmup_steps=0)

    def decayed(top: float, done: jax.Array) -> jax.Array:
        return top * ((1 - alpha) * 0.5 * (1 + jnp.cos(math.pi * done / steps)) + alpha)

    def schedule(count: Any) -> jax.Array:
        done = _floating(count)
        if target is None:
            return decayed(start, jnp.minimum(done, steps))
        if warmup <= 0:
            return decayed(target, jnp.minimum(done - warmup, steps))
        rising = (target - start) * done / warmup + start
        return jnp.where(done < warmup, rising, decayed(target, jnp.minimum(done - warmup, steps)))

    return schedule


def _cosine_restarts(config: Config) -> Schedule:
    start, first = _start(config), config.get("first_decay_steps", _steps)
    longer, lower, alpha = read_numbers(config, t_mul=2.0, m_mul=1.0, alpha=0.0)

    def schedule(count: Any) -> jax.Array:
        done = _floating(count) / first
        if longer == 1:
            restarts = jnp.floor(done)
            within = done - restarts
        else:
            ratio = _floating(longer)
            restarts = jnp.floor(jnp.log(1 - done * (1 - ratio)) / jnp.log(ratio))
            before = (1 - jnp.power(ratio, restarts)) / (1 - ratio)
            within = (done - before) / jnp.power(ratio, restarts)
        height = 0.5 * jnp.power(_floating(lower), restarts) * (1 + jnp.cos(math.pi * within))
        return start * ((1 - alpha) * height + alpha)

    return schedule


def _start(config: Config) -> float:
    return config.get("initial_learning_rate", number)


SCHEDULES: dict[str, Callable[[Config], Schedule]] = {
    "ExponentialDecay": _exponential,
    "PiecewiseConstantDecay": _piecewise,
    "PolynomialDecay": _polynomial,
    "InverseTimeDecay": _inverse_time,
    "CosineDecay": _cosine,
    "CosineDecayRestarts": _cosine_restarts,
}
