"""Short correlations with few multiplications (Toom-Cook, Winograd), with interpolation points on the unit circle.

A correlation with `taps` taps and `outputs` outputs is the transpose of a product of two polynomials. It is computed
by evaluating both operands at `outputs + taps - 1` points, multiplying the values at each point, and interpolating.
Each of these three linear maps is a matrix. (Winograd, Arithmetic Complexity of Computations, 1980; Blahut, Fast
Algorithms for Signal Processing, 2010, chapter 5.)

The points are 1, -1, further roots of unity in conjugate pairs, infinity and, if the total number is even, zero.
The powers of these points all have the same size, so the rounding error is only 1.3 to 1.5 times the error of a plain
sum. The usual points, small integers and halves, take one multiplication each, but their powers differ in size, and the
error is up to 4.5 times the error of a plain sum. A conjugate pair takes three real multiplications (Gauss). So 4
outputs with 3 taps take 7 multiplications instead of 12, and 6 outputs with 5 taps take 13 instead of 30.
"""

from __future__ import annotations

import cmath
import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

Matrix = tuple[tuple[float, ...], ...]
Row = np.ndarray[Any, Any]


class Matrices(NamedTuple):
    """Matrices with one row per multiplication `p`, such that

    `sum_k x[j + k] * w[k] = sum_p result[p][j] * (sum_i samples[p][i] * x[i]) * (sum_k kernel[p][k] * w[k])`.
    """

    samples: Matrix
    kernel: Matrix
    result: Matrix


@cache
def matrices(outputs: int, taps: int) -> Matrices:
    """Returns the matrices for a number of outputs and taps.

    >>> samples, kernel, result = matrices(2, 2)
    >>> samples
    ((1.0, 1.0, 0.0), (-1.0, 1.0, 0.0), (-1.0, 0.0, 1.0))
    >>> kernel
    ((0.5, 0.5), (-0.5, 0.5), (0.0, 1.0))
    >>> len(matrices(4, 3).samples), len(matrices(6, 5).samples)
    (7, 13)
    """
    points = _points(outputs + taps - 1)
    rows: list[tuple[Row, Row, Row]] = []
    for number, point in enumerate(points):
        if point.imag < 0:
            continue  # The conjugate point adds the rows for both.
        others = points[:number] + points[number + 1 :]
        # A Lagrange polynomial: zero at all other points. The kernel is divided by its value at this point.
        samples = np.append(_polynomial_with_roots(others), 0)
        kernel = point ** np.arange(taps) / np.prod(point - np.array(others))
        rows += _matrix_rows(samples, kernel, point ** np.arange(outputs), pair=point.imag > 0)
    # The value of a polynomial at infinity is its leading coefficient.
    rows.append((_polynomial_with_roots(points).real, np.eye(taps)[-1], np.eye(outputs)[-1]))
    samples, kernel, result = (tuple(tuple(map(float, row)) for row in matrix) for matrix in zip(*rows, strict=True))
    return Matrices(samples, kernel, result)


def _points(count: int) -> list[complex]:
    """Returns all points but infinity: the roots of unity of an even order, and zero if `count` is even."""
    order = (count - 1) // 2 * 2
    upper = [cmath.exp(2j * math.pi * i / order) for i in range(1, order // 2)]
    real = [1.0 + 0j, -1.0 + 0j] if order else []
    zero = [0j] if count - 1 > order else []
    return [*zero, *real, *upper, *(root.conjugate() for root in upper)]


def _polynomial_with_roots(roots: list[complex]) -> Row:
    """Returns the coefficients of the product of all `t - root`, the constant first."""
    return np.atleast_1d(np.poly(roots))[::-1]


def _matrix_rows(samples: Row, kernel: Row, result: Row, *, pair: bool) -> list[tuple[Row, Row, Row]]:
    """Returns the row for a real point, or the three rows for a complex point and its conjugate (`pair`)."""
    if not pair:
        return [(samples.real, kernel.real, result.real)]
    # The two points add 2 Re(r k s), where r, k and s are the values of the result, the kernel and the samples.
    kernel = 2 * kernel
    return [
        (samples.real - samples.imag, kernel.real, result.real + result.imag),
        (-samples.imag, kernel.imag - kernel.real, result.real),
        (-samples.real, kernel.real + kernel.imag, result.imag),
    ]
