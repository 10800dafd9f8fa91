"""The network of `python -m benchmarks.training`: its sizes, initial params and series, for all sides.

Uses only NumPy, so that each process imports no library but its own. The network is Wang, Yan and Oates's (2017), as in
`training/networks/fcn.py`; the series have the same shape as GunPoint's.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]

LENGTH, CHANNELS, CLASSES = 150, 1, 2
BLOCKS = ((128, 8), (256, 5), (128, 3))
"""Filters and kernel size of each block."""
BATCHES = 10
"""Steps per epoch; with batches of 5 these are GunPoint's 50 series."""
LEARNING_RATE, ADAM_EPSILON = 1e-3, 1e-8
NORM_EPSILON, NORM_MOMENTUM = 1e-3, 0.99


class Trainer(Protocol):
    """Base class of the sides: the network with the initial params."""

    version: str
    """The names and versions of the libraries."""

    def losses(self) -> list[float]:
        """Take one step on the first batch. Returns the loss of this batch before and after it."""
        ...

    def run(self, epochs: int) -> None:
        """Train for `epochs` epochs of `BATCHES` steps, and wait for the last."""
        ...


def series(batch_size: int) -> tuple[Array, Array]:
    """`BATCHES` batches of series (n, length, channels) float32, standardized, and their classes (n,) int32."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCHES * batch_size, LENGTH, CHANNELS)).cumsum(axis=1)
    x = (x - x.mean()) / x.std()
    return x.astype(np.float32), (np.arange(len(x)) % CLASSES).astype(np.int32)


def initial_params() -> dict[str, dict[str, Array]]:
    """Params with Keras's distribution and layout, by layer, with jconv's names."""
    rng = np.random.default_rng(1)
    params, in_channels = {}, CHANNELS
    for block, (filters, kernel_size) in enumerate(BLOCKS):
        suffix = f"_{block}" if block else ""
        kernel = _glorot(rng, kernel_size, in_channels, filters)
        params[f"conv1d{suffix}"] = {"kernel": kernel, "bias": np.zeros(filters, np.float32)}
        ones, zeros = np.ones(filters, np.float32), np.zeros(filters, np.float32)
        params[f"batch_normalization{suffix}"] = {"gamma": ones, "beta": zeros}
        in_channels = filters
    params["dense"] = {"kernel": _glorot(rng, 1, in_channels, CLASSES)[0], "bias": np.zeros(CLASSES, np.float32)}
    return params


def _glorot(rng: np.random.Generator, kernel_size: int, in_channels: int, out_channels: int) -> Array:
    limit = np.sqrt(6 / (kernel_size * (in_channels + out_channels)))
    return rng.uniform(-limit, limit, (kernel_size, in_channels, out_channels)).astype(np.float32)
