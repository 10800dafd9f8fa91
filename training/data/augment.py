"""Augmentations: series like those that there are, each a pure function of a key and a batch.

Each takes `(key, x, strength, lengths=None)`: x (n, length, channels), float, and how many samples are each series's
own (n,), where not all are. It changes each series by a draw of its own, and nothing behind it. Shapes and types are
kept, and all can be compiled. Jitter, scaling and time warp are those of Um et al. (Data Augmentation of Wearable
Sensor Data for Parkinson's Disease Monitoring using Convolutional Neural Networks, ICMI 2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .datasets import sample_mask

# Of the curve that a time warp's speed follows.
COSINES = 4


def jitter(key: jax.Array, x: jax.Array, strength: float, lengths: Any = None) -> jax.Array:
    """Normal noise of that deviation on each sample.

    >>> x = jnp.zeros((1, 4000, 1))
    >>> round(float(jitter(jax.random.key(0), x, 0.5).std()), 1)
    0.5
    """
    return _only(x + strength * jax.random.normal(key, x.shape, x.dtype), x, lengths)


def scaling(key: jax.Array, x: jax.Array, strength: float, lengths: Any = None) -> jax.Array:
    """Each channel of each series times a normal number of mean 1 and that deviation.

    >>> x = jnp.ones((4000, 3, 1))
    >>> y = scaling(jax.random.key(0), x, 0.2)
    >>> round(float(y.std()), 1), bool((y[:, 0] == y[:, 1]).all())
    (0.2, True)
    """
    factors = 1 + strength * jax.random.normal(key, (x.shape[0], 1, x.shape[2]), x.dtype)
    return _only(x * factors, x, lengths)


def slicing(key: jax.Array, x: jax.Array, share: float, lengths: Any = None) -> jax.Array:
    """A window of that share of each series, anywhere in it, stretched to the series's length.

    (Le Guennec, Malinowski and Tavenard, Data Augmentation for Time Series Classification using Convolutional Neural
    Networks, AALTD 2016, whose slices are not stretched, since their network takes any length.)

    >>> x = jnp.arange(9.0).reshape(1, 9, 1)
    >>> y = slicing(jax.random.key(0), x, 0.5)
    >>> round(float(y[0, -1, 0] - y[0, 0, 0]), 4)
    4.0
    """
    return sampled(x, slice_times(key, x, share, lengths), lengths)


def warp(key: jax.Array, x: jax.Array, strength: float, lengths: Any = None) -> jax.Array:
    """Time runs faster and slower in each series: the logarithm of its speed is a smooth curve of that deviation.

    First and last samples stay where they are, and the order of all. The curve is a sum of four cosines with normal
    factors, where Um et al. have a spline through normal knots, which may run backwards.

    >>> x = jnp.arange(9.0).reshape(1, 9, 1)
    >>> y = warp(jax.random.key(0), x, 0.5)
    >>> bool((jnp.diff(y[0, :, 0]) > 0).all()), float(y[0, 0, 0]), round(float(y[0, -1, 0]), 4)
    (True, 0.0, 8.0)
    """
    return sampled(x, warp_times(key, x, strength, lengths), lengths)


def slice_times(key: jax.Array, x: jax.Array, share: float, lengths: Any = None) -> jax.Array:
    """At what times (n, length), in samples, `slicing` reads each series."""
    last = _last(x, lengths)
    begin = (1 - share) * last * jax.random.uniform(key, last.shape, x.dtype)
    return begin + share * jnp.arange(x.shape[1], dtype=x.dtype)


def warp_times(key: jax.Array, x: jax.Array, strength: float, lengths: Any = None) -> jax.Array:
    """At what times (n, length), in samples, `warp` reads each series."""
    last = _last(x, lengths)
    at = jnp.arange(x.shape[1], dtype=x.dtype)
    factors = jax.random.normal(key, (COSINES, x.shape[0], 1), x.dtype)
    waves = jnp.arange(1, COSINES + 1, dtype=x.dtype).reshape(-1, 1, 1)
    curve = math.sqrt(2 / COSINES) * (factors * jnp.cos(jnp.pi * waves * at / jnp.maximum(last, 1))).sum(0)
    speed = jnp.exp(strength * curve)
    passed = jnp.cumsum((speed[:, 1:] + speed[:, :-1]) / 2, axis=1)
    passed = jnp.pad(passed, ((0, 0), (1, 0)))
    end = jnp.take_along_axis(passed, last.astype(int), axis=1)
    return passed * (last / jnp.where(end > 0, end, 1))


def sampled(x: jax.Array, times: jax.Array, lengths: Any = None) -> jax.Array:
    """Each series at other times (n, length), between two samples on the line through them."""
    last = _last(x, lengths)
    times = jnp.clip(times, 0, last)
    before = jnp.floor(times)
    after = jnp.minimum(before + 1, last)
    share = (times - before)[..., None]
    left, right = (jnp.take_along_axis(x, at.astype(int)[..., None], axis=1) for at in (before, after))
    return _only(left + share * (right - left), x, lengths)


def nearest(labels: jax.Array, times: jax.Array, lengths: Any = None) -> jax.Array:
    """The labels (n, length) of the samples that are nearest to other times."""
    at = jnp.round(jnp.clip(times, 0, _last(labels, lengths))).astype(int)
    return _only(jnp.take_along_axis(labels, at, axis=1), labels, lengths)


# By name; those that move samples in time as the times that they read, which labels of samples follow.
VALUES: dict[str, Callable[..., jax.Array]] = {"jitter": jitter, "scaling": scaling}
TIMES: dict[str, Callable[..., jax.Array]] = {"slice": slice_times, "warp": warp_times}
NAMES = (*TIMES, *VALUES)


def parse(text: str) -> dict[str, float]:
    """The strengths by name of `jitter=0.03,slice=0.9`. Raises `ValueError` for what is none.

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
    """The number (n, 1) of the last sample of each series, a float."""
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.float32
    if lengths is None:
        return jnp.full((x.shape[0], 1), x.shape[1] - 1, dtype)
    return (lengths[:, None] - 1).astype(dtype)


def _only(new: jax.Array, x: jax.Array, lengths: Any) -> jax.Array:
    """`new` in the samples of each series, `x` behind them."""
    if lengths is None:
        return new
    own = sample_mask(x, lengths)
    return jnp.where(own.reshape(*own.shape, *[1] * (x.ndim - 2)), new, x)
