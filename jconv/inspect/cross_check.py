"""Every algorithm against the NumPy reference on one input: the table that a doubting user, and the tests, read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from .. import reference
from ..algorithms import ALGORITHMS, OPERATIONS
from ..functional.convolution import conv1d


class Deviations(NamedTuple):
    """For each algorithm and operation, `max |jax - numpy| / max |numpy|`; prints as a table.

    `worst` maps an algorithm's name to its three deviations, in the order of `operations`.
    """

    worst: dict[str, tuple[float, float, float]]
    operations: tuple[str, ...]
    dtype: str

    def __str__(self) -> str:
        rows = [f"{self.dtype:<10}" + "".join(f"{operation:>17}" for operation in self.operations)]
        rows += [f"{name:<10}" + "".join(f"{d:>17.1e}" for d in row) for name, row in self.worst.items()]
        return "\n".join(rows)

    def max(self) -> float:
        """The largest deviation of the table."""
        return max(max(row) for row in self.worst.values())


def cross_check(params: Mapping[str, Any], x: Any, **options: Any) -> Deviations:
    """Run every algorithm and the NumPy reference on the same input, forward and both gradients, and compare.

    `options` are those of `conv1d`, except `algorithm`. The gradients are those of the output's inner product with
    one fixed random array, without the activation.  Each deviation is relative to the largest value of the
    reference's array.

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

        def pulled(p: Any, x: Any, name: str = name) -> jax.Array:
            return conv1d(p, x, algorithm=name, **linear, **precision)

        out, vjp = jax.vjp(pulled, dict(params), jax.numpy.asarray(x))
        bars = vjp(jax.numpy.asarray(cotangent, out.dtype))
        dtype = str(out.dtype)
        worst[name] = (
            deviation(y, expected),
            deviation(bars[1], x_bar),
            deviation(bars[0]["kernel"], params_bar["kernel"]),
        )
    return Deviations(worst, OPERATIONS, dtype)


def deviation(actual: Any, expected: Any) -> float:
    """`max |actual - expected| / max |expected|`, in float64; the plain difference where nothing is expected."""
    expected = np.asarray(expected)
    if expected.size == 0:
        return 0.0
    difference = np.abs(np.asarray(actual, dtype=expected.dtype) - expected).max()
    return float(difference / (np.abs(expected).max() or 1.0))
