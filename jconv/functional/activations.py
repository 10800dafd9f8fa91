"""Keras's activations by name, in JAX.

Most are functions of `jax.nn` with Keras's defaults. `jconv.reference.activations` has the same names in NumPy; a test
compares both with Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ..reference.activations import look_up


def hard_shrink(x: jax.Array) -> jax.Array:
    """`x` where `|x| > 0.5`, and zero elsewhere."""
    return jnp.where(jnp.abs(x) > 0.5, x, jnp.zeros_like(x))


def soft_shrink(x: jax.Array) -> jax.Array:
    """`x` moved toward zero by 0.5, but not past it."""
    return jnp.where(jnp.abs(x) > 0.5, x - jnp.sign(x) * 0.5, jnp.zeros_like(x))


def sparsemax(x: jax.Array) -> jax.Array:
    """Keras's sparsemax over the last axis.

    With more than one positive entry it is not the projection onto the simplex (Martins and Astudillo, ICML 2016):
    Keras takes the threshold from the sum of the cumulative sums instead of the last one.
    """
    ordered = jnp.flip(jnp.sort(x, axis=-1), axis=-1)
    rank = jnp.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    below = ordered - ordered[..., :1]  # Relative to the largest, so that large values do not absorb the 1.
    support = 1 + rank * below > jnp.cumsum(below, axis=-1)
    size = support.sum(axis=-1, keepdims=True).astype(x.dtype)
    sums = jnp.cumsum(ordered, axis=-1)
    tau = (jnp.sum(jnp.where(support, sums, 0), axis=-1, keepdims=True) - 1) / size
    return jnp.maximum(x - tau, 0)


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "celu": jax.nn.celu,
    "elu": jax.nn.elu,
    "exponential": jnp.exp,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "glu": jax.nn.glu,
    "hard_shrink": hard_shrink,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_silu": jax.nn.hard_silu,
    "hard_swish": jax.nn.hard_silu,
    "hard_tanh": jax.nn.hard_tanh,
    "leaky_relu": partial(jax.nn.leaky_relu, negative_slope=0.2),
    "linear": lambda x: x,
    "log_sigmoid": jax.nn.log_sigmoid,
    "log_softmax": jax.nn.log_softmax,
    "mish": jax.nn.mish,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "selu": jax.nn.selu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "soft_shrink": soft_shrink,
    "softmax": jax.nn.softmax,
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "sparse_plus": jax.nn.sparse_plus,
    "sparse_sigmoid": jax.nn.sparse_sigmoid,
    "sparsemax": sparsemax,
    "squareplus": jax.nn.squareplus,
    "swish": jax.nn.silu,
    "tanh": jnp.tanh,
    "tanh_shrink": lambda x: x - jnp.tanh(x),
}


def resolve(activation: str | Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """Returns the activation for a name, a function, or None, which means linear.

    Raises:
        ValueError: The name is unknown.

    >>> resolve("relu")(jnp.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return look_up(ACTIVATIONS, activation)
