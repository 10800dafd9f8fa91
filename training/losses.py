"""What is minimized, and what is counted, each in JAX; the losses also in NumPy for the gradient proof.

The NumPy ones take complex arrays whose imaginary part is the infinitesimal of a complex step: they choose by real
parts and take no modulus.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = np.ndarray[Any, Any]


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean cross-entropy of softmax(logits) (n, classes) against class numbers (n,); a scalar.

    The softmax is in here and not in the network, so that small probabilities keep their logarithm.

    >>> round(float(cross_entropy(jnp.zeros((3, 2)), jnp.array([0, 1, 1]))), 4)
    0.6931
    """
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=-1).mean()


def cross_entropy_reference(logits: Array, labels: Array) -> Any:
    """`cross_entropy` in NumPy, float64 or complex128."""
    shifted = logits - logits.real.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=-1))
    return (log_sum - np.take_along_axis(shifted, labels[:, None], axis=-1)[:, 0]).mean()


# Keras's: probabilities are kept this far from 0 and 1.
EPSILON = 1e-7


def probability_cross_entropy(output: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean cross-entropy of probabilities (n, classes) against class numbers (n,), as Keras has it; a scalar.

    >>> round(float(probability_cross_entropy(jnp.full((3, 2), 0.5), jnp.array([0, 1, 1]))), 4)
    0.6931
    """
    shares = jnp.clip(output / output.sum(axis=-1, keepdims=True), EPSILON, 1 - EPSILON)
    return -jnp.log(jnp.take_along_axis(shares, labels[:, None], axis=-1)).mean()


def probability_cross_entropy_reference(output: Array, labels: Array) -> Any:
    """`probability_cross_entropy` in NumPy, float64 or complex128."""
    shares: Any = np.take_along_axis(output / output.sum(axis=-1, keepdims=True), labels[:, None], axis=-1)
    shares = np.where(shares.real < EPSILON, EPSILON, np.where(shares.real > 1 - EPSILON, 1 - EPSILON, shares))
    return -np.log(shares).mean()


def squared_error(output: jax.Array, target: jax.Array) -> jax.Array:
    """Mean squared error over all axes; a scalar."""
    return jnp.square(output - target).mean()


def squared_error_reference(output: Array, target: Array) -> Any:
    """`squared_error` in NumPy, float64 or complex128."""
    return ((output - target) ** 2).mean()


def absolute_error_reference(output: Array, target: Array) -> Any:
    """`absolute_error` in NumPy, float64 or complex128."""
    error: Any = output - target
    return np.where(error.real < 0, -error, error).mean()


class Named(NamedTuple):
    """A loss in JAX and in NumPy, and whether its targets are class numbers."""

    loss: Callable[[jax.Array, jax.Array], jax.Array]
    reference: Callable[[Array, Array], Any]
    of_classes: bool


def accuracy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The share of rows whose largest logit is that of the label; a scalar."""
    return (logits.argmax(axis=-1) == labels).mean(dtype=logits.dtype)


def absolute_error(output: jax.Array, target: jax.Array) -> jax.Array:
    """Mean absolute error over all axes; a scalar."""
    return jnp.abs(output - target).mean()


LOSSES: dict[str, Named] = {
    "cross-entropy": Named(cross_entropy, cross_entropy_reference, True),
    "squared-error": Named(squared_error, squared_error_reference, False),
    "absolute-error": Named(absolute_error, absolute_error_reference, False),
}
