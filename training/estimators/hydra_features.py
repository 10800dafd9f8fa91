"""Hydra's features: which of the random kernels of a group responds most, and which least, summed over time.

A series and its first difference are convolved with groups of random kernels of nine taps, at dilations 1, 2, 4 and so
on. At each sample the kernels of a group compete: the kernel with the largest response is credited with that response,
the one with the smallest with 1. The features are the sums over the samples. (Dempster, Schmidt and Webb, Hydra:
competing convolutional kernels for fast and accurate time series classification, Data Mining and Knowledge Discovery
2023.)

Since they are sums over time, they can be computed chunk by chunk: `stream_init` and `stream_step`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jconv import conv1d, depthwise_conv1d, streaming

KERNEL_SIZE = 9
MOST_CHANNELS = 8
# The largest number of responses in a block of series. A block fits a core's cache; without blocks, computing the
# features takes three times as long.
BLOCK = 2**16


class Hydra(NamedTuple):
    """Random kernels (dilations, 2, taps, kernels, groups), for the series and the difference at each dilation.

    A group reads one channel, or a sum of channels, with the weights `mixing` (dilations, 2, channels, groups).
    """

    kernels: Any
    mixing: Any = None


class HydraStream(NamedTuple):
    """The features of the samples so far (batch, dilations, 2, 2, kernels, groups), and the streams of convolutions.

    `previous` is the last sample of each series, None before the first.
    """

    features: jax.Array
    convolutions: tuple[Any, ...]
    previous: jax.Array | None = None


def init_hydra(seed: int, length: int, channels: int, *, n_kernels: int = 8, n_groups: int = 64) -> Hydra:
    """Draw the kernels for series of that length and those channels.

    Each kernel is normal noise of mean zero whose absolute values sum to one. Half of the groups are for the series,
    half for its difference. With several channels, a group reads the sum of half of them, at least 2 and at most 8.

    >>> init_hydra(0, 150, 1).kernels.shape
    (5, 2, 9, 8, 32)
    """
    rng = np.random.default_rng(seed)
    groups = n_groups // 2
    dilations = 1 + max(0, int(np.log2(max(length - 1, 1) / (KERNEL_SIZE - 1))))
    kernels = rng.standard_normal((dilations, 2, KERNEL_SIZE, n_kernels, groups))
    kernels -= kernels.mean(2, keepdims=True)
    kernels /= abs(kernels).sum(2, keepdims=True)
    if channels == 1:
        return Hydra(kernels.astype(np.float32))
    count = int(np.clip(channels // 2, 2, MOST_CHANNELS))
    chosen = rng.integers(channels, size=(dilations, 2, groups, count, 1))
    mixing = (chosen == np.arange(channels)).sum(3).swapaxes(2, 3)
    return Hydra(kernels.astype(np.float32), mixing.astype(np.float32))


def features(hydra: Hydra, x: Any, lengths: Any = None) -> jax.Array:
    """The features (n, features) of series x (n, length, channels), which are padded after `lengths` (n,) samples.

    >>> features(init_hydra(0, 150, 1), jnp.ones((3, 150, 1))).shape
    (3, 5120)
    """
    x = jnp.asarray(x, jnp.float32)
    kernels, groups = hydra.kernels.shape[3:]
    block = int(np.clip(BLOCK // (x.shape[1] * kernels * groups), 1, len(x)))
    lengths = None if lengths is None else jnp.asarray(lengths, jnp.int32)
    return _features(hydra, x, lengths, block)


@partial(jax.jit, static_argnums=3)
def _features(hydra: Hydra, x: Any, lengths: Any, block: int) -> jax.Array:
    count = len(x)
    turns = -(-count // block)
    rows = (jnp.arange(turns * block) % count).reshape(turns, block)
    blocks = jax.lax.map(lambda row: _of_series(hydra, x[row], None if lengths is None else lengths[row]), rows)
    return blocks.reshape(turns * block, -1)[:count]


def _of_series(hydra: Hydra, x: Any, lengths: Any) -> jax.Array:
    # Which samples (n, length, 1) of the series and of its difference are not padding.
    valid: Any = (None, None)
    if lengths is not None:
        valid = [(jnp.arange(x.shape[1] - less) < (lengths - less)[:, None])[..., None] for less in (0, 1)]
        x = jnp.where(valid[0], x, 0)
    both = [x, jnp.diff(x, axis=1)]
    if lengths is not None:
        both[1] = jnp.where(valid[1], both[1], 0)
    found = []
    for one in _convolutions(hydra):
        if not both[one.operand].shape[1]:
            # A single sample has no difference.
            found.append(jnp.zeros((len(x), 2, *hydra.kernels.shape[3:])))
            continue
        response = one.function(one.params, one.read(both), **one.options)
        found.append(_compete(hydra, response, valid[one.operand]))
    return jnp.stack(found, axis=1)


class _Convolution(NamedTuple):
    """A convolution with all kernels of a dilation, of the series (`operand` 0) or its difference (1).

    With `mixing` it reads sums of channels.
    """

    operand: int
    function: Any
    params: dict[str, Any]
    options: dict[str, Any]
    mixing: Any = None

    def read(self, both: Sequence[Any]) -> Any:
        series = both[self.operand]
        return series if self.mixing is None else series @ self.mixing


def _convolutions(hydra: Hydra) -> Iterator[_Convolution]:
    dilations, _, taps, kernels, groups = hydra.kernels.shape
    for number, operand in product(range(dilations), (0, 1)):
        kernel = hydra.kernels[number, operand].reshape(taps, 1, kernels * groups)
        options = {"padding": "same", "dilation": 2**number}
        if hydra.mixing is None:
            yield _Convolution(operand, conv1d, {"kernel": kernel}, options)
        else:
            mixing = jnp.tile(hydra.mixing[number, operand], (1, kernels))
            kernel = kernel.reshape(taps, kernels * groups, 1)
            yield _Convolution(operand, depthwise_conv1d, {"kernel": kernel}, options, mixing)


def _compete(hydra: Hydra, response: Any, valid: Any = None) -> jax.Array:
    """The features (n, 2, kernels, groups) of responses (n, samples, kernels * groups), summed over `valid` samples.

    Comparing one kernel after the other is many times faster than `argmax` on a CPU.
    """
    response = response.reshape(*response.shape[:2], *hydra.kernels.shape[3:])
    largest = smallest = response[:, :, 0]
    winner = loser = jnp.zeros(largest.shape, jnp.int32)
    for number in range(1, response.shape[2]):
        value = response[:, :, number]
        above, below = value > largest, value < smallest
        largest, winner = jnp.where(above, value, largest), jnp.where(above, number, winner)
        smallest, loser = jnp.where(below, value, smallest), jnp.where(below, number, loser)
    if valid is not None:
        # No kernel has this number.
        winner, loser = jnp.where(valid, winner, -1), jnp.where(valid, loser, -1)
    numbers = jnp.arange(response.shape[2])[:, None]
    won = jnp.where(winner[:, :, None] == numbers, largest[:, :, None], 0).sum(1)
    return jnp.stack([won, (loser[:, :, None] == numbers).sum(1, dtype=won.dtype)], axis=1)


def stream_init(hydra: Hydra, batch: int) -> HydraStream:
    """The stream of a batch of series before their first samples.

    >>> hydra = init_hydra(0, 150, 1)
    >>> stream = stream_init(hydra, 3)
    >>> for chunk in jnp.split(jnp.ones((3, 150, 1)), 3, axis=1):
    ...     stream = stream_step(hydra, stream, chunk)
    >>> stream_step(hydra, stream, jnp.zeros((3, 0, 1)), last=True).features.shape
    (3, 10, 2, 8, 32)
    """
    streams = tuple(
        streaming.init(one.params, (batch,), convolution=one.function, **one.options) for one in _convolutions(hydra)
    )
    return HydraStream(jnp.zeros((batch, len(streams), 2, *hydra.kernels.shape[3:])), streams)


def stream_step(hydra: Hydra, stream: HydraStream, chunk: Any, *, last: bool = False) -> HydraStream:
    """The stream after the next samples (batch, samples, channels); with `last` the series end with them.

    When the series have ended, the stream has the features of the complete series. Before, the samples whose windows
    are not complete yet are missing from them.
    """
    chunk = jnp.asarray(chunk, jnp.float32)
    known = chunk if stream.previous is None else jnp.concatenate([stream.previous, chunk], axis=1)
    both = chunk, jnp.diff(known, axis=1) if known.shape[1] else chunk
    found, convolutions = [], []
    for one, own in zip(_convolutions(hydra), stream.convolutions, strict=True):
        response, after = streaming.step(
            one.params, own, one.read(both), convolution=one.function, last=last, **one.options
        )
        convolutions.append(after)
        found.append(_compete(hydra, response))
    previous = known[:, -1:] if known.shape[1] else None
    return HydraStream(stream.features + jnp.stack(found, axis=1), tuple(convolutions), previous)
