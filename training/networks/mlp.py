"""The multilayer perceptron of Wang, Yan and Oates."""

from __future__ import annotations

from jconv import Model, layers, sequential


def mlp(outputs: int, shape: tuple[int, int] = (0, 1)) -> Model:
    """Three dense layers of width 500 with relu, and a dense layer for the outputs, each preceded by dropout.

    The dropout rates are 0.1, 0.2, 0.2 and 0.3. (Time Series Classification from Scratch with Deep Neural Networks: A
    Strong Baseline, IJCNN 2017.)

    >>> mlp(2).output_shapes((150, 1))["flatten"]
    (150,)
    """
    hidden = [
        layer for rate in (0.1, 0.2, 0.2) for layer in (layers.Dropout(rate), layers.Dense(500, activation="relu"))
    ]
    return sequential([layers.Flatten(), *hidden, layers.Dropout(0.3), layers.Dense(outputs)])
