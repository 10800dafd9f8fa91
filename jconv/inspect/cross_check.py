"""Compares every algorithm with the NumPy reference on one input."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from .. import reference
from ..algorithms import ALGORITHMS, OPERATIONS
from ..functional.convolution import conv1d


class Deviations(NamedTuple):
    """The deviations `max |jax - numpy| / max |numpy|` of each algorithm. Prints as a table.

    Attributes:
        worst: For each algorithm, the deviations of the three operations.
        operations: The names of the operations.
        dtype: The dtype of the results.
    """

    worst: dict[str, tuple[float, float, float]]
    operations: tuple[str, ...]
    dtype: str

    def __str__(self) -> str:
        rows = [f"{self.dtype:<10}" + "".join(f"{operation:>17}" for operation in self.operations)]
        rows += [f"{name:<10}" + "".join(f"{d:>17.1e}" for d in row) for name, row in self.worst.items()]
        return "\n".join(rows)

    def max(self) -> float:
        """Returns the largest deviation of all."""
        return max(max(row) for row in self.worst.values())


def cross_check(params: Mapping[str, Any], x: Any, **options: Any) -> Deviations:
    """Compares every algorithm with the NumPy reference: the output of `conv1d` and both gradients.

    The gradients are gradients of the inner product of a fixed random array and the output without the activation. Each
    deviation is relative to the largest value of the reference.

    Args:
        params: As in `conv1d`.
        x: As in `conv1d`.
        **options: The options of `conv1d`, except `algorithm`.

    Returns:
        The `Deviations`, which print as a table.

    Raises:
        ValueError: `options` contains `algorithm`, or as in `conv1d`.
        TypeError: As in `conv1d`.

    >>> import jax.numpy as jnp
    >>> x, params = jnp.ones((2, 10, 3)), {"kernel": jnp.ones((4, 3, 5))}
    >>> cross_check(params, x, padding="same").max() < 2e-6
    True
    """
    if "algorithm" in options:
        raise ValueError("cross_check runs every algorithm; leave algorithm out")
    precision = {"precision": options.pop("precision")} if "precision" in options else {}
    linear = {name: value for name, value in options.items() if name != "activation"}
    expected = reference.conv1d(params, x, **options)
    shape = reference.conv1d(params, x, **linear).shape
    cotangent = np.random.default_rng(0).standard_normal(shape)
    params_bar, x_bar = reference.conv1d_vjp(params, x, cotangent, **linear)

    worst: dict[str, tuple[float, float, float]] = {}
    dtype = ""
    for name in ALGORITHMS:
        y = conv1d(params, x, algorithm=name, **options, **precision)
        convolve = partial(conv1d, algorithm=name, **linear, **precision)
        out, vjp = jax.vjp(convolve, dict(params), jax.numpy.asarray(x))
        own_params_bar, own_x_bar = vjp(jax.numpy.asarray(cotangent, out.dtype))
        dtype = str(out.dtype)
        worst[name] = (
            deviation(y, expected),
            deviation(own_x_bar, x_bar),
            deviation(own_params_bar["kernel"], params_bar["kernel"]),
        )
    return Deviations(worst, OPERATIONS, dtype)


def deviation(actual: Any, expected: Any) -> float:
    """Returns `max |actual - expected| / max |expected|` in float64, or the absolute difference if `expected` is 0."""
    expected = np.asarray(expected)
    if expected.size == 0:
        return 0.0
    difference = np.abs(np.asarray(actual, dtype=expected.dtype) - expected).max()
    return float(difference / (np.abs(expected).max() or 1.0))
