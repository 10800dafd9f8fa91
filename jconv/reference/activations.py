"""Keras's activations by name, in NumPy, from their published formulas.

They also accept complex arrays for the complex-step method (see `convolution.py`): conditions use only the real part,
and no function takes an absolute value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..hints import shown, suggest

Array = np.ndarray[Any, Any]

# Klambauer et al., Self-Normalizing Neural Networks (2017), the fixed point of mean 0 and variance 1.
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def _piecewise(x: Array, *pieces: tuple[Any, Any]) -> Array:
    """Returns the value of the first `(condition, value)` pair whose condition holds, for each element."""
    return np.select([np.broadcast_to(c, x.shape) for c, _ in pieces], [v for _, v in pieces])


def _clip(x: Array, low: float, high: float) -> Array:
    return _piecewise(x, (x.real <= low, low), (x.real >= high, high), (True, x))


def _relu(x: Array) -> Array:
    return _piecewise(x, (x.real <= 0, 0.0), (True, x))


def _sigmoid(x: Array) -> Array:
    # Only values that are not positive are exponentiated, so that nothing overflows.
    small = np.exp(_piecewise(x, (x.real >= 0, -x), (True, x)))
    return np.where(x.real >= 0, 1, small) / (1 + small)


def _softplus(x: Array) -> Array:
    return _relu(x) + np.log1p(np.exp(-_abs(x)))


def _expm1(x: Array) -> Array:
    return np.expm1(_piecewise(x, (x.real > 0, 0.0), (True, x)))


def _elu(x: Array, alpha: float = 1.0) -> Array:
    return _piecewise(x, (x.real > 0, x), (True, alpha * _expm1(x)))


def _erfc(x: Array) -> Array:
    value = np.vectorize(math.erfc, otypes=[float])(x.real)
    if not np.iscomplexobj(x):
        return value
    # First order in the imaginary part, which is exact for an infinitesimal step: erfc' = -2 exp(-x^2) / sqrt(pi).
    return value - 1j * x.imag * 2 / math.sqrt(math.pi) * np.exp(-(x.real**2))


def _log_softmax(x: Array) -> Array:
    shifted = x - x.real.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _glu(x: Array) -> Array:
    value, gate = np.split(x, 2, axis=-1)
    return value * _sigmoid(gate)


def _hard_sigmoid(x: Array) -> Array:
    return _clip(x + 3, 0, 6) / 6


def _abs(x: Array) -> Array:
    """Returns x or -x by the sign of the real part, which the complex-step method can differentiate."""
    return _piecewise(x, (x.real < 0, -x), (True, x))


def _shrink(x: Array, shift: float) -> Array:
    return _piecewise(x, (x.real > 0.5, x - shift), (x.real < -0.5, x + shift), (True, 0.0))


def _sparse_plus(x: Array) -> Array:
    return _piecewise(x, (x.real <= -1, 0.0), (x.real >= 1, x), (True, (_clip(x, -1, 1) + 1) ** 2 / 4))


def _sparsemax(x: Array) -> Array:
    order = np.argsort(-x.real, axis=-1, kind="stable")
    ordered: Array = np.take_along_axis(x, order, axis=-1)
    rank = np.arange(1, x.shape[-1] + 1)
    below = ordered.real - ordered.real[..., :1]
    support = 1 + rank * below > np.cumsum(below, axis=-1)
    sums = np.cumsum(ordered, axis=-1)
    # Keras's threshold. The paper's threshold uses only the last of these sums.
    tau = (np.where(support, sums, 0).sum(axis=-1, keepdims=True) - 1) / support.sum(axis=-1, keepdims=True)
    return _relu(x - tau)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "celu": _elu,
    "elu": _elu,
    "exponential": np.exp,
    "gelu": lambda x: x * _erfc(-x / math.sqrt(2)) / 2,
    "glu": _glu,
    "hard_shrink": lambda x: _shrink(x, 0.0),
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": lambda x: x * _hard_sigmoid(x),
    "hard_swish": lambda x: x * _hard_sigmoid(x),
    "hard_tanh": lambda x: _clip(x, -1, 1),
    "leaky_relu": lambda x: _piecewise(x, (x.real >= 0, x), (True, 0.2 * x)),
    "linear": lambda x: x,
    "log_sigmoid": lambda x: -_softplus(-x),
    "log_softmax": _log_softmax,
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "relu": _relu,
    "relu6": lambda x: _clip(x, 0, 6),
    "selu": lambda x: SELU_SCALE * _elu(x, SELU_ALPHA),
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
    "soft_shrink": lambda x: _shrink(x, 0.5),
    "softmax": lambda x: np.exp(_log_softmax(x)),
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + _abs(x)),
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": lambda x: _clip((x + 1) / 2, 0, 1),
    "sparsemax": _sparsemax,
    "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / 2,
    "swish": lambda x: x * _sigmoid(x),
    "tanh": np.tanh,
    "tanh_shrink": lambda x: x - np.tanh(x),
}

# The activations that are not elementwise.
ALONG_LAST = ("glu", "log_softmax", "softmax", "sparsemax")


def look_up(table: Mapping[str, Callable[[Any], Any]], activation: Any) -> Callable[[Any], Any]:
    """Returns the activation in a table for a name, a function, or None, which means linear.

    Raises:
        ValueError: The name is unknown, or `activation` is anything else.
    """
    if activation is None:
        return table["linear"]
    if callable(activation):
        return activation
    if not isinstance(activation, str) or activation not in table:
        names, hint = ", ".join(sorted(table)), suggest(activation, table)
        raise ValueError(f"activation must be None, a function, or one of {names}, got {shown(activation)}{hint}")
    return table[activation]


def resolve(activation: str | Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """Returns the NumPy function for a name, a function, or None, which means linear.

    Raises:
        ValueError: The name is unknown.

    >>> resolve("relu")(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return look_up(ACTIVATIONS, activation)
