"""The smallest network that is one: two convolutions."""

from __future__ import annotations

from jconv import Model, layers, sequential


def two_layer(outputs: int = 16, shape: tuple[int, int] = (100, 1)) -> Model:
    """Two convolutions whose windows touch and do not overlap: (n, 100, channels) to (n, 9, 16) to (n, 1, outputs).

    There is no activation between them, so the whole is a linear map of 100 samples to 16 numbers. Up to 144 samples
    end in one.

    >>> two_layer().output_shapes((100, 1))
    {'conv1d': (9, 16), 'conv1d_1': (1, 16)}
    """
    return sequential([layers.Conv1D(filters, 12, stride=12, padding="same") for filters in (16, outputs)])
