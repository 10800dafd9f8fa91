"""A network of two convolutions."""

from __future__ import annotations

from jconv import Model, layers, sequential


def two_layer(outputs: int = 16, shape: tuple[int, int] = (100, 1)) -> Model:
    """Two convolutions of kernel size and stride 12: (n, 100, channels) to (n, 9, 16) to (n, 1, outputs).

    Without an activation between them they are a linear map. Series of up to 144 samples give one output sample.

    >>> two_layer().output_shapes((100, 1))
    {'conv1d': (9, 16), 'conv1d_1': (1, 16)}
    """
    return sequential([layers.Conv1D(filters, 12, stride=12, padding="same") for filters in (16, outputs)])
