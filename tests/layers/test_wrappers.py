"""Bidirectional and TimeDistributed compared with their references and, in training, with Keras; errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from keras import layers as kl

import jconv
from jconv import layers as jl
from jconv.layers.nesting import unwrap
from tests.support.layer_checks import arrays_of, check_against_reference, deviation, drawn, single

EVERYTHING = {"return_sequences": True, "return_state": True}
SHAPE = (4, 2)
SHAPES = {"sequence": SHAPE, "mask": (4,)}
STATES = ("forward_h", "forward_c", "backward_h", "backward_c")


def shapes_of(layer: Any) -> Any:
    found = tuple(SHAPES.get(name, (3,)) for name in layer.inputs)
    return found if len(found) > 1 else found[0]


BIDIRECTIONAL: dict[str, Any] = {
    "sum": jl.Bidirectional(jl.SimpleRNN(3, return_sequences=True), "sum"),
    "mask": jl.Bidirectional(jl.LSTM(3, **EVERYTHING), inputs=("sequence", *STATES, "mask")),
    "mask last": jl.Bidirectional(jl.GRU(3), "mul", inputs=("mask", "sequence")),
    "tuple": jl.Bidirectional(jl.GRU(3, **EVERYTHING), None),
    "other": jl.Bidirectional(jl.LSTM(3, go_backwards=True), "ave", backward_layer=jl.GRU(3)),
}

TIME_DISTRIBUTED: dict[str, tuple[jl.Layer, Any]] = {
    "conv": (jl.TimeDistributed(jl.Conv1D(2, 3, activation="tanh")), (3, 5, 2)),
    "norm": (jl.TimeDistributed(jl.BatchNormalization()), (3, 5, 2)),
    "several inputs": (jl.TimeDistributed(jl.Concatenate()), ((3, 5, 2), (3, 5, 1))),
    "several outputs": (jl.TimeDistributed(jl.GRU(2, **EVERYTHING)), (3, 5, 2)),
    "twice": (jl.TimeDistributed(jl.TimeDistributed(jl.Dense(2))), (3, 5, 2)),
    "in both": (jl.TimeDistributed(jl.Bidirectional(jl.SimpleRNN(2))), (3, 5, 2)),
    "frozen": (jl.Frozen(jl.TimeDistributed(jl.InDtype(jl.Dense(2), "float64"))), (3, 2)),
    "ignored mask": (jl.TimeDistributed(jl.Dense(2), inputs=("sequence", "mask")), ((3, 2), (3,))),
}


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", BIDIRECTIONAL)
def test_bidirectional_equals_the_reference(name: str) -> None:
    layer = BIDIRECTIONAL[name]
    x, shape = drawn(shapes_of(layer)), shapes_of(layer)
    if isinstance(x, tuple):
        x = tuple(np.float64(a > -0.4) if name == "mask" else a for name, a in zip(layer.inputs, x, strict=True))
    check_against_reference(layer, shape, x)


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("name", TIME_DISTRIBUTED)
def test_time_distributed_equals_the_reference(name: str) -> None:
    check_against_reference(*TIME_DISTRIBUTED[name])


def test_a_mask_with_more_axes_is_passed_to_the_layer() -> None:
    layer = jl.TimeDistributed(jl.LSTM(2, return_sequences=True), inputs=("mask", "sequence"))
    x, mask = drawn((3, 5, 2)), np.float64(drawn((3, 5), seed=5) > 0)
    check_against_reference(layer, ((3, 5), (3, 5, 2)), (mask, x))
    params, _ = arrays_of(layer, ((3, 5), (3, 5, 2)))
    plain, _ = jl.LSTM(2, return_sequences=True, inputs=("sequence", "mask")).apply(
        {name.removeprefix("layer/"): array for name, array in params.items()}, {}, (x[:, 1], mask[:, 1])
    )
    assert deviation(layer.reference(params, {}, (mask, x))[:, 1], plain) < 1e-5
    # With one more time axis, the inner wrapper also passes its part of the mask to its layer.
    twice = jl.TimeDistributed(jl.TimeDistributed(jl.LSTM(2)), inputs=("sequence", "mask"))
    params = {f"layer/{name}": array for name, array in params.items()}
    y = twice.reference(params, {}, (x[:, None], mask[:, None]))
    once = replace(layer, layer=jl.LSTM(2)).reference(
        {name.removeprefix("layer/"): array for name, array in params.items()}, {}, (mask, x)
    )
    assert deviation(y[:, 0], once) < 1e-13


def test_bidirectional_is_two_layers() -> None:
    layer = jl.Bidirectional(jl.LSTM(3, return_sequences=True))
    params, _ = layer.init(jax.random.key(0), SHAPE)
    assert list(params) == [f"{s}/{n}" for s in ("forward", "backward") for n in ("kernel", "recurrent_kernel", "bias")]
    assert (params["forward/kernel"] != params["backward/kernel"]).all()
    x = single(drawn(SHAPE))
    y, _ = layer.apply(params, {}, x)
    for side, turned, share in (("forward", 1, slice(3)), ("backward", -1, slice(3, 6))):
        own = {name.removeprefix(f"{side}/"): array for name, array in params.items() if name.startswith(side)}
        alone, _ = jl.LSTM(3, return_sequences=True).apply(own, {}, x[:, ::turned])
        assert deviation(y[:, ::turned, share], alone) < 1e-6


def test_bidirectional_dropout_is_independent_in_each_direction() -> None:
    layer = jl.Bidirectional(jl.SimpleRNN(1, activation=None, dropout=0.5, use_bias=False), None)
    params = {name: jnp.ones((1, 1)) if name.endswith("/kernel") else jnp.zeros((1, 1)) for name in param_names(layer)}
    (y, other), _ = layer.apply(params, {}, jnp.ones((1000, 3, 1)), training=True, key=jax.random.key(0))
    assert set(np.unique(y)) == set(np.unique(other)) == {0, 2}
    assert float((y == other).mean()) == pytest.approx(0.5, abs=0.05)


def param_names(layer: jl.Layer) -> list[str]:
    return list(layer.param_shapes((3, 1)))


@pytest.mark.parametrize(
    "layer", [jl.Frozen(jl.LSTM(3, return_state=True)), jl.InDtype(jl.LSTM(3), "float16")], ids=str
)
def test_bidirectional_around_a_wrapped_layer_equals_the_layer_itself(layer: Any) -> None:
    both = jl.Bidirectional(layer, inputs=("sequence", "mask"))
    plain = jl.Bidirectional(unwrap(layer), inputs=("sequence", "mask"))
    params, state = single(arrays_of(both, shapes_of(both)))
    x = single(drawn(SHAPE)), np.ones((3, 4), bool)
    y, after = both.apply(params, state, x)
    expected, _ = plain.apply(params | state, {}, x)
    for a, b in zip(jax.tree.leaves(y), jax.tree.leaves(expected), strict=True):
        assert deviation(a.astype(jnp.float32), b) < 2e-3
    assert set(after) == set(state) and len(params | state) == 6


@pytest.mark.parametrize(
    ("layer", "theirs", "shape"),
    [
        (jl.BatchNormalization(momentum=0.9), lambda: kl.BatchNormalization(momentum=0.9), (3, 5, 2)),
        (jl.Conv1D(2, 3), lambda: kl.Conv1D(2, 3), (3, 5, 2)),
    ],
    ids=["norm", "conv"],
)
def test_time_distributed_trains_as_keras(layer: jl.Layer, theirs: Callable[[], Any], shape: Any) -> None:
    ours, made, x = jl.TimeDistributed(layer), kl.TimeDistributed(theirs()), single(drawn(shape))
    made.build((None, *shape))
    params, state = single(arrays_of(ours, shape))
    for weight in made.weights:
        weight.assign((params | state)[f"layer/{weight.name}"])
    y, after = jax.jit(lambda x: ours.apply(params, state, x, training=True))(x)
    assert deviation(y, made(x, training=True)) < 5e-6
    assert deviation(y, ours.reference(params, state, x, training=True)) < 5e-6
    for weight in made.non_trainable_weights:
        assert deviation(after[f"layer/{weight.name}"], weight) < 2e-6
    for weight in made.trainable_weights:
        assert f"layer/{weight.name}" in params


def test_time_distributed_batch_normalization_uses_the_mask_in_training_as_keras() -> None:
    ours = jl.TimeDistributed(jl.BatchNormalization(), inputs=("sequence", "mask"))
    made, x, mask = kl.TimeDistributed(kl.BatchNormalization()), single(drawn(SHAPE, batch=5)), drawn((4,), batch=5) > 0
    made.build((None, *SHAPE))
    params, state = single(arrays_of(ours, (SHAPE, (4,))))
    for weight in made.weights:
        weight.assign((params | state)[f"layer/{weight.name}"])
    y, after = ours.apply(params, state, (x, mask), training=True)
    assert deviation(y, made(x, training=True, mask=mask)) < 5e-6
    assert deviation(y, ours.reference(params, state, (x, mask), training=True)) < 5e-6
    for weight in made.non_trainable_weights:
        assert deviation(after[f"layer/{weight.name}"], weight) < 2e-6


def test_a_mask_of_time_steps_is_ignored_by_layers_that_cannot_use_it() -> None:
    layer = jl.TimeDistributed(jl.LSTM(2), inputs=("sequence", "mask"))
    params, state = single(arrays_of(layer, ((3, 5, 2), (3,))))
    x = single(drawn((3, 5, 2)))
    y, _ = layer.apply(params, state, (x, np.zeros((3, 3), bool)))
    assert (y == jl.TimeDistributed(jl.LSTM(2)).apply(params, state, x)[0]).all()
    with pytest.raises(
        ValueError, match=r"^LSTM on a sequence of shape \(5, 2\) needs mask of shape \(5,\), got \(4,\)$"
    ):
        layer.output_shape(((3, 5, 2), (3, 4)))


def test_dropout_is_independent_at_each_time_step() -> None:
    layer, x = jl.TimeDistributed(jl.Dropout(0.5)), jnp.ones((50, 2, 50))
    y, _ = layer.apply({}, {}, x, training=True, key=jax.random.key(0))
    assert float((y[:, 0] == y[:, 1]).mean()) == pytest.approx(0.5, abs=0.05)
    with pytest.raises(ValueError, match=r"^Dropout: training with rate=0.5 needs a key, got None"):
        layer.apply({}, {}, x, training=True)


def test_a_layer_with_state_uses_the_statistics_of_each_shard() -> None:
    layer = jl.TimeDistributed(jl.BatchNormalization())
    params, state = layer.init(jax.random.key(0), (3, 2))
    x = single(drawn((3, 2), batch=8))
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    batch, whole = jax.sharding.PartitionSpec("data"), jax.sharding.PartitionSpec()

    def run(x: Any) -> Any:
        y, after = layer.apply(params, state, x, training=True)
        return y, jax.lax.pmean(after["layer/moving_mean"], "data")

    y, mean = jax.shard_map(run, mesh=mesh, in_specs=batch, out_specs=(batch, whole))(x)
    halves = [layer.apply(params, state, half, training=True) for half in (x[:4], x[4:])]
    assert deviation(y, jnp.concatenate([y for y, _ in halves])) < 1e-6
    assert deviation(mean, sum(after["layer/moving_mean"] for _, after in halves) / 2) < 1e-6


def test_a_model_with_time_distributed_and_bidirectional() -> None:
    layers = [
        jl.TimeDistributed(jl.Conv1D(4, 3, activation="relu")),
        jl.TimeDistributed(jl.Flatten()),
        jl.Bidirectional(jl.LSTM(3)),
        jl.Dense(2),
    ]
    model = jconv.sequential(layers)
    params, state = model.init(jax.random.key(0), (None, 9, 1))
    y, _ = model.apply(params, state, jnp.ones((2, 5, 9, 1)))
    assert y.shape == (2, 2)
    assert set(params["time_distributed"]) == {"layer/kernel", "layer/bias"}
    assert "Bidirectional(LSTM(3))" in model.summary((5, 9, 1))
    assert layers[0].flops((5, 9, 1)) == 5 * layers[0].layer.flops((9, 1)) and layers[0].window() == (1, 1)
    assert layers[2].flops((5, 4)) == 2 * jl.LSTM(3).flops((5, 4)) and layers[2].window() is None


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (jl.Bidirectional(jl.LSTM(3, **EVERYTHING)), (None, 2), ((None, 6), (3,), (3,), (3,), (3,))),
        (jl.Bidirectional(jl.GRU(3), None, inputs=("sequence", "mask")), ((None, 2), (None,)), ((3,), (3,))),
        (jl.Bidirectional(jl.LSTM(3), backward_layer=jl.GRU(2, go_backwards=True)), (7, 2), (5,)),
        (jl.TimeDistributed(jl.Conv1D(3, 2)), (None, 5, 1), (None, 4, 3)),
        (jl.TimeDistributed(jl.Dense(3), inputs=("sequence", "mask")), ((None, 2), (7,)), (7, 3)),
        (jl.TimeDistributed(jl.LSTM(3, return_state=True)), (7, None, 1), ((7, 3),) * 3),
    ],
    ids=str,
)
def test_unknown_lengths_and_several_outputs(layer: jl.Layer, shape: Any, expected: Any) -> None:
    assert layer.output_shape(shape) == expected


BACKWARD = {"go_backwards": True}
REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: jl.Bidirectional(jl.Dense(3)), "Bidirectional: layer must be a recurrent layer, got Dense(3)"),
    (lambda: jl.Bidirectional(None), "Bidirectional: layer must be a recurrent layer, got None"),
    (
        lambda: jl.Bidirectional(jl.GRU(3), backward_layer=jl.Dense(3)),
        "Bidirectional: backward_layer must be a recurrent layer, got Dense(3)",
    ),
    (
        lambda: jl.Bidirectional(jl.GRU(3, inputs=("sequence", "mask"))),
        "Bidirectional: layer must have one input, the sequence; states and masks are inputs of Bidirectional; got "
        "GRU(3, inputs=('sequence', 'mask'))",
    ),
    (
        lambda: jl.Bidirectional(jl.GRU(3), "max"),
        "Bidirectional: merge_mode must be one of ('concat', 'sum', 'ave', 'mul', None), got 'max'",
    ),
    (
        lambda: jl.Bidirectional(jl.GRU(3), backward_layer=jl.GRU(3)),
        "Bidirectional: go_backwards of layer and backward_layer must differ, got False twice",
    ),
    (
        lambda: jl.Bidirectional(jl.GRU(3), backward_layer=jl.GRU(3, return_state=True, **BACKWARD)),
        "Bidirectional: return_state of layer and backward_layer must be the same, got False and True",
    ),
    (
        lambda: jl.Bidirectional(jl.LSTM(3), inputs=("sequence", "h")),
        "Bidirectional: inputs must be sequence, optionally mask and all or none of forward_h, forward_c, backward_h, "
        "backward_c, got ('sequence', 'h')",
    ),
    (
        lambda: jl.Bidirectional(jl.GRU(3), "sum", backward_layer=jl.GRU(4, **BACKWARD)).output_shape((7, 2)),
        "Bidirectional: merge_mode='sum' needs outputs of the same shape, got (3,) and (4,)",
    ),
    (
        lambda: jl.Bidirectional(jl.GRU(3), inputs=("sequence", "forward_h", "backward_h")).output_shape(
            ((7, 2), (3,), (4,))
        ),
        "Bidirectional on a sequence of shape (7, 2) needs backward_h of shape (3,), got (4,)",
    ),
    (lambda: jl.TimeDistributed("conv"), "TimeDistributed: layer must be a layer, got 'conv'"),
    (
        lambda: jl.TimeDistributed(jl.Dense(3), inputs=("sequence", "h")),
        "TimeDistributed: inputs must be sequence, optionally mask, got ('sequence', 'h')",
    ),
    (
        lambda: jl.TimeDistributed(jl.Add(), inputs=("sequence", "mask")),
        "TimeDistributed: inputs must be the sequence alone around Add()",
    ),
    (
        lambda: jl.TimeDistributed(jl.Dense(3)).output_shape((7,)),
        "TimeDistributed needs inputs of shape (time, ...) after the batch axis, all with the same time, got (7,)",
    ),
    (
        lambda: jl.TimeDistributed(jl.Add()).output_shape(((7, 2), (6, 2))),
        "TimeDistributed needs inputs of shape (time, ...) after the batch axis, all with the same time, got "
        "((7, 2), (6, 2))",
    ),
    (
        lambda: jl.TimeDistributed(jl.Add()).output_shape((7, 2)),
        "TimeDistributed needs a tuple of shapes, one for each input, got (7, 2)",
    ),
    (
        lambda: jl.TimeDistributed(jl.Dense(3)).flops((None, 2)),
        "TimeDistributed needs every size known to count operations, got shape (None, 2)",
    ),
    (
        lambda: jl.TimeDistributed(jl.Dense(3)).apply({}, {}, np.ones((1, 7, 2))),
        "TimeDistributed needs params with 'layer/bias', 'layer/kernel', got nothing",
    ),
]


@pytest.mark.parametrize(("refused", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_invalid_arguments_are_refused(refused: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        refused()


def test_str_shows_a_backward_layer_only_if_it_is_not_the_mirror_image() -> None:
    forward = jl.LSTM(3, return_sequences=True)
    mirror = jl.LSTM(3, return_sequences=True, go_backwards=True)
    assert str(jl.Bidirectional(forward, backward_layer=mirror)) == "Bidirectional(LSTM(3, return_sequences=True))"
    other = jl.Bidirectional(jl.GRU(2), "sum", backward_layer=jl.GRU(3, go_backwards=True))
    assert str(other) == "Bidirectional(GRU(2), merge_mode='sum', backward_layer=GRU(3, go_backwards=True))"
