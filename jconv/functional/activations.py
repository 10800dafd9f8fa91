"""Keras's activations by name, in JAX.

Where `jax.nn` has one with Keras's meaning it is used, with Keras's defaults; the rest are written out here. The
same names in NumPy are in `activations_numpy.py`, and a test holds the two, and Keras, together.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ..reference.activations import look_up


def hard_shrink(x: jax.Array, threshold: float = 0.5) -> jax.Array:
    """`x` where its size exceeds `threshold`, else zero."""
    return jnp.where(jnp.abs(x) > threshold, x, jnp.zeros_like(x))


def soft_shrink(x: jax.Array, threshold: float = 0.5) -> jax.Array:
    """`x` drawn toward zero by `threshold`."""
    return jnp.where(jnp.abs(x) > threshold, x - jnp.sign(x) * threshold, jnp.zeros_like(x))


def sparsemax(x: jax.Array) -> jax.Array:
    """Keras's sparsemax over the last axis.

    Where more than one entry is positive it is not the projection of Martins and Astudillo (ICML 2016) onto the
    simplex: Keras takes its threshold from the sum of the running sums, not from the last of them.
    """
    ordered = jnp.flip(jnp.sort(x, axis=-1), axis=-1)
    rank = jnp.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    below = ordered - ordered[..., :1]  # no more than the largest: 1 is not lost beside large numbers
    support = 1 + rank * below > jnp.cumsum(below, axis=-1)
    size = support.sum(axis=-1, keepdims=True).astype(x.dtype)
    running = jnp.cumsum(ordered, axis=-1)
    tau = (jnp.sum(jnp.where(support, running, 0), axis=-1, keepdims=True) - 1) / size
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
    """The function that a name, a function or `None` (linear) stands for.

    Raises `ValueError` for an unknown name.

    >>> resolve("relu")(jnp.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return look_up(ACTIVATIONS, activation)
