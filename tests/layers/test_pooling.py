"""Adaptive pooling, global pooling with a mask, and the compiled program of max pooling."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconv import layers as jl
from jconv.layers.pooling.adaptive_pooling import window_indices
from tests.support.layer_checks import check_against_reference, deviation, drawn, single


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 11, 13, 25])
@pytest.mark.parametrize("kind", [jl.AdaptiveMaxPooling1D, jl.AdaptiveAveragePooling1D])
def test_adaptive_pooling_equals_the_reference(kind: Any, size: int) -> None:
    check_against_reference(kind(size), (11, 4))


def test_windows_of_adaptive_pooling_equal_their_definition() -> None:
    for length in range(1, 14):
        for size in range(1, 16):
            at, valid = window_indices(length, size)
            for i in range(size):
                wanted = [t for t in range(length) if t >= i * length // size and t * size < (i + 1) * length]
                assert at[i][valid[i]].tolist() == wanted
            assert at.min() >= 0 and at.max() < length


def test_adaptive_pooling_to_a_divisor_of_the_length_is_pooling() -> None:
    x = drawn((12, 3))
    for adaptive, plain in (
        (jl.AdaptiveMaxPooling1D(4), jl.MaxPooling1D(3)),
        (jl.AdaptiveAveragePooling1D(4), jl.AveragePooling1D(3)),
    ):
        assert deviation(adaptive.reference({}, {}, x), plain.reference({}, {}, x)) < 1e-15


def test_the_gradient_of_adaptive_max_pooling_goes_to_the_first_of_ties() -> None:
    x = jnp.ones((1, 6, 1))
    bar = jax.grad(lambda x: jl.AdaptiveMaxPooling1D(2).apply({}, {}, x)[0].sum())(x)
    assert bar.ravel().tolist() == [1, 0, 0, 1, 0, 0]


def test_adaptive_pooling_of_an_unknown_length() -> None:
    layer = jl.AdaptiveAveragePooling1D(3)
    assert layer.output_shape((None, 4)) == (3, 4) and layer.window() is None


def test_adaptive_pooling_of_a_symbolic_length_is_refused() -> None:
    layer, shape = jl.AdaptiveMaxPooling1D(3), jax.export.symbolic_shape("2, t, 4")
    message = "^the length of x must be a number for adaptive pooling, got the symbolic length t"
    for options in ({}, {"lengths": jnp.array([4, 9])}):
        with pytest.raises(ValueError, match=message):
            apply = layer.apply_ragged if options else layer.apply
            jax.eval_shape(lambda x, apply=apply, o=options: apply({}, {}, x, **o), jax.ShapeDtypeStruct(shape, "f4"))


@pytest.mark.parametrize("layer", [jl.MaxPooling1D(2), jl.AveragePooling1D(3, stride=5)], ids=str)
def test_pooling_of_sequences_in_a_symbolic_length(layer: Any) -> None:
    def pool(x: Any, lengths: Any) -> Any:
        return layer.apply_ragged({}, {}, x, lengths=lengths)[0]

    shape, x = jax.export.symbolic_shape("2, t, 4", constraints=["t >= 5"]), np.float32(drawn((13, 4), 2))
    lengths = np.array([13, 4], np.int32)
    exported = jax.export.export(jax.jit(pool))(jax.ShapeDtypeStruct(shape, x.dtype), lengths)
    assert deviation(exported.call(x, lengths)[0], np.asarray(pool(x, lengths)[0])) < 1e-6


@pytest.mark.parametrize("keepdims", [False, True])
def test_masked_average_equals_the_reference(keepdims: bool) -> None:
    x, mask = drawn(((6, 4), (6,)))
    mask = np.float64(mask > 0)
    mask[:, 0] = 1
    layer = jl.GlobalAveragePooling1D(keepdims, ("sequence", "mask"))
    check_against_reference(layer, ((6, 4), (6,)), (x, mask))
    y, _ = layer.apply({}, {}, (single(x), mask > 0))
    assert deviation(y.reshape(3, 4)[0], x[0][mask[0] > 0].mean(axis=0)) < 1e-6
    whole = layer.reference({}, {}, (x, np.ones((3, 6))))
    assert deviation(whole, jl.GlobalAveragePooling1D(keepdims).reference({}, {}, x)) < 1e-15


def test_the_average_of_a_completely_masked_sequence_is_nan_as_in_keras() -> None:
    layer, x = jl.GlobalAveragePooling1D(inputs=("sequence", "mask")), np.ones((1, 3, 2), np.float32)
    assert np.isnan(layer.apply({}, {}, (x, np.zeros((1, 3), bool)))[0]).all()
    assert np.isnan(layer.reference({}, {}, (x, np.zeros((1, 3))))).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bit_floats_accumulate_in_float32(dtype: str) -> None:
    # A sum of 4096 values near 300 overflows float16, and in bfloat16 its terms would be lost.
    x = jnp.asarray(300 + drawn((4096, 2), batch=1), dtype)
    exact = np.asarray(x.astype("float32"), np.float64).mean(axis=1)
    mask = jnp.ones((1, 4096), bool)
    for layer, read in (
        (jl.AdaptiveAveragePooling1D(1), x),
        (jl.GlobalAveragePooling1D(inputs=("sequence", "mask")), (x, mask)),
    ):
        y, _ = layer.apply({}, {}, read)
        assert y.dtype == dtype
        assert deviation(np.float64(y.reshape(1, 2)), exact) < 4e-3


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: jl.AdaptiveMaxPooling1D(0),
        "AdaptiveMaxPooling1D: output_size must be an integer of at least 1, got 0",
    ),
    (
        lambda: jl.AdaptiveAveragePooling1D(2).output_shape((5,)),
        "AdaptiveAveragePooling1D needs an input of shape (length, channels) after the batch axis, got (5,)",
    ),
    (
        lambda: jl.GlobalAveragePooling1D(inputs=("mask",)),
        "GlobalAveragePooling1D: inputs must be ('sequence',) or ('sequence', 'mask'), got ('mask',)",
    ),
    (
        lambda: jl.GlobalAveragePooling1D(inputs=("sequence", "mask")).output_shape(((5, 2), (4,))),
        "GlobalAveragePooling1D needs a value and a mask of its shape without the last axis, got shapes ((5, 2), (4,))",
    ),
]


@pytest.mark.parametrize(("refused", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_invalid_arguments_are_refused(refused: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        refused()


@pytest.mark.parametrize("layer", [jl.MaxPooling1D(3, stride=1, padding="same"), jl.MaxPooling1D(2)], ids=str)
def test_the_input_of_max_pooling_is_computed_once(layer: jl.MaxPooling1D) -> None:
    """Regression test: XLA computed the product again for overlapping windows."""
    pooled = jax.jit(lambda x, y: layer.apply({}, {}, x * y)[0])
    x = jnp.ones((2, 50, 8))
    assert pooled.lower(x, x).compile().as_text().count(" multiply(") == 1
