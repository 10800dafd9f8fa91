"""The expected results of the programs of a row, by the NumPy reference, and the check of actual results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import jconv

from ..shared.results import deviation
from .rows import Array, Operands, Row

TOLERANCE = 1e-5
"""The tolerance relative to the largest value."""

MOST_TAPS = 2**24
"""The most elements of the windows of one example. If there are more, only some of the groups are checked, at equal
distances. The reference takes a fraction of a second for this many."""


class Operations(NamedTuple):
    """Output and both gradients, or the part of each that is compared."""

    y: Array
    x_bar: Array
    kernel_bar: Array


def expected(row: Row, o: Operands) -> Operations:
    """The three operations of a row in float64, on the groups that are checked."""
    if row.ensemble == 1:
        return _one_model(row, *(part(row, a) for a in o))
    kernels = [o.kernel] * row.ensemble if row.shared_kernel else o.kernel
    models = [_one_model(row, *(part(row, a) for a in one)) for one in zip(o.x, kernels, o.y_bar, strict=True)]
    return Operations(*(np.stack(operation) for operation in zip(*models, strict=True)))


def checked_groups(row: Row) -> Array:
    """The groups whose channels are compared with the reference."""
    taps = row.out_length * row.kernel_size * (row.in_channels // row.groups)
    return np.unique(np.linspace(0, row.groups - 1, max(1, min(row.groups, MOST_TAPS // taps))).astype(int))


def part(row: Row, array: Array) -> Array:
    """The channels of the checked groups; the last axis of x, kernel and y is divided into groups."""
    groups = checked_groups(row)
    if len(groups) == row.groups:
        return array
    split = array.reshape(*array.shape[:-1], row.groups, -1)[..., groups, :]
    return split.reshape(*array.shape[:-1], -1)


def _one_model(row: Row, x: Array, kernel: Array, y_bar: Array) -> Operations:
    """One example after the other, to save memory; the kernel's gradient is the sum over the examples."""
    examples = [_example(row, one, kernel, bar) for one, bar in zip(x, y_bar, strict=True)]
    y, x_bar, kernel_bar = (np.stack(operation) for operation in zip(*examples, strict=True))
    return Operations(y, x_bar, kernel_bar.sum(axis=0))


def _example(row: Row, x: Array, kernel: Array, y_bar: Array) -> Operations:
    params = {"kernel": kernel}
    if row.transposed:
        # The transposed convolution is the input gradient of one, and its own gradients are the other two operations.
        y = jconv.reference.conv1d_transpose(params, x, **row.geometry, padding="valid")
        x_bar = jconv.reference.conv1d(params, y_bar, **row.geometry)
        params_bar, _ = jconv.reference.conv1d_vjp(params, y_bar, x, **row.geometry)
        return Operations(y, x_bar, params_bar["kernel"])
    options: dict[str, Any] = {**row.geometry, "groups": len(checked_groups(row)), "padding": row.amounts}
    params_bar, x_bar = jconv.reference.conv1d_vjp(params, x, y_bar, **options)
    return Operations(jconv.reference.conv1d(params, x, **options), x_bar, params_bar["kernel"])


def check(actual: Sequence[Any], wanted: Sequence[Any], what: str, tolerance: float = TOLERANCE) -> None:
    """Raise `ArithmeticError`, whose message has `what`, unless the arrays are equal within the tolerance."""
    for got, want in zip(actual, wanted, strict=True):
        if got.shape != want.shape:
            raise ArithmeticError(f"{what}: shape {got.shape} where the reference has {want.shape}")
        off = deviation(got, want)
        if not off < tolerance:
            raise ArithmeticError(f"{what}: off by {off:.1e} of the largest value")
