"""Activation layers with options, compared with their references; errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconv import layers as jl
from tests.support.layer_checks import check_against_reference, deviation, drawn

LAYERS = [
    jl.ReLU(),
    jl.ReLU(0.5),
    jl.ReLU(6),
    jl.ReLU(threshold=0.4),
    jl.ReLU(negative_slope=0.3),
    jl.ReLU(0.7, 0.3),
    jl.ReLU(1.0, 0.3, 0.4),
    jl.ReLU(threshold=0.3),
    jl.HardSigmoid(0.2),
    jl.LeakyReLU(),
    jl.LeakyReLU(0.7),
    jl.ELU(0.4),
    jl.PReLU(),
    jl.PReLU((1,)),
    jl.PReLU([1, 2]),
    jl.Softmax(),
    jl.Softmax(1),
    jl.Softmax([1, 2]),
]


@pytest.mark.default_cases(6)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_equals_the_reference(layer: jl.Layer) -> None:
    check_against_reference(layer, (6, 4))
    over_length = isinstance(layer, jl.Softmax) and layer.axis != -1
    assert layer.window() == (None if over_length else (1, 1)) and layer.flops((6, 4)) == 0


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("axis", [-1, 1, (1, 2)])
@pytest.mark.parametrize("mask_shape", [(6, 4), (1, 4), (6, 1)])
def test_softmax_with_a_mask_equals_the_reference(axis: Any, mask_shape: tuple[int, int]) -> None:
    x = drawn(((6, 4), mask_shape))
    layer = jl.Softmax(axis, ("x", "mask"))
    assert layer.has_several_inputs
    check_against_reference(layer, ((6, 4), mask_shape), (x[0], np.float64(x[1] > 0)))


def test_softmax_of_a_completely_masked_row_is_zero_with_zero_gradient() -> None:
    layer, mask = jl.Softmax(inputs=("x", "mask")), jnp.zeros((2, 3), bool)
    y, bar = jax.value_and_grad(lambda x: layer.apply({}, {}, (x, mask))[0].sum())(jnp.ones((2, 3)))
    assert y == 0 and not bar.any()
    assert not layer.reference({}, {}, (np.ones((2, 3)), np.zeros((2, 3)))).any()


def test_relu_with_max_value_below_its_threshold_has_two_values() -> None:
    layer, x = jl.ReLU(0.2, threshold=0.4), jnp.array([-1.0, 0.3, 0.5])
    assert layer.apply({}, {}, x)[0].tolist() == [0, 0, pytest.approx(0.2)]
    assert layer.reference({}, {}, x).tolist() == [0, 0, 0.2]


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_outputs_keep_16_bit_dtypes(layer: jl.Layer, dtype: str) -> None:
    x = jnp.asarray(drawn((6, 4)), dtype)
    params = {name: jnp.full(shape, 0.5, dtype) for name, shape in layer.param_shapes((6, 4)).items()}
    y, _ = layer.apply(params, {}, x)
    assert y.dtype == dtype
    assert deviation(y.astype("float32"), layer.reference(params, {}, x.astype("float32"))) < 2e-2


def test_shapes_with_unknown_lengths_and_shared_axes() -> None:
    assert jl.PReLU((1,)).output_shape((None, 3)) == (None, 3)
    assert jl.PReLU((1,)).init(jax.random.key(0), (None, 3))[0]["alpha"].tolist() == [[0, 0, 0]]
    assert jl.PReLU().param_shapes((5, 3)) == {"alpha": (5, 3)}
    assert jl.Softmax(inputs=("x", "mask")).output_shape(((None, 3), (7, 3))) == (None, 3)
    assert jl.ReLU(6).output_shape((None, 3)) == (None, 3)
    assert hash(jl.Softmax([1, 2])) == hash(jl.Softmax((1, 2)))
    assert jl.PReLU([]) == jl.PReLU() and jl.PReLU(1) == jl.PReLU((1,))


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (jl.Dense(3, jl.PReLU()), (4,)),
        (jl.EinsumDense("abc,cd->abd", (None, 3), jl.PReLU((1,)), "d"), (5, 4)),
        (jl.Conv1D(3, 2, activation=jl.PReLU((1,))), (5, 4)),
        (jl.Conv1DTranspose(3, 2, activation=jl.Softmax(1)), (5, 4)),
        (jl.ChannelsFirst(jl.Conv1D(3, 2, activation="softmax")), (4, 5)),
        (jl.ChannelsFirst(jl.Frozen(jl.Conv1D(3, 3, activation="glu"))), (4, 6)),
        (jl.LSTM(3, jl.PReLU(), jl.Activation("sigmoid")), (3, 2)),
        (jl.GRU(3, recurrent_activation=jl.PReLU(), reset_after=False), (3, 2)),
        (jl.ConvLSTM1D(3, 2, activation=jl.PReLU((1,))), (3, 5, 2)),
    ],
    ids=str,
)
def test_a_layer_as_the_activation_of_another_equals_the_reference(layer: jl.Layer, shape: tuple[int, ...]) -> None:
    check_against_reference(layer, shape)
    params, _ = layer.init(jax.random.key(0), shape)
    assert not any(array.any() for name, array in params.items() if name.endswith("alpha"))


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: jl.ReLU(-1), "ReLU: max_value must be a number of at least 0, got -1"),
    (lambda: jl.ReLU(negative_slope=None), "ReLU: negative_slope must be a number of at least 0, got None"),
    (lambda: jl.ReLU(threshold=-0.5), "ReLU: threshold must be a number of at least 0, got -0.5"),
    (lambda: jl.HardSigmoid("0.2"), "HardSigmoid: slope must be a number, got '0.2'"),
    (lambda: jl.LeakyReLU(-1), "LeakyReLU: negative_slope must be a number of at least 0, got -1"),
    (lambda: jl.ELU("1"), "ELU: alpha must be a number, got '1'"),
    (lambda: jl.PReLU((0,)), "PReLU: shared_axes must be None or integers of at least 1, got (0,)"),
    (
        lambda: jl.PReLU((3,)).output_shape((5, 2)),
        "PReLU: shared_axes=(3,) are not all axes of an input of shape (5, 2)",
    ),
    (
        lambda: jl.PReLU().output_shape((None, 2)),
        "PReLU needs every size known except along shared_axes=(), got shape (None, 2)",
    ),
    (
        lambda: jl.Dense(3, jl.Dropout(0.5)),
        "Dense: activation must be an activation layer, such as LeakyReLU(0.3), got Dropout(0.5)",
    ),
    (
        lambda: jl.GRU(3, recurrent_activation=jl.Softmax(inputs=("x", "mask"))),
        "GRU: recurrent_activation must be an activation layer, such as LeakyReLU(0.3), got "
        "Softmax(inputs=('x', 'mask'))",
    ),
    (
        lambda: jl.ChannelsFirst(jl.Conv1D(3, 2, activation=jl.PReLU())),
        "ChannelsFirst: the activation of a convolution must have no arrays, got PReLU()",
    ),
    (lambda: jl.Softmax(0), "Softmax: axis must be one or more integers other than 0, the batch, got 0"),
    (lambda: jl.Softmax(()), "Softmax: axis must be one or more integers other than 0, the batch, got ()"),
    (lambda: jl.Softmax(-3).output_shape((5, 2)), "Softmax: axis=-3 is not an axis of an input of shape (5, 2)"),
    (lambda: jl.Softmax(inputs=("mask",)), "Softmax: inputs must be ('x',) or ('x', 'mask'), got ('mask',)"),
    (
        lambda: jl.Softmax(inputs=("x", "mask")).output_shape(((5, 2), (5,))),
        "Softmax needs x and a mask with as many axes, each of the same size or 1, got shapes ((5, 2), (5,))",
    ),
    (
        lambda: jl.Softmax(inputs=("x", "mask")).output_shape(((5, 2), (5, 3))),
        "Softmax needs x and a mask with as many axes, each of the same size or 1, got shapes ((5, 2), (5, 3))",
    ),
]


@pytest.mark.parametrize(("refused", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_invalid_arguments_are_refused(refused: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        refused()
