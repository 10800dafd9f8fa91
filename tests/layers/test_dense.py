"""`EinsumDense` and `Embedding` compared with their references; shapes and errors."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from jconv import layers as jl
from tests.support.layer_checks import check_against_reference, drawn, single

Dense = jl.EinsumDense
LAYERS: dict[str, tuple[jl.Layer, Any]] = {
    "dense": (Dense("abc,cd->abd", (None, 5), bias_axes="d"), (7, 4)),
    "heads": (Dense("...bc,cde->...bde", (None, 5, 2), "glu", "e"), (7, 4)),
    "vector": (Dense("...ab,bc->...ac", [5], bias_axes="c"), (4,)),
    "length": (Dense("abc,bd->adc", (5, None), "softmax", "d"), (7, 4)),
    "right": (Dense("ab...,bc->ac...", 5, bias_axes="c"), (7, 4)),
    "diagonal": (Dense("abc,bc->abc", (7, None)), (7, 4)),
    "embedding": (jl.Embedding(5, 3), (7,)),
}


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("name", LAYERS)
def test_values_and_derivatives_equal_the_reference(name: str) -> None:
    check_against_reference(*LAYERS[name])


def test_embedding_reads_the_same_rows_as_keras() -> None:
    layer, table = jl.Embedding(3, 2), np.float32(drawn((2,), batch=3))
    for x in (np.array([[0, 2, -1, -3, 3, -4, 99]]), np.float32([[0.9, 2.0, -1.9, -0.9, 3.9, -4.0, 99.5]])):
        y = np.asarray(layer.apply({"embeddings": table}, {}, x)[0])
        expected = keras.ops.take(table, keras.ops.cast(x, "int32"), axis=0)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(np.float32(layer.reference({"embeddings": table}, {}, x)), expected)
    assert np.isnan(y).any(axis=(0, 2)).tolist() == [False] * 4 + [True] * 3


def test_16_bit_floats_accumulate_in_float32() -> None:
    for dtype in (jnp.bfloat16, jnp.float16):
        layer = Dense("ab,bc->ac", 1)
        y, _ = layer.apply({"kernel": jnp.ones((4096, 1), dtype)}, {}, jnp.ones((1, 4096), dtype))
        assert y.dtype == dtype and float(y[0, 0]) == 4096


def test_init_draws_as_keras() -> None:
    layer = Dense("abc,cde->abde", (None, 8, 16), bias_axes="de")
    params, _ = layer.init(jax.random.key(0), (None, 32))
    assert {name: a.shape for name, a in params.items()} == {"kernel": (32, 8, 16), "bias": (8, 16)}
    assert float(jnp.abs(params["kernel"]).max()) == pytest.approx((6 / (32 + 128)) ** 0.5, rel=0.01)
    assert not params["bias"].any()
    params, _ = jl.Embedding(100, 10).init(jax.random.key(0), (None,))
    assert float(jnp.abs(params["embeddings"]).max()) == pytest.approx(0.05, rel=0.01)


@pytest.mark.parametrize(
    ("layer", "shape", "expected", "window"),
    [
        (Dense("abc,cd->abd", (None, 5)), (None, 4), (None, 5), (1, 1)),
        (Dense("...c,cd->...d", 5), (None, 2, 4), (None, 2, 5), (1, 1)),
        (Dense("abc,bcd->ad", 5), (7, 4), (5,), None),
        (Dense("...bc,bcd->...d", 5), (7, 4), (5,), None),
        (Dense("ab,bc->ac", 5), (4,), (5,), (1, 1)),
        (jl.Embedding(5, 3), (None,), (None, 3), (1, 1)),
    ],
    ids=str,
)
def test_unknown_lengths_and_windows(layer: jl.Layer, shape: Any, expected: Any, window: Any) -> None:
    assert layer.output_shape(shape) == expected
    assert layer.window() == window


@pytest.mark.parametrize(
    ("layer", "shape", "flops"),
    [
        (Dense("abc,cd->abd", (None, 5)), (7, 4), 2 * 7 * 4 * 5),
        (Dense("...c,cd->...d", 5), (7, 2, 4), 2 * 7 * 2 * 4 * 5),
        (Dense("...ab,bc->...ac", 5), (4,), 2 * 4 * 5),
        (jl.Embedding(5, 3), (7,), 0),
    ],
    ids=str,
)
def test_flops(layer: jl.Layer, shape: Any, flops: int) -> None:
    assert layer.flops(shape) == flops


FORM = "EinsumDense: equation must be like 'abc,cd->abd', '...c,cd->...d' or 'ab...,bc->ac...', got "
OPTIONS = [
    (lambda: Dense("abc->ab", 3), FORM + "'abc->ab'"),
    (lambda: Dense("...ab,bc->ac", 3), FORM + "'...ab,bc->ac'"),
    (lambda: Dense(3, 3), FORM + "3"),
    (lambda: Dense("aab,bc->aac", 3), "EinsumDense: equation must not repeat a letter in 'aab', got 'aab,bc->aac'"),
    (
        lambda: Dense("ab,bc->ca", 3),
        "EinsumDense: equation must begin input and output with the batch, a letter that the kernel lacks, got "
        "'ab,bc->ca'",
    ),
    (
        lambda: Dense("ab,bc->ad", 3),
        "EinsumDense: equation must have the output's letter 'd' in input or kernel, got 'ab,bc->ad'",
    ),
    (
        lambda: Dense("ab,bcd->ac", 3),
        "EinsumDense: equation must have the kernel's letter 'd' in input or output, got 'ab,bcd->ac'",
    ),
    (
        lambda: Dense("ab,bc->ac", 3, bias_axes="b"),
        "EinsumDense: bias_axes must be None or some of the output's letters 'c', got 'b'",
    ),
    (lambda: jl.Embedding(0, 3), "Embedding: input_dim must be an integer of at least 1, got 0"),
]
SHAPES = [
    (
        Dense("ab,bc->ac", 3),
        (7, 4),
        "EinsumDense: an input of shape (7, 4) after the batch axis does not fit the equation 'ab,bc->ac'",
    ),
    (
        Dense("abc,cd->abd", 3),
        (7, 4),
        "EinsumDense: out_shape must have a size for each of 'bd', the output's letters of 'abc,cd->abd' without the "
        "batch, got 3",
    ),
    (
        Dense("abc,cd->abd", (6, 3)),
        (7, 4),
        "EinsumDense: 'b' of 'abc,cd->abd' has size 7 in the input of shape (7, 4) and 6 in out_shape",
    ),
]


@pytest.mark.parametrize(("make", "message"), OPTIONS)
def test_invalid_options_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()


@pytest.mark.parametrize(("layer", "shape", "message"), SHAPES)
def test_invalid_shapes_are_refused(layer: jl.Layer, shape: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        layer.output_shape(shape)


def test_an_unknown_size_of_an_array_is_refused() -> None:
    message = (
        "EinsumDense: every axis of the kernel and the bias of 'abc,cd->abd' must be known, got an input of shape "
        "(None, 4) and out_shape=(None, 5)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Dense("abc,cd->abd", (None, 5), bias_axes="bd").param_shapes((None, 4))


def test_indices_of_an_embedding_may_have_any_type() -> None:
    table = single(drawn((2,), batch=3))
    for dtype in (jnp.int8, jnp.uint32, jnp.bfloat16):
        rows, _ = jl.Embedding(3, 2).apply({"embeddings": table}, {}, jnp.array([[1, 2]], dtype))
        assert (rows[0] == table[1:]).all()
