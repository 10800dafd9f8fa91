"""Keras's losses: each a function of target and output to a loss an example, and how those become one number.

The formulas are Keras's to the letter, with its epsilon and its clipping, since their gradients are trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from .config import Config, flag, integer, integers, number, one_of, optional
from .named import check_all_read, one_of_table

EPSILON = 1e-7
# Of target and output, to the losses, and a mask of those that count or None.
Formula = Callable[[jax.Array, jax.Array], jax.Array]
Loss = Callable[[Any, Any], jax.Array]
# "auto" is Keras 2's, which has each loss's function, `fn`, beside its options.
REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "auto")


def read_single_loss(value: Any, place: str) -> Loss:
    """The loss `(y, target) -> scalar` of one output, from its name or its serialized object.

    Raises `KerasFileError` for one that is not Keras's own or that jconv does not have.

    >>> loss = read_single_loss("mse", "loss")
    >>> float(loss(jnp.array([[1.0], [3.0]]), jnp.array([0.0, 0.0])))
    5.0
    """
    read, config = one_of_table(LOSSES, value, place, "the loss")
    reduction = config.get("reduction", one_of(*REDUCTIONS), "sum_over_batch_size")
    ignored = config.get("ignore_class", optional(integer), None)
    formula = read(config)
    check_all_read(config, ("name", "fn"))

    def loss(y: Any, target: Any) -> jax.Array:
        y = jnp.asarray(y)
        y = y.astype(jnp.promote_types(y.dtype, jnp.float32))
        target, y = _same_rank(jnp.asarray(target, y.dtype), y)
        if ignored is None:
            values = formula(target, y)
            return jnp.sum(values) if reduction == "sum" else jnp.mean(values)
        return _without_class(formula, target, y, ignored, reduction)

    return loss


def _without_class(formula: Formula, target: Any, y: jax.Array, ignored: int, reduction: str) -> jax.Array:
    target = target[..., 0] if target.ndim == y.ndim and target.shape[-1] == 1 else target
    counts = target != ignored
    values = formula(jnp.where(counts, target, 0), jnp.where(counts[..., None], y, 0))
    total, number = jnp.sum(jnp.where(counts, values, 0)), jnp.sum(counts)
    return total if reduction == "sum" else jnp.where(number == 0, 0, total / jnp.maximum(number, 1))


def _same_rank(target: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Both with as many axes, where one has a last one of size 1 more; a row of numbers becomes a column."""
    if target.ndim == y.ndim + 1 and target.shape[-1] == 1:
        return (target, y[:, None]) if y.ndim == 1 else (target[..., 0], y)
    if y.ndim == target.ndim + 1 and y.shape[-1] == 1:
        return (target[:, None], y) if target.ndim == 1 else (target, y[..., 0])
    return target, y


def _mean(formula: Formula) -> Callable[[Config], Formula]:
    """A formula of numbers, whose mean is taken over the last axis."""
    return lambda config: lambda target, y: jnp.mean(formula(target, y), axis=-1)


def _absolute_percentage(target: jax.Array, y: jax.Array) -> jax.Array:
    return 100 * jnp.abs((target - y) / jnp.maximum(jnp.abs(target), EPSILON))


def _squared_logarithmic(target: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.square(jnp.log(jnp.maximum(y, EPSILON) + 1) - jnp.log(jnp.maximum(target, EPSILON) + 1))


def _log_cosh(target: jax.Array, y: jax.Array) -> jax.Array:
    error = y - target
    return error + jax.nn.softplus(-2 * error) - jnp.log(jnp.asarray(2, error.dtype))


def _signs(target: jax.Array) -> jax.Array:
    """Labels of 0 and 1 as -1 and 1."""
    binary = jnp.all((target == 0) | (target == 1))
    return jnp.where(binary, 2 * target - 1, target)


def _hinge(target: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.maximum(1 - _signs(target) * y, 0)


def _categorical_hinge(target: jax.Array, y: jax.Array) -> jax.Array:
    right = jnp.sum(target * y, axis=-1)
    return jnp.maximum(jnp.max((1 - target) * y, axis=-1) - right + 1, 0)


def _kl_divergence(target: jax.Array, y: jax.Array) -> jax.Array:
    target, y = jnp.clip(target, EPSILON, 1), jnp.clip(y, EPSILON, 1)
    return jnp.sum(target * jnp.log(target / y), axis=-1)


def _poisson(target: jax.Array, y: jax.Array) -> jax.Array:
    return y - target * jnp.log(y + EPSILON)


def _cosine_similarity(config: Config) -> Formula:
    config.get("axis", partial(_exactly, -1), -1)

    def unit(x: jax.Array) -> jax.Array:
        return x * jnp.minimum(jax.lax.rsqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True)), 1 / EPSILON)

    return lambda target, y: -jnp.sum(unit(target) * unit(y), axis=-1)


def _huber(config: Config) -> Formula:
    delta = config.get("delta", number, 1.0)

    def huber(target: jax.Array, y: jax.Array) -> jax.Array:
        error = jnp.abs(y - target)
        return jnp.where(error <= delta, 0.5 * jnp.square(y - target), delta * error - 0.5 * delta**2)

    return lambda target, y: jnp.mean(huber(target, y), axis=-1)


def _clipped(y: jax.Array) -> jax.Array:
    return jnp.clip(y, EPSILON, 1 - EPSILON)


def _binary(target: jax.Array, y: jax.Array, logits: bool = False) -> jax.Array:
    if target.shape != y.shape:
        raise ValueError(f"target must have the shape of y, {y.shape}, got {target.shape}")
    if logits:
        return -target * jax.nn.log_sigmoid(y) - (1 - target) * jax.nn.log_sigmoid(-y)
    y = _clipped(y)
    return -(target * jnp.log(y) + (1 - target) * jnp.log(1 - y))


def _smoothed(config: Config) -> tuple[bool, float, int]:
    return (
        config.get("from_logits", flag, False),
        config.get("label_smoothing", number, 0.0),
        config.get("axis", integer, -1),
    )


def _binary_crossentropy(config: Config) -> Formula:
    logits, smoothing, axis = _smoothed(config)

    def loss(target: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.mean(_binary(target * (1 - smoothing) + 0.5 * smoothing, y, logits), axis=axis)

    return loss


def _binary_focal(config: Config) -> Formula:
    logits, smoothing, axis = _smoothed(config)
    alpha, gamma = config.get("alpha", number, 0.25), config.get("gamma", number, 2.0)
    balancing = config.get("apply_class_balancing", flag, False)

    def loss(target: jax.Array, y: jax.Array) -> jax.Array:
        target = target * (1 - smoothing) + 0.5 * smoothing
        y = jax.nn.sigmoid(y) if logits else y
        right = target * y + (1 - target) * (1 - y)
        focal = jnp.power(1 - right, gamma) * _binary(target, y)
        focal = (target * alpha + (1 - target) * (1 - alpha)) * focal if balancing else focal
        return jnp.mean(focal, axis=axis)

    return loss


def _log_probabilities(y: jax.Array, logits: bool, axis: int = -1) -> jax.Array:
    if logits:
        return jax.nn.log_softmax(y, axis=axis)
    return jnp.log(_clipped(y / jnp.sum(y, axis, keepdims=True)))


def _spread(target: jax.Array, y: jax.Array, smoothing: float) -> jax.Array:
    if target.shape != y.shape:
        raise ValueError(f"target must have a number for each class, {y.shape}, got {target.shape}")
    return target * (1 - smoothing) + smoothing / target.shape[-1] if smoothing else target


def _categorical(config: Config) -> Formula:
    logits, smoothing, axis = _smoothed(config)

    def loss(target: jax.Array, y: jax.Array) -> jax.Array:
        return -jnp.sum(_spread(target, y, smoothing) * _log_probabilities(y, logits, axis), axis=axis)

    return loss


def _categorical_focal(config: Config) -> Formula:
    logits, smoothing, axis = _smoothed(config)
    alpha, gamma = config.get("alpha", number, 0.25), config.get("gamma", number, 2.0)

    def loss(target: jax.Array, y: jax.Array) -> jax.Array:
        y = jax.nn.softmax(y, axis=axis) if logits else y
        output = _clipped(y / jnp.sum(y, axis=axis, keepdims=True))
        losses = -_spread(target, y, smoothing) * jnp.log(output)
        return jnp.sum(alpha * jnp.power(1 - output, gamma) * losses, axis=axis)

    return loss


def _sparse_categorical(config: Config) -> Formula:
    logits = config.get("from_logits", flag, False)
    config.get("axis", partial(_exactly, -1), -1)

    def loss(target: jax.Array, y: jax.Array) -> jax.Array:
        target = target[..., 0] if target.ndim == y.ndim and target.shape[-1] == 1 else target
        if target.shape != y.shape[:-1]:
            raise ValueError(f"target must hold class numbers of shape {y.shape[:-1]}, got {target.shape}")
        classes = jax.nn.one_hot(target.astype(jnp.int32), y.shape[-1], dtype=y.dtype)
        return -jnp.sum(classes * _log_probabilities(y, logits), axis=-1)

    return loss


def _exactly(allowed: int, value: Any) -> int:
    if integer(value) != allowed:
        raise ValueError(f"must be {allowed}")
    return value


def _axes(config: Config) -> Any:
    return config.get("axis", optional(lambda v: integers(v) if isinstance(v, list) else integer(v)), None)


def _dice(config: Config) -> Formula:
    axis = _axes(config)

    def loss(target: jax.Array, y: jax.Array) -> jax.Array:
        sums = jnp.sum(target, axis) + jnp.sum(y, axis)
        return 1 - 2 * jnp.sum(target * y, axis) / (sums + EPSILON)

    return loss


def _tversky(config: Config) -> Formula:
    axis, alpha, beta = _axes(config), config.get("alpha", number, 0.5), config.get("beta", number, 0.5)

    def loss(target: jax.Array, y: jax.Array) -> jax.Array:
        both = jnp.sum(target * y, axis)
        missed, wrong = jnp.sum((1 - y) * target, axis), jnp.sum(y * (1 - target), axis)
        return 1 - both / (both + missed * alpha + wrong * beta + EPSILON)

    return loss


LOSSES: dict[str, Callable[[Config], Formula]] = {
    "MeanSquaredError": _mean(lambda target, y: jnp.square(target - y)),
    "MeanAbsoluteError": _mean(lambda target, y: jnp.abs(target - y)),
    "MeanAbsolutePercentageError": _mean(_absolute_percentage),
    "MeanSquaredLogarithmicError": _mean(_squared_logarithmic),
    "CosineSimilarity": _cosine_similarity,
    "Huber": _huber,
    "LogCosh": _mean(_log_cosh),
    "Hinge": _mean(_hinge),
    "SquaredHinge": _mean(lambda target, y: jnp.square(_hinge(target, y))),
    "CategoricalHinge": lambda config: _categorical_hinge,
    "KLDivergence": lambda config: _kl_divergence,
    "Poisson": _mean(_poisson),
    "BinaryCrossentropy": _binary_crossentropy,
    "BinaryFocalCrossentropy": _binary_focal,
    "CategoricalCrossentropy": _categorical,
    "CategoricalFocalCrossentropy": _categorical_focal,
    "SparseCategoricalCrossentropy": _sparse_categorical,
    "Dice": _dice,
    "Tversky": _tversky,
}
SHORT = {
    "mse": "MeanSquaredError",
    "mae": "MeanAbsoluteError",
    "mape": "MeanAbsolutePercentageError",
    "msle": "MeanSquaredLogarithmicError",
    "bce": "BinaryCrossentropy",
    "kld": "KLDivergence",
}
LOSSES |= {short: LOSSES[name] for short, name in SHORT.items()}
