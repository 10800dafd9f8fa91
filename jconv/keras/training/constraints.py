"""Keras's constraints of weights: what an array is brought to after each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..kinds.config import Config, integer, integers, number
from ..read.parts import Part
from .named import check_all_read, one_of_table
from .weight_options import attached

EPSILON = 1e-7
Constraint = Callable[[jax.Array], jax.Array]


def read_constraints(root: Part) -> dict[tuple[str, str], Constraint]:
    """The constraint of each trained array that has one, by its key and name in params.

    Raises `KerasFileError` for one that is not Keras's own.
    """
    found = {}
    for option in attached(root, "_constraint"):
        read, config = one_of_table(CONSTRAINTS, option.value, option.place, "the constraint")
        constraint = read(config)
        check_all_read(config)
        option.check(constraint)
        found[option.key, option.array] = constraint
    return found


def constrain(constraints: dict[tuple[str, str], Constraint]) -> optax.GradientTransformation:
    """Updates that lead to where the constraints allow; the last of a chain."""

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
    most, axis = config.get("max_value", number, 2), _axis(config)

    def constraint(w: jax.Array) -> jax.Array:
        norms = _norms(w, axis)
        return w * (jnp.clip(norms, 0, most) / (EPSILON + norms))

    return constraint


def _unit_norm(config: Config) -> Constraint:
    axis = _axis(config)
    return lambda w: w / (EPSILON + _norms(w, axis))


def _min_max_norm(config: Config) -> Constraint:
    least, most = config.get("min_value", number, 0.0), config.get("max_value", number, 1.0)
    rate, axis = config.get("rate", number, 1.0), _axis(config)

    def constraint(w: jax.Array) -> jax.Array:
        norms = _norms(w, axis)
        wanted = rate * jnp.clip(norms, least, most) + (1 - rate) * norms
        return w * (wanted / (EPSILON + norms))

    return constraint


CONSTRAINTS: dict[str, Callable[[Config], Constraint]] = {
    "MaxNorm": _max_norm,
    "NonNeg": lambda config: lambda w: jnp.maximum(w, 0),
    "UnitNorm": _unit_norm,
    "MinMaxNorm": _min_max_norm,
}
