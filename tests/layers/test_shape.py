"""Layers that change the shape, and mask layers."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv import layers as jl
from jconv.model.summary import receptive_fields
from tests.support.layer_checks import check_against_reference, drawn

LAYERS: list[tuple[jl.Layer, Any]] = [
    (jl.Cropping1D(), (7, 4)),
    (jl.Cropping1D((3, 0)), (7, 4)),
    (jl.Cropping1D([0, 2]), (7, 4)),
    (jl.UpSampling1D(), (7, 4)),
    (jl.UpSampling1D(3), (7, 4)),
    (jl.RepeatVector(3), (4,)),
    (jl.Permute((2, 1)), (7, 4)),
    (jl.Permute([3, 1, 2]), (7, 4, 2)),
    (jl.Reshape((14, 2)), (7, 4)),
    (jl.Reshape([2, -1, 7]), (7, 4)),
    (jl.Reshape((None,)), (7, 4)),
    (jl.Masking(), (7, 4)),
    (jl.Masking(2.0), (7, 4)),
]


@pytest.mark.default_cases(5)
@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=[str(layer) for layer, _ in LAYERS])
def test_equals_the_reference(layer: jl.Layer, shape: Any) -> None:
    check_against_reference(layer, shape)
    assert layer.flops(shape) == 0 and hash(layer) == hash(layer)
    y, _ = layer.apply({}, {}, jnp.ones((2, *shape), "bfloat16"))
    assert y.dtype == jnp.bfloat16


UNKNOWN: list[tuple[jl.Layer, Any, Any]] = [
    (jl.Cropping1D(2), (None, 4), (None, 4)),
    (jl.UpSampling1D(2), (None, 4), (None, 4)),
    (jl.Permute((2, 1)), (None, 4), (4, None)),
    (jl.Reshape((-1, 2)), (None, 4), (None, 2)),
    (jl.Reshape((None, 2)), (None, 4), (None, 2)),
    (jl.Reshape((8, 2)), (None, 4), (8, 2)),
    (jl.Masking(), (None, 4), (None, 4)),
    (jl.MaskOf(), (None, 4), (None,)),
    (jl.NonzeroMask(), (None,), (None,)),
]


@pytest.mark.parametrize(("layer", "shape", "expected"), UNKNOWN, ids=[str(layer) for layer, *_ in UNKNOWN])
def test_unknown_lengths(layer: jl.Layer, shape: Any, expected: Any) -> None:
    assert layer.output_shape(shape) == expected


def test_windows() -> None:
    assert jl.Cropping1D().window() == (1, 1)
    assert jl.RepeatVector(3).window() == (1, 0)
    assert jl.UpSampling1D(3).window() == (Fraction(5, 3), Fraction(1, 3))
    assert jl.Permute((2, 1)).window() is None and jl.Permute((1, 3, 2)).window() == (1, 1)
    assert jl.Reshape((-1,)).window() is None
    # Two consecutive outputs depend on one or two inputs.
    model = jconv.sequential([jl.UpSampling1D(3), jl.Conv1D(1, 2), jl.Conv1D(1, 4)])
    assert list(receptive_fields(model).values()) == [1, 2, 3]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, jnp.bfloat16])
@pytest.mark.parametrize("value", [0.0, 0.1, -1.0])
def test_steps_with_the_mask_value_in_all_features_are_masked(value: float, dtype: Any) -> None:
    x = np.asarray(drawn((5, 3)), dtype)
    x[0, 1] = x[2, 4] = value
    x[1, 1, 0] = value
    counted = np.ones((3, 5), bool)
    counted[0, 1] = counted[2, 4] = False
    mask, _ = jax.jit(jl.MaskOf(value).apply)({}, {}, x)
    assert mask.dtype == bool and (mask == counted).all()
    exact = jl.MaskOf(value).reference({}, {}, x)
    assert exact.dtype == np.float64 and (exact == counted).all()
    y, _ = jl.Masking(value).apply({}, {}, x)
    expected = np.where(counted[..., None], np.float64(x), 0)
    assert y.dtype == dtype and (np.float64(y) == expected).all()
    assert (jl.Masking(value).reference({}, {}, x) == expected).all()


def test_an_integer_equals_no_fraction() -> None:
    assert jl.MaskOf(0.5).apply({}, {}, jnp.array([[[0], [1]]]))[0].all()
    assert jl.MaskOf(0.5).reference({}, {}, np.array([[[0], [1]]])).all()


def test_masks_have_no_derivative() -> None:
    x = drawn((5, 3)) + 1e-30j
    assert jl.MaskOf().reference({}, {}, x).dtype == np.float64
    assert jl.NonzeroMask().reference({}, {}, x[..., 0]).dtype == np.float64


def test_nonzero_mask() -> None:
    mask, _ = jl.NonzeroMask().apply({}, {}, jnp.array([[3, 0, 1]]))
    assert mask.dtype == bool and mask.tolist() == [[True, False, True]]
    assert jl.NonzeroMask().reference({}, {}, np.array([[3, 0, 1]])).tolist() == [[1, 0, 1]]


def test_a_mask_in_a_model_excludes_steps_from_the_average() -> None:
    nodes = (
        jconv.Node("mask", jl.MaskOf(0.5), ("x",)),
        jconv.Node("masking", jl.Masking(0.5), ("x",)),
        jconv.Node("mean", jl.GlobalAveragePooling1D(inputs=("sequence", "mask")), ("masking", "mask")),
    )
    model = jconv.Model(nodes, ("x",), ("mean",))
    x = np.float32(drawn((5, 3)))
    x[:, 2:] = 0.5
    y, _ = model.apply({}, {}, x)
    assert np.abs(y - x[:, :2].mean(axis=1)).max() < 1e-6
    assert np.abs(y - model.reference({}, {}, x)).max() < 1e-6
    bar = jax.grad(lambda x: model.apply({}, {}, x)[0].sum())(x)
    assert (bar[:, :2] == 0.5).all() and (bar[:, 2:] == 0).all()


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: jl.Cropping1D((1, -1)),
        "Cropping1D: cropping must be an int or (low, high), not negative, got (1, -1)",
    ),
    (lambda: jl.Cropping1D(2).output_shape((4, 3)), "Cropping1D: cropping=2 leaves nothing of a length of 4"),
    (lambda: jl.UpSampling1D(0), "UpSampling1D: size must be an integer of at least 1, got 0"),
    (lambda: jl.RepeatVector(1.5), "RepeatVector: n must be an integer of at least 1, got 1.5"),
    (
        lambda: jl.RepeatVector(3).output_shape((4, 2)),
        "RepeatVector needs an input of shape (features,) after the batch axis, got (4, 2)",
    ),
    (lambda: jl.Permute((2, 2)), "Permute: dims must be a permutation of 1, 2, ..., got (2, 2)"),
    (lambda: jl.Permute("21"), "Permute: dims must be a tuple of integers, got '21'"),
    (
        lambda: jl.Permute((2, 1)).output_shape((4,)),
        "Permute: dims=(2, 1) needs an input of as many axes, got shape (4,)",
    ),
    (lambda: jl.Reshape((0, 2)), "Reshape: target_shape must be a tuple of sizes, -1 or None, got (0, 2)"),
    (lambda: jl.Reshape(4), "Reshape: target_shape must be a tuple of sizes, -1 or None, got 4"),
    (lambda: jl.Reshape((-1, None)), "Reshape: target_shape must have at most one size of -1 or None, got (-1, None)"),
    (
        lambda: jl.Reshape((5, 2)).output_shape((4, 3)),
        "Reshape: target_shape=(5, 2) is of another size than shape (4, 3)",
    ),
    (
        lambda: jl.Reshape((5, -1)).output_shape((4, 3)),
        "Reshape: target_shape=(5, -1) is of another size than shape (4, 3)",
    ),
    (lambda: jl.Masking("0"), "Masking: mask_value must be a number, got '0'"),
    (lambda: jl.MaskOf().output_shape(()), "MaskOf needs an input with features after the batch, got shape ()"),
]


@pytest.mark.parametrize(("refused", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_invalid_arguments_are_refused(refused: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        refused()
