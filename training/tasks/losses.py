"""Losses and scores in JAX; losses also in NumPy, for the gradient proof.

All are means over samples: the rows of (n, channels) or the positions of (n, length, channels). With `lengths` (n,) or
`segment_ids` (n, length), as `jconv.conv1d` takes and returns them, padding is left out of outputs and targets; a mean
over no samples is 0.

The NumPy functions take complex arrays whose imaginary part is the infinitesimal of a complex step: they compare real
parts and take no absolute values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jconv import ragged

from ..arrays import Array
from ..data.datasets import sample_mask


def cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    *,
    smoothing: float = 0.0,
    weights: Array | None = None,
    lengths: Any = None,
    segment_ids: Any = None,
) -> jax.Array:
    """Mean cross-entropy of softmax(logits) (..., classes) against class numbers (...,); a scalar.

    The softmax is part of the loss, so small probabilities stay accurate. With `smoothing` e the target is 1 - e
    for the label's class plus e / classes for each class (Szegedy et al., Rethinking the Inception Architecture for
    Computer Vision, CVPR 2016). With `weights` (classes,) each sample's loss is multiplied by the weight of its
    label before the mean is taken.

    >>> round(float(cross_entropy(jnp.zeros((3, 2)), jnp.array([0, 1, 1]))), 4)
    0.6931
    >>> y = jnp.array([[2.0, 0.0]])
    >>> [round(float(cross_entropy(y, jnp.array([0]), smoothing=e)), 4) for e in (0.0, 0.1)]
    [0.1269, 0.2269]
    """

    def log_probabilities(logits: jax.Array, labels: jax.Array) -> jax.Array:
        return _label_log_probabilities(jax.nn.log_softmax(logits), labels, smoothing, weights)

    return -_mean_of(log_probabilities, logits, labels, lengths, segment_ids)


def cross_entropy_reference(
    logits: Array, labels: Array, *, smoothing: float = 0.0, weights: Array | None = None, **extent: Any
) -> Any:
    """`cross_entropy` in NumPy, float64 or complex128."""
    logits, labels = _samples(logits, **extent), _samples(labels, **extent)
    shifted = logits - logits.real.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -_expected_log_probability(shifted - log_sum, labels, smoothing, weights)


# Keras clips probabilities this far from 0 and 1.
EPSILON = 1e-7


def probability_cross_entropy(
    output: jax.Array,
    labels: jax.Array,
    *,
    smoothing: float = 0.0,
    weights: Array | None = None,
    lengths: Any = None,
    segment_ids: Any = None,
) -> jax.Array:
    """Mean cross-entropy of probabilities (..., classes) against class numbers (...,), as in Keras; a scalar.

    `smoothing` and `weights` mean the same as in `cross_entropy`.

    >>> round(float(probability_cross_entropy(jnp.full((3, 2), 0.5), jnp.array([0, 1, 1]))), 4)
    0.6931
    """

    def log_probabilities(output: jax.Array, labels: jax.Array) -> jax.Array:
        probabilities = jnp.clip(output / output.sum(axis=-1, keepdims=True), EPSILON, 1 - EPSILON)
        return _label_log_probabilities(jnp.log(probabilities), labels, smoothing, weights)

    # Padding becomes ones, since zeros cannot be normalized.
    return -_mean_of(log_probabilities, output, labels, lengths, segment_ids, fill=1)


def probability_cross_entropy_reference(
    output: Array, labels: Array, *, smoothing: float = 0.0, weights: Array | None = None, **extent: Any
) -> Any:
    """`probability_cross_entropy` in NumPy, float64 or complex128."""
    output, labels = _samples(output, **extent), _samples(labels, **extent)
    probabilities: Any = output / output.sum(axis=-1, keepdims=True)
    probabilities = np.where(probabilities.real < EPSILON, EPSILON, probabilities)
    probabilities = np.where(probabilities.real > 1 - EPSILON, 1 - EPSILON, probabilities)
    return -_expected_log_probability(np.log(probabilities), labels, smoothing, weights)


def _label_log_probabilities(logs: jax.Array, labels: jax.Array, smoothing: float, weights: Array | None) -> jax.Array:
    """The log-probabilities (..., 1) of the labels (...,), smoothed and weighted, from `logs` (..., classes)."""
    chosen = jnp.take_along_axis(logs, labels[..., None], axis=-1)
    if smoothing:
        chosen = (1 - smoothing) * chosen + smoothing * logs.mean(axis=-1, keepdims=True)
    return chosen if weights is None else chosen * jnp.asarray(weights, logs.dtype)[labels][..., None]


def _expected_log_probability(logs: Array, labels: Array, smoothing: float, weights: Array | None) -> Any:
    """The mean over samples of the log-probabilities (..., classes), weighted by the smoothed targets."""
    classes = logs.shape[-1]
    targets = (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes
    sample_weights = np.ones(labels.shape) if weights is None else weights[labels]
    return (sample_weights * (targets * logs).sum(axis=-1)).mean()


def squared_error(output: jax.Array, target: jax.Array, *, lengths: Any = None, segment_ids: Any = None) -> jax.Array:
    """Mean squared error over all axes; a scalar.

    >>> float(squared_error(jnp.array([[[1.0], [3.0], [jnp.nan]]]), jnp.zeros((1, 3, 1)), lengths=[2]))
    5.0
    """
    return _mean_of(lambda output, target: jnp.square(output - target), output, target, lengths, segment_ids)


def squared_error_reference(output: Array, target: Array, **extent: Any) -> Any:
    """`squared_error` in NumPy, float64 or complex128."""
    return ((_samples(output, **extent) - _samples(target, **extent)) ** 2).mean()


def absolute_error_reference(output: Array, target: Array, **extent: Any) -> Any:
    """`absolute_error` in NumPy, float64 or complex128."""
    error: Any = _samples(output, **extent) - _samples(target, **extent)
    return np.where(error.real < 0, -error, error).mean()


class LossPair(NamedTuple):
    """A loss in JAX and in NumPy; `takes_classes` says whether its targets are class numbers."""

    loss: Callable[..., jax.Array]
    reference: Callable[..., Any]
    takes_classes: bool


def accuracy(logits: jax.Array, labels: jax.Array, *, lengths: Any = None, segment_ids: Any = None) -> jax.Array:
    """The fraction of samples whose label has the largest logit; a scalar."""
    sequences = ragged.make_sequences(logits.shape[:-1], lengths, segment_ids)
    hits = logits.argmax(axis=-1) == labels
    return _mean(_mask_padding(hits, sequences).astype(logits.dtype)[..., None], sequences)


def absolute_error(output: jax.Array, target: jax.Array, *, lengths: Any = None, segment_ids: Any = None) -> jax.Array:
    """Mean absolute error over all axes; a scalar."""
    return _mean_of(lambda output, target: jnp.abs(output - target), output, target, lengths, segment_ids)


def _mean_of(
    function: Callable[[jax.Array, jax.Array], jax.Array],
    output: jax.Array,
    target: jax.Array,
    lengths: Any,
    segment_ids: Any,
    fill: int = 0,
) -> jax.Array:
    """The mean of a function of outputs and targets, whose padding becomes `fill` and 0."""
    sequences = ragged.make_sequences(output.shape[:-1], lengths, segment_ids)
    return _mean(function(_mask_padding(output, sequences, fill), _mask_padding(target, sequences)), sequences)


def _mask_padding(array: jax.Array, sequences: ragged.Sequences | None, fill: int = 0) -> jax.Array:
    """`array` with padding replaced by `fill`, before any computation, so that no derivative becomes NaN."""
    return array if sequences is None else sequences.replace_padding(array, fill)


def _mean(values: jax.Array, sequences: ragged.Sequences | None) -> jax.Array:
    """The mean of values (..., length, channels) without padding."""
    if sequences is None:
        return values.mean()
    samples = sequences.valid(values.shape[-2]).sum()
    return sequences.replace_padding(values).sum() / jnp.maximum(samples * values.shape[-1], 1).astype(values.dtype)


def _samples(array: Array, lengths: Any = None, segment_ids: Any = None) -> Array:
    """The samples without padding, in one array; `array` itself without `lengths` and `segment_ids`."""
    if segment_ids is not None:
        return array[np.asarray(segment_ids) >= 0]
    return array if lengths is None else array[sample_mask(array, np.asarray(lengths))]


LOSSES: dict[str, LossPair] = {
    "cross-entropy": LossPair(cross_entropy, cross_entropy_reference, True),
    "squared-error": LossPair(squared_error, squared_error_reference, False),
    "absolute-error": LossPair(absolute_error, absolute_error_reference, False),
}
