"""Array operations by Keras's names, each written once for JAX and for NumPy.

The first argument of each function is the array module: `TRACED` (`jax.numpy`) or `EXACT` (NumPy). `EXACT` also
supports the complex numbers of complex-step derivatives (see `jconv.reference`): comparisons use the real part, and no
function takes the modulus. The signature of a function lists the arguments that jconv supports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...functional import activations
from ...reference import activations as activations_numpy
from .operation_checks import MAX_PARTS

Axis = int | tuple[int, ...] | None


class _Exact:
    """NumPy, also for the complex numbers of complex-step derivatives."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def activation(name: str) -> Callable[[Any], Any]:
        return activations_numpy.resolve(name)

    @staticmethod
    def asarray(x: Any) -> Any:
        x = np.asarray(x)
        return x if np.iscomplexobj(x) else x.astype(float)

    @staticmethod
    def maximum(a: Any, b: Any) -> Any:
        return np.where((np.real(a) < np.real(b)) | np.isnan(np.real(b)), b, a)

    @staticmethod
    def minimum(a: Any, b: Any) -> Any:
        return np.where((np.real(a) > np.real(b)) | np.isnan(np.real(b)), b, a)

    @staticmethod
    def abs(x: Any) -> Any:
        return np.where(np.real(x) < 0, -x, x)

    sign = staticmethod(lambda x: np.sign(np.real(x)))
    floor = staticmethod(lambda x: np.floor(np.real(x)))
    ceil = staticmethod(lambda x: np.ceil(np.real(x)))
    round = staticmethod(lambda x, decimals: np.round(np.real(x), decimals))
    floor_divide = staticmethod(lambda a, b: np.floor(np.real(a / b)))

    @staticmethod
    def mod(a: Any, b: Any) -> Any:
        return a - b * np.floor(np.real(a) / np.real(b))

    @staticmethod
    def where(condition: Any, a: Any, b: Any) -> Any:
        return np.where(np.real(condition) != 0, a, b)

    def max(self, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
        return self._extreme(x, axis, keepdims, np.argmax)

    def min(self, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
        return self._extreme(x, axis, keepdims, np.argmin)

    @staticmethod
    def _extreme(x: Any, axis: Axis, keepdims: bool, find: Callable[..., Any]) -> Any:
        axes = tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis) % x.ndim)
        last = np.moveaxis(x, axes, range(-len(axes), 0))
        flat = last.reshape(*last.shape[: x.ndim - len(axes)], -1)
        y = np.take_along_axis(flat, find(np.real(flat), axis=-1)[..., None], axis=-1)[..., 0]
        return np.expand_dims(y, axes) if keepdims else y


class _Traced:
    """`jax.numpy`, and activations by name."""

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)

    @staticmethod
    def activation(name: str) -> Callable[[Any], Any]:
        return activations.resolve(name)


EXACT: Any = _Exact()
TRACED: Any = _Traced()


def _unary(name: str) -> Callable[..., Any]:
    return lambda m, x: getattr(m, name)(m.asarray(x))


def _binary(name: str) -> Callable[..., Any]:
    return lambda m, x1, x2: getattr(m, name)(x1, x2)


def _compare(name: str) -> Callable[..., Any]:
    return lambda m, x1, x2: getattr(m, name)(m.real(x1), m.real(x2))


def _logical(name: str) -> Callable[..., Any]:
    return lambda m, x1, x2: getattr(m, name)(m.real(x1) != 0, m.real(x2) != 0)


def _reduce(name: str) -> Callable[..., Any]:
    def reduce(m: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
        return getattr(m, name)(m.asarray(x), axis=axis, keepdims=keepdims)

    return reduce


def _activation(name: str) -> Callable[..., Any]:
    return lambda m, x: m.activation(name)(m.asarray(x))


def _var(m: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    x = m.asarray(x)
    return m.mean((x - m.mean(x, axis=axis, keepdims=True)) ** 2, axis=axis, keepdims=keepdims)


def _std(m: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    return m.sqrt(_var(m, x, axis, keepdims))


def _logsumexp(m: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    x = m.asarray(x)
    top = m.max(x, axis=axis, keepdims=True)
    y = m.log(m.sum(m.exp(x - top), axis=axis, keepdims=True)) + top
    return y if keepdims else m.squeeze(y, axis=axis)


def _softmax(m: Any, x: Any, axis: Axis = -1) -> Any:
    x = m.asarray(x)
    e = m.exp(x - m.max(x, axis=axis, keepdims=True))
    return e / m.sum(e, axis=axis, keepdims=True)


def _log_softmax(m: Any, x: Any, axis: Axis = -1) -> Any:
    return m.asarray(x) - _logsumexp(m, x, axis, keepdims=True)


def _normalize(m: Any, x: Any, axis: Axis = -1, order: int = 2, epsilon: float | None = None) -> Any:
    if order != 2:
        raise ValueError(f"normalize: order must be 2, got {order!r}")
    x = m.asarray(x)
    squared = m.sum(x * x, axis=axis, keepdims=True)
    # The lower limit of the norm. Keras's default is its global epsilon, 1e-7 unless the user changed it.
    return x / m.sqrt(m.maximum(squared, (1e-7 if epsilon is None else epsilon) ** 2))


def _norm(m: Any, x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Any:
    if ord not in (None, 2):
        raise ValueError(f"norm: ord must be None or 2, got {ord!r}")
    x = m.asarray(x)
    return m.sqrt(m.sum(x * x, axis=axis, keepdims=keepdims))


def _clip(m: Any, x: Any, x_min: Any, x_max: Any) -> Any:
    return m.minimum(m.maximum(x, x_min), x_max)


def _gelu(m: Any, x: Any, approximate: bool = True) -> Any:
    if not approximate:
        return m.activation("gelu")(m.asarray(x))
    # Hendrycks and Gimpel, Gaussian Error Linear Units (2016), the tanh approximation.
    x = m.asarray(x)
    return x * (1 + m.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2


def _leaky_relu(m: Any, x: Any, negative_slope: float = 0.2) -> Any:
    x = m.asarray(x)
    return m.where(m.real(x) >= 0, x, negative_slope * x)


def _elu(m: Any, x: Any, alpha: float = 1.0) -> Any:
    x = m.asarray(x)
    return m.where(m.real(x) > 0, x, alpha * m.expm1(m.where(m.real(x) > 0, 0 * x, x)))


def _celu(m: Any, x: Any, alpha: float = 1.0) -> Any:
    x = m.asarray(x)
    return m.where(m.real(x) > 0, x, alpha * m.expm1(m.where(m.real(x) > 0, 0 * x, x) / alpha))


def _glu(m: Any, x: Any, axis: int = -1) -> Any:
    value, gate = m.split(m.asarray(x), 2, axis=axis)
    return value * m.activation("sigmoid")(gate)


def _sparsemax(m: Any, x: Any, axis: int = -1) -> Any:
    return m.moveaxis(m.activation("sparsemax")(m.moveaxis(m.asarray(x), axis, -1)), -1, axis)


def _threshold(m: Any, x: Any, threshold: float, default_value: float) -> Any:
    x = m.asarray(x)
    return m.where(m.real(x) > threshold, x, default_value)


def _hard_shrink(m: Any, x: Any, threshold: float = 0.5) -> Any:
    x = m.asarray(x)
    return m.where(m.abs(m.real(x)) > threshold, x, 0)


def _soft_shrink(m: Any, x: Any, threshold: float = 0.5) -> Any:
    x = m.asarray(x)
    return m.where(m.abs(m.real(x)) > threshold, x - m.sign(x) * threshold, 0)


def _squareplus(m: Any, x: Any, b: float = 4) -> Any:
    x = m.asarray(x)
    return (x + m.sqrt(x * x + b)) / 2


def _pad(m: Any, x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    fill = {} if mode != "constant" else {"constant_values": constant_values or 0}
    x = m.asarray(x)
    if mode in ("reflect", "symmetric"):
        widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).max(axis=1)
        if any(width > size for width, size in zip(widths, x.shape, strict=True)):
            raise ValueError(f"pad: pad_width must not be more than the size for mode={mode!r}, got {pad_width}")
    return m.pad(x, pad_width, mode=mode, **fill)


def _split(m: Any, x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    parts = indices_or_sections
    return tuple(m.split(m.asarray(x), list(parts) if isinstance(parts, tuple) else parts, axis=axis))


def _unstack(m: Any, x: Any, num: int | None = None, axis: int = 0) -> Any:
    x = m.asarray(x)
    if x.shape[axis] > MAX_PARTS:
        raise ValueError(f"unstack: the axis must have at most {MAX_PARTS} entries, got {x.shape[axis]}")
    return tuple(m.squeeze(part, axis) for part in m.split(x, x.shape[axis], axis=axis))


def _take(m: Any, x: Any, indices: Any, axis: int | None = None) -> Any:
    kept = m.real(m.asarray(indices)).astype(int)
    # Negative indices count from the end, as in Keras. In JAX, indices out of range give NaN.
    return m.take(m.asarray(x), kept, axis=axis)


def _cast(m: Any, x: Any, dtype: str | None = None) -> Any:
    x = m.asarray(x)
    if m is TRACED and dtype is not None:
        return x.astype(dtype)
    # The reference stays in float64, and only changes values for bool and integer dtypes.
    if dtype == "bool":
        return np.real(x) != 0
    return np.trunc(np.real(x)) if "int" in (dtype or "") else x


OPERATIONS: dict[str, Callable[..., Any]] = {
    **{name: _unary(name) for name in ("exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "square", "negative")},
    **{name: _unary(name) for name in ("sin", "cos", "tan", "arctan", "sinh", "cosh", "tanh", "floor", "ceil", "sign")},
    **{name: _binary(name) for name in ("add", "subtract", "multiply", "true_divide", "power", "maximum", "minimum")},
    **{name: _binary(name) for name in ("mod", "floor_divide", "matmul", "arctan2")},
    **{name: _compare(name) for name in ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")},
    **{name: _logical(name) for name in ("logical_and", "logical_or", "logical_xor")},
    **{name: _reduce(name) for name in ("mean", "sum", "prod", "max", "min")},
    **{name: _activation(name) for name in ("relu", "relu6", "sigmoid", "softplus", "softsign", "silu", "selu")},
    **{name: _activation(name) for name in ("log_sigmoid", "hard_sigmoid", "hard_silu", "hard_tanh", "tanh_shrink")},
    **{name: _activation(name) for name in ("sparse_plus", "sparse_sigmoid")},
    "absolute": lambda m, x: m.abs(m.asarray(x)),
    "all": lambda m, x, axis=None, keepdims=False: m.all(m.real(m.asarray(x)) != 0, axis=axis, keepdims=keepdims),
    "amax": _reduce("max"),
    "amin": _reduce("min"),
    "any": lambda m, x, axis=None, keepdims=False: m.any(m.real(m.asarray(x)) != 0, axis=axis, keepdims=keepdims),
    "argmax": lambda m, x, axis=None, keepdims=False: m.argmax(m.real(m.asarray(x)), axis=axis, keepdims=keepdims),
    "argmin": lambda m, x, axis=None, keepdims=False: m.argmin(m.real(m.asarray(x)), axis=axis, keepdims=keepdims),
    "average": lambda m, x, axis=None: m.mean(m.asarray(x), axis=axis),
    "broadcast_to": lambda m, x, shape: m.broadcast_to(m.asarray(x), shape),
    "cast": _cast,
    "celu": _celu,
    "clip": _clip,
    "concatenate": lambda m, xs, axis=0: m.concatenate([m.asarray(x) for x in xs], axis=axis),
    "convert_to_tensor": _cast,
    "cumsum": lambda m, x, axis=None: m.cumsum(m.asarray(x), axis=axis),
    "diff": lambda m, a, n=1, axis=-1: m.diff(m.asarray(a), n=n, axis=axis),
    "divide": _binary("true_divide"),
    "dot": lambda m, x1, x2: m.dot(x1, x2),
    "einsum": lambda m, *operands, subscripts: m.einsum(subscripts, *operands),
    "elu": _elu,
    "expand_dims": lambda m, x, axis: m.expand_dims(m.asarray(x), axis),
    "flip": lambda m, x, axis=None: m.flip(m.asarray(x), axis),
    "gelu": _gelu,
    "get_item": lambda m, x, key: m.asarray(x)[key],
    "glu": _glu,
    "hard_shrink": _hard_shrink,
    "leaky_relu": _leaky_relu,
    "log_softmax": _log_softmax,
    "logical_not": lambda m, x: m.real(m.asarray(x)) == 0,
    "logsumexp": _logsumexp,
    "moveaxis": lambda m, x, source, destination: m.moveaxis(m.asarray(x), source, destination),
    "norm": _norm,
    "normalize": _normalize,
    "ones_like": lambda m, x, dtype=None: m.ones_like(m.asarray(x)),
    "pad": _pad,
    "repeat": lambda m, x, repeats, axis=None: m.repeat(m.asarray(x), repeats, axis=axis),
    "reshape": lambda m, x, newshape: m.reshape(m.asarray(x), newshape),
    "roll": lambda m, x, shift, axis=None: m.roll(m.asarray(x), shift, axis=axis),
    "round": lambda m, x, decimals=0: m.round(m.asarray(x), decimals),
    "rsqrt": lambda m, x: 1 / m.sqrt(m.asarray(x)),
    "soft_shrink": _soft_shrink,
    "softmax": _softmax,
    "sparsemax": _sparsemax,
    "split": _split,
    "squareplus": _squareplus,
    "squeeze": lambda m, x, axis=None: m.squeeze(m.asarray(x), axis=axis),
    "stack": lambda m, x, axis=0: m.stack([m.asarray(a) for a in x], axis=axis),
    "std": _std,
    "stop_gradient": lambda m, x: jax.lax.stop_gradient(x) if m is TRACED else m.real(x),
    "swapaxes": lambda m, x, axis1, axis2: m.swapaxes(m.asarray(x), axis1, axis2),
    "take": _take,
    "threshold": _threshold,
    "tile": lambda m, x, repeats: m.tile(m.asarray(x), repeats),
    "transpose": lambda m, x, axes=None: m.transpose(m.asarray(x), axes),
    "unstack": _unstack,
    "var": _var,
    "where": lambda m, condition, x1, x2: m.where(condition, x1, x2),
    "zeros_like": lambda m, x, dtype=None: m.zeros_like(m.asarray(x)),
}
