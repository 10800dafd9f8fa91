"""Attention layers compared with their NumPy references; masks, dropout, shapes and errors."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconv import layers as jl
from tests.support.constant_inputs import ConstantInputs
from tests.support.layer_checks import arrays_of, check_against_reference, deviation, drawn, single

KEY = ("query", "value", "key")
MASK = np.array([[1, 0, 1, 1, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0]])
Q, V, K = (4, 4), (5, 4), (5, 4)
MHA, GQA = jl.MultiHeadAttention, jl.GroupedQueryAttention

PLAIN: dict[str, tuple[jl.Layer, Any]] = {
    "dot_scale_key": (jl.Attention(True, causal=True, inputs=KEY), (Q, (5, 3), K)),
    "concat_scale": (jl.Attention(True, "concat", inputs=KEY), (Q, (5, 3), K)),
    "additive": (jl.AdditiveAttention(), (Q, V)),
    "additive_bare": (jl.AdditiveAttention(False, causal=True, inputs=KEY), (Q, (5, 3), K)),
    "heads_everything": (
        MHA(2, 3, 5, use_bias=False, out_shape=[2, 3], use_gate=True, causal=True, inputs=KEY),
        (Q, (5, 3), (5, 2)),
    ),
    "heads_order": (MHA(2, 3, sliding_window=2, inputs=("value", "query")), ((5, 3), Q)),
    "heads_axis": (MHA(2, 3, attention_axes=2, out_shape=5), ((2, 3, 4), (2, 5, 3))),
    "heads_axes_turned": (MHA(1, 3, attention_axes=[-2, 1]), ((2, 3, 4), (3, 2, 4))),
    "grouped": (GQA(3, 4, 2, use_gate=True, sliding_window=3, inputs=KEY), (Q, (5, 3), (5, 2))),
}

SCORES = {"return_attention_scores": True}
CONSTANT_MASKS: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "dot": (
        jl.Attention(inputs=("query", "value", "query_mask", "value_mask")),
        {"query_mask": MASK[:, 0], "value_mask": MASK[0]},
        (Q, V),
    ),
    "dot_all_masked": (
        jl.Attention(inputs=("query", "value", "value_mask"), **SCORES),
        {"value_mask": np.zeros(5)},
        (Q, V),
    ),
    "additive": (
        jl.AdditiveAttention(causal=True, inputs=("value", "value_mask", "query", "key_mask")),
        {"value_mask": MASK[0], "key_mask": np.zeros(5)},
        (V, Q),
    ),
    "heads_scores": (
        MHA(2, 3, **SCORES, inputs=("query", "attention_mask", "value")),
        {"attention_mask": MASK},
        (Q, V),
    ),
    "heads_each": (
        MHA(2, 3, causal=True, inputs=("query", "value", "attention_mask")),
        {"attention_mask": np.stack([MASK[0], 1 - MASK[0]])[:, None]},
        (Q, V),
    ),
    "heads_all": (
        MHA(2, 3, sliding_window=3, inputs=("query", "value", *KEY[2:], "query_mask", "value_mask", "key_mask")),
        {"query_mask": MASK[:, 0], "value_mask": MASK[0], "key_mask": MASK[2] * 0 + 1},
        (Q, V, K),
    ),
    "heads_empty": (
        MHA(2, 3, dropout=0.5, inputs=("query", "value", "query_mask")),
        {"query_mask": MASK[:, 0]},
        (Q, V),
    ),
    "heads_axes": (
        MHA(1, 3, **SCORES, inputs=("query", "value", "attention_mask")),
        {"attention_mask": np.arange(36).reshape(2, 3, 3, 2) % 5 > 1},
        ((2, 3, 4), (3, 2, 4)),
    ),
    "heads_axis": (
        MHA(1, 3, attention_axes=1, causal=True, inputs=("query", "value", "value_mask", "attention_mask")),
        {"value_mask": [1, 0, 1], "attention_mask": np.arange(18).reshape(3, 2, 3) % 4 > 0},
        ((2, 3, 4), (3, 3, 4)),
    ),
    "grouped": (
        GQA(3, 4, 2, inputs=("query", "value", "query_mask", "value_mask")),
        {"query_mask": MASK[:, 0], "value_mask": MASK[0]},
        (Q, V),
    ),
}


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("name", PLAIN)
def test_values_and_derivatives_equal_the_reference(name: str) -> None:
    check_against_reference(*PLAIN[name])


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("name", CONSTANT_MASKS)
def test_masked_values_and_derivatives_equal_the_reference(name: str) -> None:
    layer, constants, shape = CONSTANT_MASKS[name]
    check_against_reference(ConstantInputs(layer, constants), shape)


def test_a_completely_masked_row_has_equal_or_zero_weights() -> None:
    x = np.float32(drawn((5, 4)))
    inputs = ("query", "value", "value_mask")
    nothing = np.zeros((3, 5), bool)
    average = np.broadcast_to(x.mean(1, keepdims=True), x.shape)
    for layer in (jl.Attention(inputs=inputs), jl.AdditiveAttention(False, inputs=inputs)):
        assert deviation(jax.jit(layer.apply)({}, {}, (x, x, nothing))[0], average) < 1e-6
        assert deviation(layer.reference({}, {}, (x, x, nothing)), average) < 1e-6
    layer = MHA(2, 3, inputs=inputs)
    params, _ = single(arrays_of(layer, ((5, 4), (5, 4), (5,))))
    y, _ = jax.jit(layer.apply)(params, {}, (x, x, nothing))
    assert deviation(y, np.broadcast_to(np.asarray(y)[:, :1], y.shape)) < 1e-6
    y, weights = jax.jit(MHA(2, 3, inputs=inputs, return_attention_scores=True).apply)(params, {}, (x, x, nothing))[0]
    assert not weights.any()
    assert (y == params["attention_output/bias"]).all()


def test_masked_scores_are_rounded_as_in_keras() -> None:
    # Keras subtracts 1e9, where float32 has steps of 64: 100, 200 and 140 become 2, 3 and 2 steps.
    query, value = np.float32([[[1.0]]]), np.float32([[[100.0], [200.0], [140.0]]])
    layer = jl.Attention(inputs=("query", "value", "value_mask"))
    x = query, value, np.zeros((1, 3), bool)
    assert float(layer.apply({}, {}, x)[0][0, 0, 0]) == float(layer.reference({}, {}, x)[0, 0, 0]) == 200.0


def test_masked_values_do_not_affect_the_output() -> None:
    layer, constants, shape = CONSTANT_MASKS["heads_all"]
    layer = ConstantInputs(layer, constants)
    params, _ = single(arrays_of(layer, shape))
    query, value, key = single(drawn(shape))
    other = value.copy()
    other[:, [1, 4]] = 1e3
    apply = jax.jit(layer.apply)
    y, _ = apply(params, {}, (query, value, key))
    z, _ = apply(params, {}, (query, other, key))
    # Rows of a masked query average all values.
    rows = MASK[:, 0] == 1
    assert (np.asarray(y)[:, rows] == np.asarray(z)[:, rows]).all()


@pytest.mark.parametrize("layer", [jl.Attention(dropout=0.5), jl.AdditiveAttention(False, 0.5)], ids=str)
def test_dropout_of_the_weights_depends_on_the_key(layer: Any) -> None:
    query, value = jnp.zeros((1, 50, 1)), jnp.ones((1, 40, 1))

    def run(key: Any, training: bool) -> Any:
        return jax.jit(lambda key: layer.apply({}, {}, (query, value), training=training, key=key)[0])(key)

    y = run(jax.random.key(0), True)
    # Each output sums 40 weights of 1/40, each kept and doubled with probability one half.
    assert 0.9 < float(y.mean()) < 1.1
    assert 0.1 < float(y.std()) < 0.22
    assert (run(jax.random.key(0), True) == y).all()
    assert not (run(jax.random.key(1), True) == y).all()
    assert deviation(run(jax.random.key(0), False), np.ones(y.shape)) < 1e-6


def test_attention_returns_weights_after_and_multi_head_attention_before_dropout() -> None:
    x = jnp.zeros((1, 6, 1)), jnp.ones((1, 5, 1))

    def run(layer: Any, params: Any) -> Any:
        return jax.jit(lambda p: layer.apply(p, {}, x, training=True, key=jax.random.key(0))[0])(params)

    _, weights = run(jl.Attention(dropout=0.5, **SCORES), {})
    assert set(np.asarray(weights).ravel().round(6).tolist()) == {0.0, np.float32(0.4).round(6).item()}
    layer = MHA(2, 3, dropout=0.5, **SCORES)
    params, _ = single(arrays_of(layer, ((6, 1), (5, 1))))
    dropped, weights = run(layer, params)
    assert float(jnp.abs(weights.sum(-1) - 1).max()) < 1e-6
    assert not np.allclose(dropped, run(MHA(2, 3, **SCORES), params)[0])


def test_dropout_needs_a_key_and_has_no_reference() -> None:
    x = (jnp.ones((1, 2, 1)), jnp.ones((1, 2, 1)))
    with pytest.raises(ValueError, match=r"Attention: training with dropout=0\.5 needs a key, got None"):
        jl.Attention(dropout=0.5).apply({}, {}, x, training=True)
    with pytest.raises(ValueError, match=r"Attention: the reference has no mask for training with dropout=0\.5"):
        jl.Attention(dropout=0.5).reference({}, {}, x, training=True)
    assert jl.Attention().apply({}, {}, x, training=True)[0].shape == (1, 2, 1)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("layer", [jl.Attention(), MHA(1, 1, use_bias=False), GQA(1, 1, 1, use_bias=False)], ids=str)
def test_16_bit_floats_accumulate_in_float32(layer: Any, dtype: Any) -> None:
    # The mean of 4096 ones: a sum in 16 bits would stop growing long before the end.
    x = jnp.ones((1, 4096, 1), dtype)
    params = {name: jnp.ones(shape, dtype) for name, shape in layer.param_shapes(((4096, 1), (4096, 1))).items()}
    y, _ = jax.jit(layer.apply)(params, {}, (x[:, :1], x))
    assert y.dtype == dtype and float(y[0, 0, 0]) == 1


def test_init_draws_as_keras() -> None:
    layer = MHA(4, 16, 8, use_gate=True)
    params, state = jax.jit(lambda key: layer.init(key, ((None, 32), (7, 24))))(jax.random.key(0))
    assert state == {}
    assert {name: a.shape for name, a in params.items()} == {
        "query/kernel": (32, 4, 16),
        "query/bias": (4, 16),
        "key/kernel": (24, 4, 16),
        "key/bias": (4, 16),
        "gate/kernel": (32, 4, 8),
        "gate/bias": (4, 8),
        "value/kernel": (24, 4, 8),
        "value/bias": (4, 8),
        "attention_output/kernel": (4, 8, 32),
        "attention_output/bias": (32,),
    }
    for name, fans in {"query/kernel": 32 + 64, "value/kernel": 24 + 32, "attention_output/kernel": 32 + 32}.items():
        assert float(jnp.abs(params[name]).max()) == pytest.approx((6 / fans) ** 0.5, rel=0.02)
    assert not params["gate/bias"].any()
    scale, _ = jl.AdditiveAttention().init(jax.random.key(0), ((7, 1000), (5, 1000)))
    assert float(jnp.abs(scale["scale"]).max()) == pytest.approx((3 / 1000) ** 0.5, rel=0.02)
    assert jl.Attention(True, "concat").init(jax.random.key(0), (Q, V))[0] == {"scale": 1, "concat_score_weight": 1}


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (jl.Attention(**SCORES), ((None, 4), (5, 4)), ((None, 4), (None, 5))),
        (jl.AdditiveAttention(inputs=KEY), ((7, 4), (None, 3), (None, 4)), (7, 3)),
        (jl.Attention(inputs=(*KEY[:2], "value_mask")), ((7, 4), (5, 4), (None,)), (7, 4)),
        (MHA(2, 3, **SCORES), ((None, 4), (None, 3)), ((None, 4), (2, None, None))),
        (MHA(2, 3, out_shape=(2, 3)), ((None, 4), (5, 3)), (None, 2, 3)),
        (MHA(2, 3, attention_axes=1, **SCORES), ((7, 2, 4), (5, None, 3)), ((7, 2, 4), (2, 2, 7, 5))),
        (MHA(2, 3, inputs=(*KEY[:2], "attention_mask")), ((None, 4), (5, 3), (None, 5)), (None, 4)),
        (GQA(2, 4, 2, **SCORES), ((None, 4), (5, 3)), ((None, 4), (4, None, 5))),
    ],
    ids=str,
)
def test_unknown_lengths(layer: jl.Layer, shape: Any, expected: Any) -> None:
    assert layer.output_shape(shape) == expected
    assert layer.window() is None


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (jl.Attention(), ((7, 4), (5, 4)), 2 * 7 * 5 * (4 + 4)),
        (jl.AdditiveAttention(inputs=KEY), ((7, 4), (5, 3), (5, 4)), 2 * 7 * 5 * (4 + 3)),
        (
            MHA(2, 3, 5),
            ((7, 4), (6, 8)),
            2 * (7 * 4 * 6 + 6 * 8 * 6 + 6 * 8 * 10 + 2 * 7 * 6 * (3 + 5) + 7 * 10 * 4),
        ),
        (
            GQA(3, 4, 2, use_gate=True),
            ((7, 4), (6, 8)),
            2 * (2 * 7 * 4 * 12 + 2 * 6 * 8 * 6 + 4 * 7 * 6 * (3 + 3) + 7 * 12 * 4),
        ),
    ],
    ids=str,
)
def test_flops(layer: jl.Layer, shape: Any, expected: int) -> None:
    assert layer.flops(shape) == expected


OPTIONS = [
    (lambda: jl.Attention(score_mode="cosine"), "Attention: score_mode must be dot or concat, got 'cosine'"),
    (lambda: jl.Attention(dropout=2), "Attention: dropout must be a number from 0 to 1, got 2"),
    (
        lambda: jl.Attention(inputs=("query",)),
        "Attention: inputs must be 'query', 'value' and any others of query, value, key, query_mask, value_mask, "
        "key_mask, each once, got ('query',)",
    ),
    (
        lambda: jl.AdditiveAttention(inputs=("query", "value", "attention_mask")),
        "AdditiveAttention: inputs must be 'query', 'value' and any others of query, value, key, query_mask, "
        "value_mask, key_mask, each once, got ('query', 'value', 'attention_mask')",
    ),
    (lambda: MHA(0, 3), "MultiHeadAttention: num_heads must be an integer of at least 1, got 0"),
    (lambda: MHA(2, 3, 0), "MultiHeadAttention: value_dim must be an integer of at least 1, got 0"),
    (lambda: MHA(2, 3, out_shape=(2, 0)), "MultiHeadAttention: out_shape must be an integer of at least 1, got 0"),
    (lambda: MHA(2, 3, sliding_window=0), "MultiHeadAttention: sliding_window must be an integer of at least 1, got 0"),
    (
        lambda: MHA(2, 3, attention_axes="all"),
        "MultiHeadAttention: axis must be an integer or a list of integers, got 'all'",
    ),
    (lambda: GQA(2, 4, 0), "GroupedQueryAttention: num_key_value_heads must be an integer of at least 1, got 0"),
    (lambda: GQA(2, 4, 3), "GroupedQueryAttention: num_key_value_heads=3 must divide num_query_heads=4"),
]

SHAPES = [
    (jl.Attention(), (7, 4), "Attention needs a tuple of 2 shapes, for query, value, got (7, 4)"),
    (
        jl.Attention(),
        ((7, 4), (5, 3)),
        "Attention needs a query (length, channels), a key of as many channels and a value as long as the key, got "
        "shapes (7, 4), (5, 3) and (5, 3)",
    ),
    (
        jl.Attention(inputs=("query", "value", "value_mask")),
        ((7, 4), (5, 4), (7,)),
        "Attention: value_mask must have shape (5,), got (7,)",
    ),
    (
        MHA(2, 3),
        ((4,), (5, 4)),
        "MultiHeadAttention needs a query (length, channels), and a value and a key of the same length, with known "
        "channels, got shapes (4,), (5, 4) and (5, 4)",
    ),
    (
        MHA(2, 3),
        ((7, 4), (5, 2, 4)),
        "MultiHeadAttention needs a query and a value of the same sizes except for the attention axes and the "
        "channels, got shapes (7, 4) and (5, 2, 4)",
    ),
    (
        MHA(2, 3, attention_axes=-1),
        ((7, 4), (5, 4)),
        "MultiHeadAttention: attention_axes=-1 must be distinct axes between the batch and the channels, got a query "
        "of shape (7, 4) after the batch axis",
    ),
    (
        MHA(2, 3, causal=True),
        ((7, 2, 4), (5, 2, 4)),
        "MultiHeadAttention: causal, sliding_window, query_mask, value_mask and key_mask need an attention over axis 1 "
        "alone, got axes (1, 2) of an input of shape (7, 2, 4)",
    ),
    (
        MHA(2, 3, inputs=("query", "value", "attention_mask")),
        ((7, 4), (5, 4), (5, 7)),
        "MultiHeadAttention: attention_mask must have shape (7, 5), got (5, 7)",
    ),
    (
        MHA(2, 3, inputs=("query", "value", "attention_mask")),
        ((7, 4), (5, 4), (3, 7, 5)),
        "MultiHeadAttention: attention_mask must have shape (2, 7, 5), got (3, 7, 5)",
    ),
    (
        GQA(3, 2, 2),
        ((7, 2, 4), (5, 2, 4)),
        "GroupedQueryAttention needs a query (length, channels), got shape (7, 2, 4)",
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
