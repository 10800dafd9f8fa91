"""Keras's constraints of weights: projections that are applied to an array after each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..kinds.config import Config, number, one_or_more_integers
from ..read.parts import ModelPart
from .layer_options import read_array_options
from .objects import read_numbers

EPSILON = 1e-7
Constraint = Callable[[jax.Array], jax.Array]


def read_constraints(root: ModelPart) -> dict[tuple[str, str], Constraint]:
    """The constraints of trained arrays, by key and name in params.

    Raises `KerasFileError` for a constraint that is not part of Keras.
    """
    return {(key, name): found for key, name, found in read_array_options(root, "constraint", CONSTRAINTS)}


def constrain(constraints: dict[tuple[str, str], Constraint]) -> optax.GradientTransformation:
    """Change the updates so that the updated params satisfy the constraints; must be the last part of a chain."""

    def update(updates: Any, params: Any) -> Any:
        updates = {key: dict(own) for key, own in updates.items()}
        for (key, name), constraint in constraints.items():
            before = params[key][name]
            updates[key][name] = constraint(before + updates[key][name]) - before
        return updates

    return optax.stateless(update)


def _with_norms(config: Config, function: Callable[[jax.Array, jax.Array], jax.Array]) -> Constraint:
    """The constraint `function(w, norms)`, with the norms of an array along the config's axis."""
    axis = config.get("axis", one_or_more_integers, 0)
    return lambda w: function(w, jnp.sqrt(jnp.sum(jnp.square(w), axis, keepdims=True)))


def _max_norm(config: Config) -> Constraint:
    limit = config.get("max_value", number, 2)
    return _with_norms(config, lambda w, norms: w * (jnp.clip(norms, 0, limit) / (EPSILON + norms)))


def _min_max_norm(config: Config) -> Constraint:
    low, high, rate = read_numbers(config, min_value=0.0, max_value=1.0, rate=1.0)

    def constraint(w: jax.Array, norms: jax.Array) -> jax.Array:
        target = rate * jnp.clip(norms, low, high) + (1 - rate) * norms
        return w * (target / (EPSILON + norms))

    return _with_norms(config, constraint)


CONSTRAINTS: dict[str, Callable[[Config], Constraint]] = {
    "MaxNorm": _max_norm,
    "NonNeg": lambda config: lambda w: jnp.maximum(w, 0),
    "UnitNorm": lambda config: _with_norms(config, lambda w, norms: w / (EPSILON + norms)),
    "MinMaxNorm": _min_max_norm,
}
