"""The smallest network that is one: two convolutions."""

from __future__ import annotations

from jconv import Model, layers, sequential


def two_layer() -> Model:
    """Two convolutions whose windows touch and do not overlap: (n, 100, channels) to (n, 9, 16) to (n, 1, 16).

    There is no activation between them, so the whole is a linear map of 100 samples to 16 numbers.

    >>> two_layer().output_shapes((100, 1))
    {'conv1d': (9, 16), 'conv1d_1': (1, 16)}
    """
    return sequential([layers.Conv1D(16, 12, stride=12, padding="same") for _ in range(2)])
