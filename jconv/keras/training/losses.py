"""Keras's losses: formulas for the loss of each example, and their reduction to one number.

The formulas are exactly Keras's, including epsilons and clipping, so that the gradients are the same too. Each is
written once for JAX and NumPy: its argument `m` is the module of array functions, as in `layers/operations`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...layers.operations.functions import EXACT, TRACED
from ..kinds.config import Config, flag, integer, number, one_of, one_or_more_integers, optional
from .objects import check_all_used, look_up, read_numbers

EPSILON = 1e-7
# Given a module of array functions, targets and outputs, the loss of each example.
Formula = Callable[[Any, Any, Any], Any]
# Only Keras 2 writes "auto".
REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "auto")


@dataclass(frozen=True)
class Loss:
    """The loss of one output.

    `name` is Keras's name of the loss. If `takes_classes`, targets are class indices. Targets equal to `ignored` are
    left out, unless it is None.
    """

    name: str
    formula: Formula = field(repr=False)
    reduction: str
    ignored: int | None
    takes_classes: bool

    def __call__(self, y: Any, target: Any) -> jax.Array:
        """The loss of a batch, a scalar."""
        y = jnp.asarray(y)
        y = y.astype(jnp.promote_types(y.dtype, jnp.float32))
        return self._value(TRACED, y, jnp.asarray(target, y.dtype))

    def reference(self, y: Any, target: Any) -> Any:
        """The same in NumPy, in float64, or in complex128 if `y` is complex."""
        return self._value(EXACT, EXACT.asarray(y), np.asarray(target, float))

    def _value(self, m: Any, y: Any, target: Any) -> Any:
        target, y = _same_rank(target, y)
        if self.ignored is None:
            values = self.formula(m, target, y)
            return m.sum(values) if self.reduction == "sum" else m.mean(values)
        target = _class_indices(target, y)
        is_used = target != self.ignored
        values = self.formula(m, m.where(is_used, target, 0), m.where(is_used[..., None], y, 0))
        total, count = m.sum(m.where(is_used, values, 0)), m.sum(is_used)
        return total if self.reduction == "sum" else m.where(count == 0, 0, total / m.maximum(count, 1))


def read_single_loss(value: Any) -> Loss:
    """The loss of one output, given its name or its serialized object.

    Raises `KerasFileError` for a loss that is not part of Keras or not supported.

    >>> loss = read_single_loss("mse")
    >>> float(loss(jnp.array([[1.0], [3.0]]), jnp.array([0.0, 0.0])))
    5.0
    """
    name, config = look_up(LOSSES, value, "loss", "the loss")
    reduction = config.get("reduction", one_of(*REDUCTIONS), "sum_over_batch_size")
    ignored = config.get("ignore_class", optional(integer), None)
    formula = LOSSES[name](config)
    # Keras 2 writes the function of the loss as the option "fn".
    check_all_used(config, ("name", "fn"))
    name = SHORT_NAMES.get(name, name)
    return Loss(name, formula, reduction, ignored, name == "SparseCategoricalCrossentropy")


def _same_rank(target: Any, y: Any) -> tuple[Any, Any]:
    """Target and output with the same number of axes: one may have an additional last axis of size 1."""
    if target.ndim == y.ndim + 1 and target.shape[-1] == 1:
        return (target, y[:, None]) if y.ndim == 1 else (target[..., 0], y)
    if y.ndim == target.ndim + 1 and y.shape[-1] == 1:
        return (target[:, None], y) if target.ndim == 1 else (target, y[..., 0])
    return target, y


def _class_indices(target: Any, y: Any) -> Any:
    """Class indices without the last axis of size 1 that they may have."""
    return target[..., 0] if target.ndim == y.ndim and target.shape[-1] == 1 else target


def _mean(formula: Formula) -> Callable[[Config], Formula]:
    """The mean of an elementwise formula over the last axis."""
    return lambda config: lambda m, target, y: m.mean(formula(m, target, y), axis=-1)


def _absolute_percentage(m: Any, target: Any, y: Any) -> Any:
    return 100 * m.abs((target - y) / m.maximum(m.abs(target), EPSILON))


def _squared_logarithmic(m: Any, target: Any, y: Any) -> Any:
    return m.square(m.log(m.maximum(y, EPSILON) + 1) - m.log(m.maximum(target, EPSILON) + 1))


def _log_cosh(m: Any, target: Any, y: Any) -> Any:
    error = y - target
    return error + m.activation("softplus")(-2 * error) - m.log(m.asarray(2, error.dtype) if m is TRACED else 2.0)


def _hinge(m: Any, target: Any, y: Any) -> Any:
    # Labels 0 and 1 are converted to -1 and 1.
    binary = m.all((target == 0) | (target == 1))
    return m.maximum(1 - m.where(binary, 2 * target - 1, target) * y, 0)


def _categorical_hinge(m: Any, target: Any, y: Any) -> Any:
    positive = m.sum(target * y, axis=-1)
    return m.maximum(m.max((1 - target) * y, axis=-1) - positive + 1, 0)


def _kl_divergence(m: Any, target: Any, y: Any) -> Any:
    target, y = _clip(m, target, 1), _clip(m, y, 1)
    return m.sum(target * m.log(target / y), axis=-1)


def _poisson(m: Any, target: Any, y: Any) -> Any:
    return y - target * m.log(y + EPSILON)


def _cosine_similarity(config: Config) -> Formula:
    config.get("axis", _last_axis, -1)

    def unit(m: Any, x: Any) -> Any:
        return x * m.minimum(1 / m.sqrt(m.sum(m.square(x), axis=-1, keepdims=True)), 1 / EPSILON)

    return lambda m, target, y: -m.sum(unit(m, target) * unit(m, y), axis=-1)


def _huber(config: Config) -> Formula:
    delta = config.get("delta", number, 1.0)

    def huber(m: Any, target: Any, y: Any) -> Any:
        error = m.abs(y - target)
        return m.where(m.real(error) <= delta, 0.5 * m.square(y - target), delta * error - 0.5 * delta**2)

    return _mean(huber)(config)


def _clip(m: Any, y: Any, upper: float = 1 - EPSILON) -> Any:
    return m.minimum(m.maximum(y, EPSILON), upper)


def _binary(m: Any, target: Any, y: Any, logits: bool = False) -> Any:
    if target.shape != y.shape:
        raise ValueError(f"target must have the shape of y, {y.shape}, got {target.shape}")
    if logits:
        return -target * m.activation("log_sigmoid")(y) - (1 - target) * m.activation("log_sigmoid")(-y)
    y = _clip(m, y)
    return -(target * m.log(y) + (1 - target) * m.log(1 - y))


def _logits_smoothing_axis(config: Config) -> tuple[bool, float, int]:
    return (
        config.get("from_logits", flag, False),
        config.get("label_smoothing", number, 0.0),
        config.get("axis", integer, -1),
    )


def _binary_crossentropy(config: Config) -> Formula:
    logits, smoothing, axis = _logits_smoothing_axis(config)

    def loss(m: Any, target: Any, y: Any) -> Any:
        return m.mean(_binary(m, target * (1 - smoothing) + 0.5 * smoothing, y, logits), axis=axis)

    return loss


def _binary_focal(config: Config) -> Formula:
    logits, smoothing, axis = _logits_smoothing_axis(config)
    alpha, gamma = read_numbers(config, alpha=0.25, gamma=2.0)
    balancing = config.get("apply_class_balancing", flag, False)

    def loss(m: Any, target: Any, y: Any) -> Any:
        target = target * (1 - smoothing) + 0.5 * smoothing
        y = m.activation("sigmoid")(y) if logits else y
        right = target * y + (1 - target) * (1 - y)
        focal = m.power(1 - right, gamma) * _binary(m, target, y)
        focal = (target * alpha + (1 - target) * (1 - alpha)) * focal if balancing else focal
        return m.mean(focal, axis=axis)

    return loss


def _along(m: Any, name: str, y: Any, axis: int) -> Any:
    """The activation `name` along an axis."""
    return m.moveaxis(m.activation(name)(m.moveaxis(y, axis, -1)), -1, axis)


def _probabilities(m: Any, y: Any, axis: int) -> Any:
    return _clip(m, y / m.sum(y, axis=axis, keepdims=True))


def _log_probabilities(m: Any, y: Any, logits: bool, axis: int = -1) -> Any:
    if logits:
        return _along(m, "log_softmax", y, axis)
    return m.log(_probabilities(m, y, axis))


def _smooth_labels(target: Any, y: Any, smoothing: float) -> Any:
    if target.shape != y.shape:
        raise ValueError(f"target must have a value for each class, shape {y.shape}, got {target.shape}")
    return target * (1 - smoothing) + smoothing / target.shape[-1] if smoothing else target


def _categorical(config: Config) -> Formula:
    logits, smoothing, axis = _logits_smoothing_axis(config)

    def loss(m: Any, target: Any, y: Any) -> Any:
        return -m.sum(_smooth_labels(target, y, smoothing) * _log_probabilities(m, y, logits, axis), axis=axis)

    return loss


def _categorical_focal(config: Config) -> Formula:
    logits, smoothing, axis = _logits_smoothing_axis(config)
    alpha, gamma = read_numbers(config, alpha=0.25, gamma=2.0)

    def loss(m: Any, target: Any, y: Any) -> Any:
        y = _along(m, "softmax", y, axis) if logits else y
        output = _probabilities(m, y, axis)
        losses = -_smooth_labels(target, y, smoothing) * m.log(output)
        return m.sum(alpha * m.power(1 - output, gamma) * losses, axis=axis)

    return loss


def _sparse_categorical(config: Config) -> Formula:
    logits = config.get("from_logits", flag, False)
    config.get("axis", _last_axis, -1)

    def loss(m: Any, target: Any, y: Any) -> Any:
        target = _class_indices(target, y)
        if target.shape != y.shape[:-1]:
            raise ValueError(f"target must be class indices of shape {y.shape[:-1]}, got {target.shape}")
        classes = m.where(target[..., None].astype(int) == m.arange(y.shape[-1]), 1.0, 0.0)
        return -m.sum(classes * _log_probabilities(m, y, logits), axis=-1)

    return loss


def _last_axis(value: Any) -> int:
    if integer(value) != -1:
        raise ValueError("must be -1")
    return value


def _axes(config: Config) -> Any:
    return config.get("axis", optional(one_or_more_integers), None)


def _dice(config: Config) -> Formula:
    axis = _axes(config)

    def loss(m: Any, target: Any, y: Any) -> Any:
        sums = m.sum(target, axis=axis) + m.sum(y, axis=axis)
        return 1 - 2 * m.sum(target * y, axis=axis) / (sums + EPSILON)

    return loss


def _tversky(config: Config) -> Formula:
    axis, (alpha, beta) = _axes(config), read_numbers(config, alpha=0.5, beta=0.5)

    def loss(m: Any, target: Any, y: Any) -> Any:
        both = m.sum(target * y, axis=axis)
        missed, wrong = m.sum((1 - y) * target, axis=axis), m.sum(y * (1 - target), axis=axis)
        return 1 - both / (both + missed * alpha + wrong * beta + EPSILON)

    return loss


LOSSES: dict[str, Callable[[Config], Formula]] = {
    "MeanSquaredError": _mean(lambda m, target, y: m.square(target - y)),
    "MeanAbsoluteError": _mean(lambda m, target, y: m.abs(target - y)),
    "MeanAbsolutePercentageError": _mean(_absolute_percentage),
    "MeanSquaredLogarithmicError": _mean(_squared_logarithmic),
    "CosineSimilarity": _cosine_similarity,
    "Huber": _huber,
    "LogCosh": _mean(_log_cosh),
    "Hinge": _mean(_hinge),
    "SquaredHinge": _mean(lambda m, target, y: m.square(_hinge(m, target, y))),
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
SHORT_NAMES = {
    "mse": "MeanSquaredError",
    "mae": "MeanAbsoluteError",
    "mape": "MeanAbsolutePercentageError",
    "msle": "MeanSquaredLogarithmicError",
    "bce": "BinaryCrossentropy",
    "kld": "KLDivergence",
}
LOSSES |= {short: LOSSES[name] for short, name in SHORT_NAMES.items()}
