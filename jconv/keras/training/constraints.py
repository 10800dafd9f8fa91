"""Keras's constraints of weights: projections that are applied to an array after each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..kinds.config import Config, integer, integers, number
from ..read.parts import Part
from .layer_options import array_options
from .objects import check_all_used, look_up

EPSILON = 1e-7
Constraint = Callable[[jax.Array], jax.Array]


def read_constraints(root: Part) -> dict[tuple[str, str], Constraint]:
    """The constraints of trained arrays, by key and name in params.

    Raises `KerasFileError` for a constraint that is not part of Keras.
    """
    constraints = {}
    for option in array_options(root, "_constraint"):
        read, config = look_up(CONSTRAINTS, option.value, option.place, "the constraint")
        constraint = read(config)
        check_all_used(config)
        option.check(constraint)
        constraints[option.key, option.array] = constraint
    return constraints


def constrain(constraints: dict[tuple[str, str], Constraint]) -> optax.GradientTransformation:
    """Change the updates so that the updated params satisfy the constraints; must be the last part of a chain."""

    def update(updates: Any, params: Any) -> Any:
        updates = {key: dict(own) for key, own in updates.items()}
        for (key, name), constraint in constraints.items():
            before = params[key][name]
            updates[key][name] = constraint(before + updates[key][name]) - before
        return updates

    return optax.stateless(lambda updates, params: update(updates, params))


def _norms(w: jax.Array, axis: Any) -> jax.Array:
    return jnp.sqrt(jnp.sum(jnp.square(w), axis, keepdims=True))


def _axis(config: Config) -> Any:
    return config.get("axis", lambda v: integers(v) if isinstance(v, list) else integer(v), 0)


def _max_norm(config: Config) -> Constraint:
    limit, axis = config.get("max_value", number, 2), _axis(config)

    def constraint(w: jax.Array) -> jax.Array:
        norms = _norms(w, axis)
        return w * (jnp.clip(norms, 0, limit) / (EPSILON + norms))

    return constraint


def _unit_norm(config: Config) -> Constraint:
    axis = _axis(config)
    return lambda w: w / (EPSILON + _norms(w, axis))


def _min_max_norm(config: Config) -> Constraint:
    low, high = config.get("min_value", number, 0.0), config.get("max_value", number, 1.0)
    rate, axis = config.get("rate", number, 1.0), _axis(config)

    def constraint(w: jax.Array) -> jax.Array:
        norms = _norms(w, axis)
        target = rate * jnp.clip(norms, low, high) + (1 - rate) * norms
        return w * (target / (EPSILON + norms))

    return constraint


CONSTRAINTS: dict[str, Callable[[Config], Constraint]] = {
    "MaxNorm": _max_norm,
    "NonNeg": lambda config: lambda w: jnp.maximum(w, 0),
    "UnitNorm": _unit_norm,
    "MinMaxNorm": _min_max_norm,
}
