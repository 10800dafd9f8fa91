"""Keras's regularizers of weights, as one penalty on the params; in JAX, and in NumPy for what is proved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..kinds.config import Config, number, one_of, optional
from ..read.parts import Part
from .named import check_all_read, one_of_table
from .weight_options import attached

# Keras's epsilon.
EPSILON = 1e-7


@dataclass(frozen=True)
class Sum:
    """`l1` times the sum of moduli and `l2` times the sum of squares."""

    l1: float = 0.0
    l2: float = 0.0

    def jax(self, w: jax.Array) -> jax.Array:
        """The penalty on an array."""
        total = jnp.zeros((), w.dtype)
        total += self.l1 * jnp.sum(jnp.abs(w)) if self.l1 else 0
        return total + (self.l2 * jnp.sum(jnp.square(w)) if self.l2 else 0)

    def numpy(self, w: Any) -> Any:
        """The same in float64, or complex128 with infinitesimals."""
        return self.l1 * np.sum(w * np.sign(w.real)) + self.l2 * np.sum(w**2)


@dataclass(frozen=True)
class Orthogonal:
    """`factor` times the mean modulus of the cosine between two rows, or between two columns, of a matrix."""

    factor: float = 0.01
    mode: str = "rows"

    def jax(self, w: jax.Array) -> jax.Array:
        """The penalty on a matrix. Raises `ValueError` for an array of other than two axes, or a single row."""
        if w.ndim != 2 or w.shape[self.mode == "columns"] < 2:
            raise ValueError(f"it compares two or more {self.mode} of a matrix")
        w = w if self.mode == "rows" else w.T
        rows = w * jnp.minimum(jax.lax.rsqrt(jnp.sum(jnp.square(w), 1, keepdims=True)), 1 / EPSILON)
        others = (rows @ rows.T) * (1 - jnp.eye(len(rows), dtype=w.dtype))
        return self.factor * 0.5 * jnp.sum(jnp.abs(others)) / (len(rows) * (len(rows) - 1.0) / 2)

    def numpy(self, w: Any) -> Any:
        """The same in float64, or complex128 with infinitesimals."""
        w = w if self.mode == "rows" else w.T
        lengths = np.sqrt(np.sum(w**2, 1, keepdims=True))
        rows = w / np.where(lengths.real < EPSILON, EPSILON, lengths)
        others = (rows @ rows.T) * (1 - np.eye(len(rows)))
        return self.factor * 0.5 * np.sum(others * np.sign(others.real)) / (len(rows) * (len(rows) - 1) / 2)


@dataclass(frozen=True)
class Penalty:
    """The sum of what regularizers give for single arrays of the params.

    >>> penalty = Penalty((("dense", "kernel", Sum(l2=0.5)),))
    >>> float(penalty({"dense": {"kernel": jnp.array([[1.0, 2.0]])}}))
    2.5
    """

    terms: tuple[tuple[str, str, Sum | Orthogonal], ...]

    def __call__(self, params: Mapping[str, Any]) -> jax.Array:
        """The penalty, a scalar."""
        return sum((term.jax(params[key][name]) for key, name, term in self.terms), start=jnp.zeros(()))

    def reference(self, params: Mapping[str, Any]) -> Any:
        """The same in NumPy, float64 or complex128."""
        return sum(term.numpy(np.asarray(params[key][name])) for key, name, term in self.terms)


def read_penalty(root: Part) -> Penalty:
    """The penalty that the file's layers put on their trained arrays.

    Raises `KerasFileError` for a regularizer that is not Keras's own.
    """
    terms = []
    for option in attached(root, "_regularizer"):
        read, config = one_of_table(REGULARIZERS, option.value, option.place, "the regularizer")
        term = read(config)
        check_all_read(config)
        option.check(term.jax)
        terms.append((option.key, option.array, term))
    return Penalty(tuple(terms))


def _amount(config: Config, name: str, missing: float) -> float:
    found = config.get(name, optional(number), None)
    if found is not None and found < 0:
        config.fail(f"{name} must not be negative, got {found}")
    return missing if found is None else found


REGULARIZERS: dict[str, Callable[[Config], Sum | Orthogonal]] = {
    "L1": lambda config: Sum(l1=_amount(config, "l1", 0.01)),
    "L2": lambda config: Sum(l2=_amount(config, "l2", 0.01)),
    "L1L2": lambda config: Sum(_amount(config, "l1", 0.0), _amount(config, "l2", 0.0)),
    "OrthogonalRegularizer": lambda config: Orthogonal(
        _amount(config, "factor", 0.01), config.get("mode", one_of("rows", "columns"), "rows")
    ),
}
