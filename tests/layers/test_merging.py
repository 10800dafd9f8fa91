"""Layers with several inputs, compared with their references; broadcasting and masks."""

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

ELEMENTWISE = [jl.Add(), jl.Average(), jl.Multiply(), jl.Maximum(), jl.Minimum()]


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("layer", ELEMENTWISE, ids=str)
def test_equals_the_reference(layer: jl.Layer) -> None:
    check_against_reference(layer, ((6, 4), (6, 4), (1, 4), (6, 1), (4,)))
    check_against_reference(layer, ((4,), (2, 6, 4)))
    check_against_reference(layer, ((6, 4),))


@pytest.mark.parametrize("shape", [((6, 4), (6, 4)), ((4,), (6, 4)), ((6, 4), (1, 4))])
def test_subtract_equals_the_reference(shape: Any) -> None:
    check_against_reference(jl.Subtract(), shape)


DOTS: list[tuple[jl.Dot, Any, Any]] = [
    (jl.Dot(-1), ((6, 4), (5, 4)), (6, 5)),
    (jl.Dot(1), ((4,), (4,)), (1,)),
    (jl.Dot((1, 2)), ((4,), (5, 4)), (5,)),
    (jl.Dot([2, 1]), ((5, 4), (4,)), (5,)),
    (jl.Dot((1, 2)), ((4, 3), (5, 4)), (3, 5)),
    (jl.Dot((2, 3)), ((2, 4, 3), (5, 6, 4)), (2, 3, 5, 6)),
]


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(("layer", "shape", "expected"), DOTS, ids=[str(layer) for layer, *_ in DOTS])
def test_dot_equals_the_reference(layer: jl.Dot, shape: Any, expected: Any, normalize: bool) -> None:
    layer = jl.Dot(layer.axes, normalize)
    assert layer.output_shape(shape) == expected
    check_against_reference(layer, shape)
    assert layer.flops(shape) == 2 * 4 * int(np.prod(expected))
    assert layer.window() is None


def test_the_cosine_of_a_zero_vector_is_zero_with_a_finite_gradient() -> None:
    layer, x = jl.Dot(1, normalize=True), (jnp.zeros((1, 3)), jnp.ones((1, 3)))
    y, bars = jax.value_and_grad(lambda x: layer.apply({}, {}, x)[0].sum())(x)
    assert y == 0 and all(np.isfinite(bar).all() for bar in bars)
    assert layer.reference({}, {}, x) == 0


MASKED = [jl.Multiply, jl.Maximum, jl.Minimum]
ROLES = [
    ("value", "mask", "value"),
    ("value", "value", "mask"),
    ("value", "mask", "value", "mask"),
    ("value", "mask", "value", "mask", "value"),
    ("value", "value", "mask", "value", "mask"),
    ("value", "mask", "value", "mask", "value", "mask"),
]


@pytest.mark.default_cases(6)
@pytest.mark.parametrize("roles", ROLES, ids="-".join)
@pytest.mark.parametrize("kind", MASKED)
def test_masks_equal_the_reference(kind: Any, roles: tuple[str, ...]) -> None:
    shape = tuple((6, 4) if role == "value" else (6,) for role in roles)
    x = tuple(a if role == "value" else np.float64(a > 0) for a, role in zip(drawn(shape), roles, strict=True))
    layer = kind(roles)
    check_against_reference(layer, shape, x)
    everywhere = tuple(a if role == "value" else np.ones((3, 6)) for a, role in zip(x, roles, strict=True))
    values = tuple(a for a, role in zip(x, roles, strict=True) if role == "value")
    assert deviation(layer.reference({}, {}, everywhere), kind().reference({}, {}, values)) == 0


def test_masks_may_be_boolean() -> None:
    x, y = drawn(((6, 4), (6, 4)))
    mask = x[..., 0] > 0
    layer = jl.Multiply(("value", "mask", "value"))
    out, _ = layer.apply({}, {}, (np.float32(x), mask, np.float32(y)))
    assert deviation(out, np.where(mask[..., None], x * y, y)) < 1e-6


def test_a_value_with_fewer_axes_is_merged_with_a_masked_one() -> None:
    layer, shape = jl.Multiply(("value", "mask", "value")), ((6, 4), (6,), (4,))
    x, mask, y = drawn(shape)
    check_against_reference(layer, shape, (x, np.float64(mask > 0), y))


def test_the_maximum_of_masks_is_their_union() -> None:
    a, b = jnp.array([[True, False]]), jnp.array([[False, False]])
    assert jl.Maximum().apply({}, {}, (a, b))[0].tolist() == [[True, False]]


@pytest.mark.parametrize("layer", [*ELEMENTWISE, jl.Subtract(), jl.Concatenate(), jl.Dot(-1), jl.Dot(1, True)], ids=str)
def test_outputs_keep_16_bit_dtypes(layer: jl.Layer) -> None:
    x = tuple(jnp.asarray(a, "bfloat16") for a in drawn(((6, 4), (6, 4))))
    y, _ = layer.apply({}, {}, x)
    assert y.dtype == jnp.bfloat16
    exact = layer.reference({}, {}, tuple(a.astype("float32") for a in x))
    assert deviation(y.astype("float32"), exact) < 1e-2


def test_16_bit_floats_accumulate_in_float32() -> None:
    x = jnp.full((1, 4096), 8, "float16")
    assert jl.Average().apply({}, {}, (jnp.full((1, 1), 60000, "float16"),) * 2)[0] == 60000
    cosine, _ = jl.Dot(1, normalize=True).apply({}, {}, (x, x))
    assert float(cosine[0, 0]) == pytest.approx(1, abs=1e-3)


def test_unknown_lengths() -> None:
    assert jl.Multiply().output_shape(((None, 4), (4,), (7, 1))) == (7, 4)
    assert jl.Average().output_shape(((None, 4), (None, 1))) == (None, 4)
    assert jl.Maximum(("value", "mask", "value")).output_shape(((None, 4), (7,), (None, 4))) == (None, 4)
    assert jl.Dot(-1).output_shape(((None, 4), (5, 4))) == (None, 5)
    assert jl.Dot((1, 1)).output_shape(((None, 4), (5, 3))) == (4, 3)


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: jl.Multiply(("mask", "value")),
        "Multiply: inputs must be 'value' and 'mask', each mask after its value, got ('mask', 'value')",
    ),
    (
        lambda: jl.Maximum(("value", "mask", "mask")),
        "Maximum: inputs must be 'value' and 'mask', each mask after its value, got ('value', 'mask', 'mask')",
    ),
    (
        lambda: jl.Multiply(("value", "mask")).output_shape(((5, 3),)),
        "Multiply needs 2 inputs, ('value', 'mask'), got shapes (5, 3)",
    ),
    (
        lambda: jl.Multiply(("value", "mask")).output_shape(((5, 3), (4,))),
        "Multiply needs a value and a mask of its shape without the last axis, got shapes ((5, 3), (4,))",
    ),
    (
        lambda: jl.Minimum(("value", "mask", "value")).output_shape(((5, 3), (5,), (2, 5, 3))),
        "Minimum needs values with masks to have at least as many axes as all other values, got shapes (5, 3), (5,), "
        "(2, 5, 3)",
    ),
    (lambda: jl.Average().output_shape((5, 3)), "Average needs a tuple of shapes, one for each input, got (5, 3)"),
    (
        lambda: jl.Multiply().output_shape(((5, 3), (5, 2))),
        "Multiply needs inputs of the same shape, or size 1, got shapes (5, 3), (5, 2)",
    ),
    (
        lambda: jl.Subtract().output_shape(((5, 3), (5, 3), (5, 3))),
        "Subtract needs two inputs, got shapes (5, 3), (5, 3), (5, 3)",
    ),
    (lambda: jl.Dot(0), "Dot: axes must be one or two integers other than 0, the batch, got 0"),
    (lambda: jl.Dot((1, 2, 3)), "Dot: axes must be one or two integers other than 0, the batch, got (1, 2, 3)"),
    (lambda: jl.Dot(1).output_shape(((5, 3),)), "Dot needs two inputs, got shapes ((5, 3),)"),
    (
        lambda: jl.Dot(2).output_shape(((5, 3), (5,))),
        "Dot: axes=2 are not axes of inputs of shapes (5, 3), (5,)",
    ),
    (
        lambda: jl.Dot(1).output_shape(((5, 3), (4, 3))),
        "Dot: axes=1 must be of the same size, got shapes (5, 3), (4, 3)",
    ),
    (
        lambda: jl.Dot(1).flops(((None, 3), (4, 3))),
        "Dot needs every size known to count operations, got shape (None, 3)",
    ),
]


@pytest.mark.parametrize(("refused", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_invalid_arguments_are_refused(refused: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        refused()
