"""Augmentations: random changes of series, each a pure function of a key and a batch.

They take `(key, x, strength, lengths=None)`: series x (n, length, channels) of floats, padded after `lengths` (n,)
samples if these differ. Each series is changed by its own random draw, and padding stays as it is. Shapes and types are
kept, and everything can be compiled. Jitter, scaling and time warp are from Um et al. (Data Augmentation of Wearable
Sensor Data for Parkinson's Disease Monitoring using Convolutional Neural Networks, ICMI 2017).

Augmentations in time return the times (n, length), in samples, at which `resample` reads each series and
`resample_labels` the labels of its samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .datasets import sample_mask

# The number of cosines in the logarithm of a time warp's speed.
COSINES = 4


def jitter(key: jax.Array, x: jax.Array, strength: float, lengths: Any = None) -> jax.Array:
    """Add normal noise of standard deviation `strength` to each sample.

    >>> x = jnp.zeros((1, 4000, 1))
    >>> round(float(jitter(jax.random.key(0), x, 0.5).std()), 1)
    0.5
    """
    return _keep_padding(x + strength * jax.random.normal(key, x.shape, x.dtype), x, lengths)


def scaling(key: jax.Array, x: jax.Array, strength: float, lengths: Any = None) -> jax.Array:
    """Multiply each channel of each series by a normal factor of mean 1 and standard deviation `strength`.

    >>> x = jnp.ones((4000, 3, 1))
    >>> y = scaling(jax.random.key(0), x, 0.2)
    >>> round(float(y.std()), 1), bool((y[:, 0] == y[:, 1]).all())
    (0.2, True)
    """
    factors = 1 + strength * jax.random.normal(key, (x.shape[0], 1, x.shape[2]), x.dtype)
    return _keep_padding(x * factors, x, lengths)


def slice_times(key: jax.Array, x: jax.Array, share: float, lengths: Any = None) -> jax.Array:
    """The times of a random window of each series, `share` times its length, stretched to the length of the series.

    (Le Guennec, Malinowski and Tavenard, Data Augmentation for Time Series Classification using Convolutional Neural
    Networks, AALTD 2016, who do not stretch the windows, since their network accepts any length.)

    >>> times = slice_times(jax.random.key(0), jnp.zeros((1, 9, 1)), 0.5)
    >>> round(float(times[0, -1] - times[0, 0]), 4)
    4.0
    """
    last = _last(x, lengths)
    begin = (1 - share) * last * jax.random.uniform(key, last.shape, x.dtype)
    return begin + share * jnp.arange(x.shape[1], dtype=x.dtype)


def warp_times(key: jax.Array, x: jax.Array, strength: float, lengths: Any = None) -> jax.Array:
    """The times of a series whose speed varies.

    The logarithm of the speed is a smooth curve of standard deviation `strength`. The first and the last sample keep
    their places, and all samples their order. The curve is a sum of four cosines with normal factors, where Um et al.
    use a spline through normal knots, in which time may run backwards.

    >>> times = warp_times(jax.random.key(0), jnp.zeros((1, 9, 1)), 0.5)[0]
    >>> bool((jnp.diff(times) > 0).all()), float(times[0]), round(float(times[-1]), 4)
    (True, 0.0, 8.0)
    """
    last = _last(x, lengths)
    at = jnp.arange(x.shape[1], dtype=x.dtype)
    factors = jax.random.normal(key, (COSINES, x.shape[0], 1), x.dtype)
    waves = jnp.arange(1, COSINES + 1, dtype=x.dtype).reshape(-1, 1, 1)
    curve = math.sqrt(2 / COSINES) * (factors * jnp.cos(jnp.pi * waves * at / jnp.maximum(last, 1))).sum(0)
    speed = jnp.exp(strength * curve)
    times = jnp.pad(jnp.cumsum((speed[:, 1:] + speed[:, :-1]) / 2, axis=1), ((0, 0), (1, 0)))
    end = jnp.take_along_axis(times, last.astype(int), axis=1)
    return times * (last / jnp.where(end > 0, end, 1))


def resample(x: jax.Array, times: jax.Array, lengths: Any = None) -> jax.Array:
    """Each series at other times (n, length), by linear interpolation."""
    last = _last(x, lengths)
    times = jnp.clip(times, 0, last)
    before = jnp.floor(times)
    after = jnp.minimum(before + 1, last)
    share = (times - before)[..., None]
    left, right = (jnp.take_along_axis(x, at.astype(int)[..., None], axis=1) for at in (before, after))
    return _keep_padding(left + share * (right - left), x, lengths)


def resample_labels(labels: jax.Array, times: jax.Array, lengths: Any = None) -> jax.Array:
    """The labels (n, length) of the samples that are nearest to other times (n, length)."""
    at = jnp.round(jnp.clip(times, 0, _last(labels, lengths))).astype(int)
    return _keep_padding(jnp.take_along_axis(labels, at, axis=1), labels, lengths)


VALUE_CHANGES: dict[str, Callable[..., jax.Array]] = {"jitter": jitter, "scaling": scaling}
TIME_CHANGES: dict[str, Callable[..., jax.Array]] = {"slice": slice_times, "warp": warp_times}
NAMES = (*TIME_CHANGES, *VALUE_CHANGES)


def parse(text: str) -> dict[str, float]:
    """The strengths by name of a text like `jitter=0.03,slice=0.9`. Raises `ValueError` for other text.

    >>> parse("warp=0.2,jitter=0.03")
    {'warp': 0.2, 'jitter': 0.03}
    """
    found: dict[str, float] = {}
    for word in text.split(","):
        name, _, number = word.partition("=")
        if name not in NAMES or name in found:
            raise ValueError(f"must be some of {', '.join(f'{one}=R' for one in NAMES)}, each once, got {word!r}")
        try:
            found[name] = float(number)
        except ValueError:
            found[name] = math.nan
        if not (0 < found[name] < 1 if name == "slice" else 0 < found[name] < math.inf):
            kind = "a share between zero and one" if name == "slice" else "a number above zero"
            raise ValueError(f"{name} must be {kind}, got {number!r}")
    return found


def _last(x: jax.Array, lengths: Any) -> jax.Array:
    """The index (n, 1) of the last sample of each series, as a float."""
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.float32
    if lengths is None:
        return jnp.full((x.shape[0], 1), x.shape[1] - 1, dtype)
    return (lengths[:, None] - 1).astype(dtype)


def _keep_padding(changed: jax.Array, x: jax.Array, lengths: Any) -> jax.Array:
    """`changed`, but `x` in the padding after each series."""
    if lengths is None:
        return changed
    inside = sample_mask(x, lengths)
    return jnp.where(inside.reshape(*inside.shape, *[1] * (x.ndim - 2)), changed, x)
