"""What is minimized, and what is counted, each in JAX; the losses also in NumPy for the gradient proof.

All are means over samples: the rows of (n, channels) or the positions of (n, length, channels). With `lengths` (n,) or
`segment_ids` (n, length), as `jconv.conv1d` takes and returns them, only those that are samples count, whatever the
padding holds in outputs and targets; a mean over none is 0.

The NumPy ones take complex arrays whose imaginary part is the infinitesimal of a complex step: they choose by real
parts and take no modulus.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jconv import ragged

Array = np.ndarray[Any, Any]


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

    The softmax is in here and not in the network, so that small probabilities keep their logarithm. With `smoothing` e
    a label is 1 - e of its class and e / classes of each (Szegedy et al., Rethinking the Inception Architecture for
    Computer Vision, CVPR 2016). With `weights` (classes,) each sample's loss is multiplied by the weight of its
    label's class before the mean is taken.

    >>> round(float(cross_entropy(jnp.zeros((3, 2)), jnp.array([0, 1, 1]))), 4)
    0.6931
    >>> y = jnp.array([[2.0, 0.0]])
    >>> [round(float(cross_entropy(y, jnp.array([0]), smoothing=e)), 4) for e in (0.0, 0.1)]
    [0.1269, 0.2269]
    """
    places = ragged.of(logits.shape[:-1], lengths, segment_ids)
    logits, labels = _cleared(logits, places), _cleared(labels, places)
    return -_mean(_chosen(jax.nn.log_softmax(logits), labels, smoothing, weights), places)


def cross_entropy_reference(
    logits: Array,
    labels: Array,
    *,
    smoothing: float = 0.0,
    weights: Array | None = None,
    lengths: Any = None,
    segment_ids: Any = None,
) -> Any:
    """`cross_entropy` in NumPy, float64 or complex128."""
    logits, labels = (_samples(a, lengths, segment_ids) for a in (logits, labels))
    shifted = logits - logits.real.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return -_expected(shifted - log_sum, labels, smoothing, weights)


# Keras's: probabilities are kept this far from 0 and 1.
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
    """Mean cross-entropy of probabilities (..., classes) against class numbers (...,), as Keras has it; a scalar.

    `smoothing` and `weights` are those of `cross_entropy`.

    >>> round(float(probability_cross_entropy(jnp.full((3, 2), 0.5), jnp.array([0, 1, 1]))), 4)
    0.6931
    """
    places = ragged.of(output.shape[:-1], lengths, segment_ids)
    # Ones, since zeros have no shares.
    output, labels = _cleared(output, places, 1), _cleared(labels, places)
    shares = jnp.clip(output / output.sum(axis=-1, keepdims=True), EPSILON, 1 - EPSILON)
    return -_mean(_chosen(jnp.log(shares), labels, smoothing, weights), places)


def probability_cross_entropy_reference(
    output: Array,
    labels: Array,
    *,
    smoothing: float = 0.0,
    weights: Array | None = None,
    lengths: Any = None,
    segment_ids: Any = None,
) -> Any:
    """`probability_cross_entropy` in NumPy, float64 or complex128."""
    output, labels = (_samples(a, lengths, segment_ids) for a in (output, labels))
    shares: Any = output / output.sum(axis=-1, keepdims=True)
    shares = np.where(shares.real < EPSILON, EPSILON, np.where(shares.real > 1 - EPSILON, 1 - EPSILON, shares))
    return -_expected(np.log(shares), labels, smoothing, weights)


def _chosen(logs: jax.Array, labels: jax.Array, smoothing: float, weights: Array | None) -> jax.Array:
    """Of logarithms (..., classes) those of the labels (...,), smoothed and weighted, (..., 1)."""
    chosen = jnp.take_along_axis(logs, labels[..., None], axis=-1)
    if smoothing:
        chosen = (1 - smoothing) * chosen + smoothing * logs.mean(axis=-1, keepdims=True)
    return chosen if weights is None else chosen * jnp.asarray(weights, logs.dtype)[labels][..., None]


def _expected(logs: Array, labels: Array, smoothing: float, weights: Array | None) -> Any:
    """The mean over samples of the logarithms (..., classes), each weighted by what the label says of its class."""
    classes = logs.shape[-1]
    targets = (1 - smoothing) * np.eye(classes)[labels] + smoothing / classes
    by_sample = np.ones(labels.shape) if weights is None else weights[labels]
    return (by_sample * (targets * logs).sum(axis=-1)).mean()


def squared_error(output: jax.Array, target: jax.Array, *, lengths: Any = None, segment_ids: Any = None) -> jax.Array:
    """Mean squared error over all axes; a scalar.

    >>> float(squared_error(jnp.array([[[1.0], [3.0], [jnp.nan]]]), jnp.zeros((1, 3, 1)), lengths=[2]))
    5.0
    """
    places = ragged.of(output.shape[:-1], lengths, segment_ids)
    return _mean(jnp.square(_cleared(output, places) - _cleared(target, places)), places)


def squared_error_reference(output: Array, target: Array, *, lengths: Any = None, segment_ids: Any = None) -> Any:
    """`squared_error` in NumPy, float64 or complex128."""
    output, target = (_samples(a, lengths, segment_ids) for a in (output, target))
    return ((output - target) ** 2).mean()


def absolute_error_reference(output: Array, target: Array, *, lengths: Any = None, segment_ids: Any = None) -> Any:
    """`absolute_error` in NumPy, float64 or complex128."""
    output, target = (_samples(a, lengths, segment_ids) for a in (output, target))
    error: Any = output - target
    return np.where(error.real < 0, -error, error).mean()


class Named(NamedTuple):
    """A loss in JAX and in NumPy, and whether its targets are class numbers."""

    loss: Callable[..., jax.Array]
    reference: Callable[..., Any]
    of_classes: bool


def accuracy(logits: jax.Array, labels: jax.Array, *, lengths: Any = None, segment_ids: Any = None) -> jax.Array:
    """The share of samples whose largest logit is that of the label; a scalar."""
    places = ragged.of(logits.shape[:-1], lengths, segment_ids)
    hits = logits.argmax(axis=-1) == labels
    return _mean(_cleared(hits, places).astype(logits.dtype)[..., None], places)


def absolute_error(output: jax.Array, target: jax.Array, *, lengths: Any = None, segment_ids: Any = None) -> jax.Array:
    """Mean absolute error over all axes; a scalar."""
    places = ragged.of(output.shape[:-1], lengths, segment_ids)
    return _mean(jnp.abs(_cleared(output, places) - _cleared(target, places)), places)


def _cleared(array: jax.Array, places: ragged.Sequences | None, fill: int = 0) -> jax.Array:
    """`array` with `fill` where no sample is: before anything is computed, so that no derivative meets a NaN."""
    return array if places is None else places.only(array, fill)


def _mean(values: jax.Array, places: ragged.Sequences | None) -> jax.Array:
    """The mean of the values (..., length, channels) of all samples."""
    if places is None:
        return values.mean()
    samples = places.valid(values.shape[-2]).sum()
    return places.only(values).sum() / jnp.maximum(samples * values.shape[-1], 1).astype(values.dtype)


def _samples(array: Array, lengths: Any, segment_ids: Any) -> Array:
    """The samples alone, one after the other; all of `array` where neither is given."""
    if lengths is None and segment_ids is None:
        return array
    if lengths is None:
        return array[np.asarray(segment_ids) >= 0]
    return np.concatenate([row[:n] for row, n in zip(array, lengths, strict=True)])


LOSSES: dict[str, Named] = {
    "cross-entropy": Named(cross_entropy, cross_entropy_reference, True),
    "squared-error": Named(squared_error, squared_error_reference, False),
    "absolute-error": Named(absolute_error, absolute_error_reference, False),
}
