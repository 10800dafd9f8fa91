"""SimpleRNN, LSTM, GRU and ConvLSTM1D compared with their references; training and errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from keras import layers as kl

from jconv import layers as jl
from tests.support.layer_checks import arrays_of, check_against_reference, deviation, drawn, single

DENSE_LAYERS = (jl.SimpleRNN, jl.LSTM, jl.GRU)
EVERYTHING = {"return_sequences": True, "return_state": True}
SHAPE = (4, 2)


def with_states(kind: Any, *more: str, **options: Any) -> jl.Layer:
    """A layer whose inputs are the sequence, `more` (a mask) and initial states."""
    return kind(3, inputs=("sequence", *more, *kind.states), **options)


def shapes_of(layer: Any, sequence: Any = SHAPE, state: Any = (3,)) -> Any:
    shapes = {"sequence": sequence, "mask": sequence[:1]}
    found = tuple(shapes.get(name, state) for name in layer.inputs)
    return found if len(found) > 1 else found[0]


def with_masks(layer: Any, x: Any) -> Any:
    """The inputs with masks of zeros and ones; the first example begins with masked steps."""
    if not isinstance(x, tuple):
        return x
    masks = [np.float64(a > -0.4) if name == "mask" else a for name, a in zip(layer.inputs, x, strict=True)]
    for name, mask in zip(layer.inputs, masks, strict=True):
        if name == "mask":
            mask[0, :2], mask[1, -1] = 0, 0
    return tuple(masks)


def assign(theirs: Any, params: Any) -> None:
    for weight in theirs.trainable_weights:
        weight.assign(params[weight.name])


LAYERS: dict[str, Any] = {
    "SimpleRNN": with_states(jl.SimpleRNN, "mask", activation="elu", go_backwards=True, **EVERYTHING),
    "SimpleRNN unroll": with_states(jl.SimpleRNN, "mask", zero_output_for_mask=True, unroll=True, **EVERYTHING),
    "LSTM": with_states(jl.LSTM, "mask", recurrent_activation="softmax", **EVERYTHING),
    "LSTM bare": jl.LSTM(3, lambda x: x * x / 4, use_bias=False),
    "LSTM zero": jl.LSTM(3, inputs=("mask", "sequence"), zero_output_for_mask=True),
    "GRU": with_states(jl.GRU, activation=None, **EVERYTHING),
    "GRU zero": with_states(jl.GRU, "mask", zero_output_for_mask=True, return_sequences=True, use_bias=False),
    "GRU unroll": with_states(jl.GRU, "mask", unroll=True, go_backwards=True),
    "GRU reset before": jl.GRU(3, recurrent_activation="softmax", reset_after=False, return_sequences=True),
}

CONV_LSTMS: dict[str, tuple[Any, Any, Any]] = {
    "stride": (jl.ConvLSTM1D(2, 3, 2, "same", use_bias=False, go_backwards=True), (3, 5, 2), None),
    "mask": (
        jl.ConvLSTM1D(2, 2, dilation=2, padding="causal", inputs=("sequence", "mask", "h", "c"), **EVERYTHING),
        (3, 5, 2),
        (5, 2),
    ),
    "channels first": (
        jl.ConvLSTM1D(3, 2, data_format="channels_first", inputs=("sequence", "h", "c"), **EVERYTHING),
        (3, 2, 5),
        (3, 4),
    ),
}


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("name", LAYERS)
def test_values_and_derivatives_equal_the_reference(name: str) -> None:
    layer = LAYERS[name]
    shape = shapes_of(layer)
    check_against_reference(layer, shape, with_masks(layer, drawn(shape)))


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", CONV_LSTMS)
def test_conv_lstm_equals_the_reference(name: str) -> None:
    layer, sequence, state = CONV_LSTMS[name]
    shape = shapes_of(layer, sequence, state)
    check_against_reference(layer, shape, with_masks(layer, drawn(shape)))


def test_conv_lstm_with_a_mask_equals_keras() -> None:
    layer, theirs = jl.ConvLSTM1D(2, 2, inputs=("sequence", "mask"), return_sequences=True), kl.ConvLSTM1D(2, 2)
    theirs.return_sequences = True
    x, mask = single(drawn((3, 5, 2), batch=1)), np.array([[True, False, True]])
    theirs.build((1, 3, 5, 2))
    params, _ = single(arrays_of(layer, ((3, 5, 2), (3,))))
    assign(theirs, params)
    assert deviation(layer.apply(params, {}, (x, mask))[0], theirs(x, mask=mask)) < 2e-6


@pytest.mark.parametrize("kind", DENSE_LAYERS)
def test_masked_steps_are_skipped(kind: Any) -> None:
    layer = kind(3, inputs=("sequence", "mask"), return_state=True)
    params, _ = single(arrays_of(layer, (SHAPE, SHAPE[:1])))
    x = single(drawn(SHAPE, batch=1))
    kept = np.array([True, False, True, False])
    y, _ = layer.apply(params, {}, (x, kept[None]))
    short, _ = kind(3, return_state=True).apply(params, {}, x[:, kept])
    assert all(deviation(a, b) < 1e-6 for a, b in zip(y, short, strict=True))


def test_masks_may_be_booleans_integers_or_floats() -> None:
    layer = jl.GRU(3, inputs=("sequence", "mask"))
    params, x = single(arrays_of(layer, (SHAPE, SHAPE[:1]))[0]), single(drawn(SHAPE))
    mask = np.array([[1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 0, 1]])
    values = [layer.apply(params, {}, (x, mask.astype(dtype)))[0] for dtype in ("bool", "int32", "float32")]
    assert (values[0] == values[1]).all() and (values[0] == values[2]).all()


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(
    ("layer", "made", "shape"),
    [
        (jl.LSTM(32), kl.LSTM(32), (None, 40)),
        (jl.LSTM(3, unit_forget_bias=False), kl.LSTM(3, unit_forget_bias=False), (None, 2)),
        (jl.GRU(3), kl.GRU(3), (None, 2)),
        (jl.ConvLSTM1D(8, 3), kl.ConvLSTM1D(8, 3), (None, 9, 20)),
    ],
    ids=("LSTM", "no forget bias", "GRU", "ConvLSTM1D"),
)
def test_init_draws_as_keras(layer: jl.Layer, made: Any, shape: Any) -> None:
    made.build((None, *shape))
    params, state = layer.init(jax.random.key(0), shape)
    assert state == {} and list(params) == [w.name for w in made.trainable_weights]
    for weight in made.trainable_weights:
        array, drawn_there = np.asarray(params[weight.name]), np.asarray(weight.value)
        assert array.dtype == np.float32 and array.shape == drawn_there.shape
        if weight.name == "bias":
            assert (array == drawn_there).all()
        elif weight.name == "recurrent_kernel":
            for drawn_one in (array, drawn_there):
                matrix = drawn_one.reshape(-1, drawn_one.shape[-1])
                square = matrix @ matrix.T if len(matrix) < matrix.shape[1] else matrix.T @ matrix
                assert np.abs(square - np.eye(len(square))).max() < 1e-5
        elif array.size > 1000:
            assert np.abs(array).max() == pytest.approx(np.abs(drawn_there).max(), rel=0.01)
            assert array.std() == pytest.approx(drawn_there.std(), rel=0.05)
    other, _ = layer.init(jax.random.key(1), shape)
    assert all((other[name] != params[name]).any() for name in ("kernel", "recurrent_kernel"))


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(
    ("layer", "dtype"),
    [(jl.LSTM(3, **EVERYTHING), jnp.bfloat16), (jl.GRU(3), jnp.float16), (jl.ConvLSTM1D(3, 2), jnp.bfloat16)],
    ids=("LSTM", "GRU", "ConvLSTM1D"),
)
def test_16_bit_floats_compute_in_float32(layer: jl.Layer, dtype: Any) -> None:
    shape = (4, 5, 2) if isinstance(layer, jl.ConvLSTM1D) else (4, 2)
    params, x = jax.tree.map(lambda a: jnp.asarray(a, dtype), (arrays_of(layer, shape)[0], drawn(shape)))
    y = jax.tree.leaves(layer.apply(params, {}, x)[0])
    full = jax.tree.map(lambda a: a.astype(jnp.float32), (params, x))
    for half, exact in zip(y, jax.tree.leaves(layer.apply(full[0], {}, full[1])[0]), strict=True):
        assert half.dtype == dtype
        # Only the rounding of the result differs.
        assert (half == exact.astype(dtype)).all() or deviation(half.astype(jnp.float32), exact) < jnp.finfo(dtype).eps


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("kind", [jl.SimpleRNN, jl.GRU])
def test_dropout_of_the_sequence_is_the_same_at_all_steps(kind: Any) -> None:
    # One feature and one unit, with recurrent weights of zero: the outputs show whether the feature was dropped.
    layer = kind(1, dropout=0.25, return_sequences=True, use_bias=False)
    params = {name: jnp.zeros(s) for name, s in layer.param_shapes((5, 1)).items()}
    params["kernel"] = jnp.ones_like(params["kernel"])
    x = jnp.ones((2000, 5, 1))
    run = jax.jit(lambda x: layer.apply(params, {}, x, key=jax.random.key(0))[0])
    train = jax.jit(lambda x, key: layer.apply(params, {}, x, training=True, key=key)[0])
    y, whole, nothing = train(x, jax.random.key(0)), run(x / 0.75), run(0 * x)
    dropped = jnp.isclose(y, nothing).all(axis=(1, 2))
    assert float(dropped.mean()) == pytest.approx(0.25, abs=0.04)
    assert jnp.allclose(jnp.where(dropped[:, None, None], whole, y), whole)
    assert (train(x, jax.random.key(0)) == y).all() and (train(x, jax.random.key(1)) != y).any()
    assert (run(x) == run(x)[:1]).all()


def test_recurrent_dropout_drops_states_at_all_steps() -> None:
    # A running sum of ones. A dropped state gives 1, 1, 1; a kept state is doubled and gives 1, 1 + 2 * 1, 1 + 2 * 3.
    layer = jl.SimpleRNN(1, activation=None, recurrent_dropout=0.5, return_sequences=True)
    params = {"kernel": jnp.ones((1, 1)), "recurrent_kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)}
    y, _ = layer.apply(params, {}, jnp.ones((1000, 3, 1)), training=True, key=jax.random.key(0))
    rows = {tuple(row) for row in np.asarray(y[..., 0]).tolist()}
    assert rows == {(1, 1, 1), (1, 3, 7)}
    assert float((y[:, 1] == 1).mean()) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("layer", [jl.LSTM(3, recurrent_dropout=0.5), jl.GRU(3, recurrent_dropout=0.5)], ids=str)
def test_recurrent_dropout_draws_a_mask_for_each_gate(layer: Any) -> None:
    own, recurrent = layer._draw_dropout(jax.random.key(0), (2, 4, 5), jnp.float32)
    assert own == () and [a.shape for a in recurrent] == [(2, 3)] * layer.gates
    assert not all((a == recurrent[0]).all() for a in recurrent)


BOTH = {"dropout": 0.4, "recurrent_dropout": 0.4}


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(
    ("layer", "made", "shape"),
    [
        (jl.LSTM(3, **BOTH), kl.LSTM(3, **BOTH), SHAPE),
        (jl.GRU(3, **BOTH), kl.GRU(3, **BOTH), SHAPE),
        (jl.GRU(3, reset_after=False, **BOTH), kl.GRU(3, reset_after=False, **BOTH), SHAPE),
        (jl.ConvLSTM1D(3, 2, **BOTH), kl.ConvLSTM1D(3, 2, **BOTH), (3, 5, 2)),
        (jl.ConvLSTM1D(3, 2, dropout=0.4), kl.ConvLSTM1D(3, 2, dropout=0.4), (3, 5, 2)),
    ],
    ids=("LSTM", "GRU", "reset before", "ConvLSTM1D", "of the sequence alone"),
)
def test_dropout_equals_keras_with_the_same_masks(layer: Any, made: Any, shape: Any) -> None:
    params, x = single(arrays_of(layer, shape)[0]), single(drawn(shape))
    y, _ = layer.apply(params, {}, x, training=True, key=jax.random.key(0))
    own, recurrent = layer._draw_dropout(jax.random.key(0), x.shape, jnp.float32)
    made.build(x.shape)
    assign(made, params)
    made.cell._dropout_mask = list(own)
    made.cell._recurrent_dropout_mask = list(recurrent) or None
    assert deviation(y, made(x, training=True)) < 2e-6


def test_training_without_dropout_needs_no_key() -> None:
    layer, x = jl.LSTM(3), single(drawn(SHAPE))
    params = single(arrays_of(layer, SHAPE)[0])
    assert (layer.apply(params, {}, x, training=True)[0] == layer.apply(params, {}, x)[0]).all()
    assert deviation(layer.reference(params, {}, x, training=True), layer.apply(params, {}, x)[0]) < 1e-6


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (jl.LSTM(3), (None, 2), (3,)),
        (jl.GRU(3, **EVERYTHING), (None, 2), ((None, 3), (3,))),
        (jl.LSTM(3, inputs=("sequence", "h", "c", "mask")), ((None, 2), (3,), (None,), (7,)), (3,)),
        (jl.ConvLSTM1D(3, 2, return_sequences=True), (None, 5, 2), (None, 4, 3)),
        (jl.ConvLSTM1D(3, 2, data_format="channels_first", return_state=True), (7, 2, 5), ((3, 4),) * 3),
    ],
    ids=str,
)
def test_unknown_lengths_and_several_outputs(layer: jl.Layer, shape: Any, expected: Any) -> None:
    assert layer.output_shape(shape) == expected
    assert layer.window() is None


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (jl.SimpleRNN(3), (7, 2), 2 * 7 * (2 + 3) * 3),
        (jl.LSTM(3, inputs=("mask", "sequence")), ((7,), (7, 2)), 2 * 7 * (2 + 3) * 4 * 3),
        (jl.GRU(3), (7, 2), 2 * 7 * (2 + 3) * 3 * 3),
        (jl.ConvLSTM1D(3, 2), (7, 5, 2), 2 * 7 * 4 * 2 * (2 + 3) * 4 * 3),
        (jl.ConvLSTM1D(3, 2, data_format="channels_first"), (7, 2, 5), 2 * 7 * 4 * 2 * (2 + 3) * 4 * 3),
    ],
    ids=str,
)
def test_flops(layer: jl.Layer, shape: Any, expected: int) -> None:
    assert layer.flops(shape) == expected


def test_str_and_hash() -> None:
    assert str(jl.LSTM(3, return_sequences=True)) == "LSTM(3, return_sequences=True)"
    assert hash(jl.GRU(3, inputs=["sequence", "mask"])) == hash(jl.GRU(3, inputs=("sequence", "mask")))


def test_values_and_gradients_of_a_sharded_batch_equal_one_device() -> None:
    layer = jl.LSTM(3, return_sequences=True)
    params, x = single(arrays_of(layer, SHAPE)[0]), single(drawn(SHAPE, batch=8))
    run = jax.jit(lambda p, x: layer.apply(p, {}, x)[0])
    expected = run(params, x)
    bars = jax.jit(jax.grad(lambda p: jnp.sum(run(p, x) ** 2)))(params)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    batch, whole = PartitionSpec("data"), PartitionSpec()

    def loss(params: Any, x: Any) -> Any:
        return jax.lax.psum(jnp.sum(layer.apply(params, {}, x)[0] ** 2), "data")

    with jax.set_mesh(mesh):
        placed = jax.device_put(x, NamedSharding(mesh, batch))
        assert deviation(run(params, placed), expected) < 1e-6
        gradient = jax.jit(jax.shard_map(jax.grad(loss), in_specs=(whole, batch), out_specs=whole))
        assert all(deviation(bar, bars[name]) < 1e-5 for name, bar in gradient(params, placed).items())


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: jl.LSTM(0), "LSTM: units must be an integer of at least 1, got 0"),
    (lambda: jl.GRU(3, activation="glu"), "GRU: activation must keep the number of channels, got 'glu'"),
    (
        lambda: jl.SimpleRNN(3, stateful=True),
        "SimpleRNN: stateful must be False: layers keep no state between calls; use return_state=True and "
        "inputs=('sequence', 'h')",
    ),
    (lambda: jl.LSTM(3, dropout=1.1), "LSTM: dropout must be a number from 0 to 1, got 1.1"),
    (
        lambda: jl.GRU(3, dropout=1.0).apply(*arrays_of(jl.GRU(3), (7, 2)), np.ones((1, 7, 2)), training=True),
        "GRU: dropout must be below 1 in training, got 1",
    ),
    (
        lambda: jl.LSTM(3, recurrent_dropout="x"),
        "LSTM: recurrent_dropout must be a number from 0 to 1, got 'x'",
    ),
    (
        lambda: jl.LSTM(3, inputs=("sequence", "h")),
        "LSTM: inputs must be sequence, optionally mask and all or none of h, c, got ('sequence', 'h')",
    ),
    (
        lambda: jl.GRU(3, inputs="sequence,mask"),
        "GRU: inputs must be sequence, optionally mask and all or none of h, got ('sequence,mask',)",
    ),
    (
        lambda: jl.LSTM(3).output_shape((7,)),
        "LSTM needs an input of shape (length, channels) after the batch axis, got (7,)",
    ),
    (
        lambda: jl.GRU(3, inputs=("sequence", "h")).output_shape(((7, 2), (4,))),
        "GRU on a sequence of shape (7, 2) needs h of shape (3,), got (4,)",
    ),
    (
        lambda: jl.GRU(3, inputs=("sequence", "mask")).output_shape(((7, 2), (6,))),
        "GRU on a sequence of shape (7, 2) needs mask of shape (7,), got (6,)",
    ),
    (
        lambda: jl.GRU(3, inputs=("sequence", "mask")).output_shape((7, 2)),
        "GRU needs a tuple of shapes, one for each of sequence, mask, got (7, 2)",
    ),
    (
        lambda: jl.LSTM(3, dropout=0.5).apply(*arrays_of(jl.LSTM(3), (7, 2)), np.ones((1, 7, 2)), training=True),
        "LSTM: training with dropout=0.5 and recurrent_dropout=0.0 needs a key, got None",
    ),
    (
        lambda: jl.LSTM(3, dropout=0.5).reference(*arrays_of(jl.LSTM(3), (7, 2)), np.ones((1, 7, 2)), training=True),
        "LSTM: the reference has no mask for training with dropout=0.5 and recurrent_dropout=0.0; use 0",
    ),
    (
        lambda: jl.LSTM(3).flops((None, 2)),
        "LSTM needs every size known to count operations, got shape (None, 2)",
    ),
    (
        lambda: jl.ConvLSTM1D(3, 2, data_format="first"),
        "ConvLSTM1D: data_format must be one of channels_last, channels_first, got 'first'",
    ),
    (lambda: jl.ConvLSTM1D(3, 0), "ConvLSTM1D: kernel_size must be an integer of at least 1, got 0"),
    (
        lambda: jl.ConvLSTM1D(3, 2).output_shape((7, None, 2)),
        "ConvLSTM1D needs a sequence of shape (time, length, channels) after the batch axis, the last two known, got "
        "(7, None, 2)",
    ),
    (
        lambda: jl.ConvLSTM1D(3, 2, data_format="channels_first").output_shape((7, 2, None)),
        "ConvLSTM1D needs a sequence of shape (time, channels, length) after the batch axis, the last two known, got "
        "(7, 2, None)",
    ),
    (
        lambda: jl.ConvLSTM1D(3, 4).output_shape((7, 3, 2)),
        "ConvLSTM1D: x has 3 samples, 3 with padding, but kernel_size=4 with dilation=1 reaches over 4; "
        "pad x or use a smaller kernel",
    ),
]


@pytest.mark.parametrize(("refused", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_invalid_arguments_are_refused(refused: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        refused()


def test_unknown_activations_are_named() -> None:
    with pytest.raises(ValueError, match=r"^LSTM: recurrent_activation must be None, a function, or one of .*'tahn'$"):
        jl.LSTM(3, recurrent_activation="tahn")


def test_configs_of_keras_2_are_read() -> None:
    from jconv.keras.files.errors import KerasFileError
    from jconv.keras.kinds import KINDS
    from jconv.keras.kinds.config import Config

    old = {"units": 3, "recurrent_activation": "hard_sigmoid", "implementation": 1, "time_major": False}
    layer = KINDS["GRU"].make(Config(old, "layer"), lambda value, place: jl.Dense(1))
    assert layer == jl.GRU(3, recurrent_activation="hard_sigmoid")
    with pytest.raises(
        KerasFileError, match=r"^layer: time_major must be False; jconv supports no other value here, got True$"
    ):
        KINDS["GRU"].make(Config({**old, "time_major": True}, "layer"), lambda value, place: jl.Dense(1))
    with pytest.raises(KerasFileError, match=r"^layer: stateful must be False: layers keep no state between calls"):
        KINDS["LSTM"].make(Config({"units": 3, "stateful": True}, "layer"), lambda value, place: jl.Dense(1))
