"""Nested models: Keras loads the arrays that jconv writes into the original and into the written model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers as kl

import jconv.keras
from tests.support.keras_files import check_fits, deviation, drawn, keras_function, randomize, same, save, save_weights
from tests.support.keras_wiring import WIRING, inner

pytestmark = [
    pytest.mark.usefixtures("quick_weights"),
    # Keras warns if a layer does not support masks.
    pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning"),
]


def dense(*widths: int, name: str | None = None) -> Any:
    return keras.Sequential([keras.Input((4, 3)), *(kl.Dense(width) for width in widths)], name=name)


def sequential_in_functional() -> Any:
    x = keras.Input((4, 3), name="x")
    block = keras.Sequential([keras.Input((4, 3)), kl.Conv1D(3, 2), kl.BatchNormalization(), kl.Dropout(0.5)])
    # These two have a layer of the same name.
    other = keras.Sequential([keras.Input((4, 3)), kl.Dense(3, name="same")])
    another = keras.Sequential([keras.Input((3, 3)), kl.Dense(3, name="same")])
    return keras.Model(x, kl.Dense(2)(another(block(other(x)))))


def functional_in_functional() -> Any:
    x = keras.Input((4, 3), name="x")
    # Operations have no folder. Keras orders layers by depth, not by creation.
    block = inner(lambda v: kl.Add()([kl.Dense(3)(v) * 2.0, kl.Dense(3)(kl.Dense(3)(v)) + v]))
    return keras.Model(x, kl.Dense(2)(block(x)))


def functional_in_sequential() -> Any:
    block = inner(lambda v: kl.LayerNormalization()(kl.Dense(3)(v)) + v)
    return keras.Sequential([keras.Input((4, 3), name="x"), kl.Dense(3), block, kl.Dense(3), dense(3, 2)])


def two_levels() -> Any:
    x = keras.Input((4, 3), name="x")
    deepest = dense(3, 3, name="deepest")
    middle = inner(lambda v: kl.Dense(3)(deepest(v)) + deepest(kl.Dense(3)(v)))
    return keras.Model(x, kl.Dense(2)(keras.Sequential([keras.Input((4, 3)), middle, kl.Dense(3)])(x)))


def called_twice() -> Any:
    x = keras.Input((4, 3), name="x")
    shared = kl.Dense(3)
    block = inner(lambda v: shared(shared(v)) + kl.BatchNormalization()(v))
    return keras.Model(x, kl.Dense(2)(block(kl.Dense(3)(block(x)))))


def several_inputs_and_outputs() -> Any:
    x, y = keras.Input((4, 3), name="x"), keras.Input((4, 3), name="y")
    a, b = keras.Input((4, 3)), keras.Input((4, 3))
    first, second = kl.Dense(2), kl.Dense(2)
    # The outputs are not in the order in which the layers are created.
    block = keras.Model([b, a], [second(b - a), first(a), kl.Dense(2)(b)])
    one, two, three = block([x, y])
    _, again, _ = block([y, y])
    return keras.Model([x, y], [kl.Dense(2)(one), two, again, three])


def models_as_outputs() -> Any:
    """Keras counts the call that created a Functional model as one of its calls; for a Sequential model it does not."""
    x = keras.Input((4, 3), name="x")
    first, second = inner(kl.Dense(3)), dense(3)
    return keras.Model(x, [first(x), second(x), first(second(x)), second(first(x))])


def recurrent() -> Any:
    """A nested model with an LSTM of which one output is not used, and with its input as an output."""
    x = keras.Input((4, 3), name="x")

    def states(v: Any) -> list[Any]:
        y, h, _ = kl.LSTM(3, return_sequences=True, return_state=True)(v)
        return [y, h, v]

    y, h, same = inner(states)(x)
    return keras.Model(x, [kl.Bidirectional(kl.GRU(2))(y, mask=None), h, kl.Dense(1)(same)])


def unused_input() -> Any:
    x = keras.Input((4, 3), name="x")
    a, b = keras.Input((4, 3)), keras.Input((4, 3))
    first, _ = keras.Model([a, b], [kl.Activation("tanh")(a), kl.Activation("relu")(b)])([x, kl.Activation("elu")(x)])
    return keras.Model(x, kl.Dense(2)(first))


def output_used_inside_only() -> Any:
    x = keras.Input((4, 3), name="x")
    v = keras.Input((4, 3))
    y = kl.Dense(3)(v)
    first, _ = keras.Model(v, [kl.Conv1D(3, 1)(y), y])(x)
    return keras.Model(x, kl.Dense(2)(first))


def tokens() -> Any:
    x = keras.Input((4,), dtype="int32", name="x")
    return keras.Model(x, dense(2)(keras.Sequential([keras.Input((4,), dtype="int32"), kl.Embedding(5, 3)])(x)))


def masks_inside() -> Any:
    x = keras.Input((4,), dtype="int32", name="x")
    layers = [kl.Embedding(5, 3, mask_zero=True), kl.LSTM(3, return_sequences=True), kl.GRU(2)]
    return keras.Model(x, kl.Dense(2)(keras.Sequential([keras.Input((4,), dtype="int32"), *layers])(x)))


def masks_into_and_out_of_models() -> Any:
    x = keras.Input((4,), dtype="int32", name="x")
    first = keras.Sequential([keras.Input((4,), dtype="int32"), kl.Embedding(5, 3, mask_zero=True), kl.Dense(3)])
    block = inner(lambda v: kl.Add()([kl.GRU(3, return_sequences=True)(v), kl.Dense(3)(v)]))
    y = block(block(first(x)))
    return keras.Model(x, [kl.LSTM(2)(y, mask=None), kl.Dense(2)(inner(kl.GRU(2))(y))])


MODELS = {
    function.__name__: function
    for function in (
        sequential_in_functional,
        functional_in_functional,
        functional_in_sequential,
        two_levels,
        called_twice,
        several_inputs_and_outputs,
        models_as_outputs,
        recurrent,
        unused_input,
        output_used_inside_only,
        tokens,
        masks_inside,
        masks_into_and_out_of_models,
    )
}


def outputs(model: Any, x: list[Any]) -> list[Any]:
    return keras_function(model)(x)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", MODELS)
def test_keras_loads_written_files(name: str, tmp_path: Path) -> None:
    keras.utils.clear_session()
    model = MODELS[name]()
    randomize(model)
    x = drawn(model)
    expected = outputs(model, x)
    ours = jconv.keras.load(save(model, tmp_path / "a.keras"))
    jconv.keras.save(tmp_path / "b.weights.h5", *ours)
    jconv.keras.save(tmp_path / "b.keras", *ours)
    check_fits(model, tmp_path / "b.weights.h5")
    written = keras.models.load_model(tmp_path / "b.keras")
    for have, want in zip(outputs(written, x), expected, strict=True):
        assert deviation(have, want) < 1e-5
    check_fits(written, tmp_path / "b.weights.h5")
    # jconv reads the original model from the written file.
    assert same(jconv.keras.load(tmp_path / "b.keras")[1:], ours[1:])
    assert same(jconv.keras.load_weights(tmp_path / "b.weights.h5", ours[0]), ours[1:])
    jconv.keras.save(tmp_path / "c.keras", *jconv.keras.load(tmp_path / "b.keras"))
    assert (tmp_path / "b.keras").read_bytes() == (tmp_path / "c.keras").read_bytes()


def test_a_model_called_with_a_mask_is_written_beside_one_without(tmp_path: Path) -> None:
    keras.utils.clear_session()
    x = keras.Input((4,), dtype="int32", name="x")
    y = kl.Embedding(5, 3, mask_zero=True)(x)
    model = keras.Model(x, dense(2, name="outer")(inner(kl.LSTM(3, return_sequences=True))(y, mask=x != 1)))
    randomize(model)
    drawn_x = drawn(model)
    expected = outputs(model, drawn_x)
    ours = jconv.keras.load(save(model, tmp_path / "a.keras"))
    jconv.keras.save(tmp_path / "b.keras", *ours)
    written = keras.models.load_model(tmp_path / "b.keras")
    assert isinstance(written.get_layer("outer"), keras.Sequential)
    assert deviation(outputs(written, drawn_x)[0], expected[0]) < 1e-5
    jconv.keras.save(tmp_path / "b.weights.h5", *ours)
    check_fits(model, tmp_path / "b.weights.h5")


def test_layers_shared_by_two_models_are_saved_if_their_arrays_are_equal(tmp_path: Path) -> None:
    """Keras stores their arrays once; in jconv each model has a copy, and the copies must be equal to be saved."""
    keras.utils.clear_session()
    model = WIRING["shared"]()
    randomize(model)
    ours, params, state = jconv.keras.load(save(model, tmp_path / "a.keras"))
    path = save_weights(model, tmp_path / "a.weights.h5")
    assert same(jconv.keras.load_weights(path, ours), (params, state))
    jconv.keras.save(tmp_path / "b.weights.h5", ours, params, state)
    check_fits(model, tmp_path / "b.weights.h5")
    one, other = (key for key in params if key.endswith("/dense"))
    assert same(params[one], params[other])
    unequal = {**params, other: {name: array + 1 for name, array in params[other].items()}}
    message = f"^nodes '{one}' and '{other}' are one layer in Keras, stored in .*; their arrays must be equal"
    with pytest.raises(jconv.keras.KerasFileError, match=message):
        jconv.keras.save(tmp_path / "c.weights.h5", ours, unequal, state)


def test_a_changed_model_is_written_without_nesting(tmp_path: Path) -> None:
    model = MODELS["called_twice"]()
    ours, params, state = jconv.keras.load(save(model, tmp_path / "a.keras"))
    # One layer of the second call is removed.
    last = next(node for node in ours.nodes if node.name == ours.outputs[0])
    removed = next(node for node in ours.nodes if node.name == last.inputs[0])
    nodes = tuple(replace(n, inputs=removed.inputs[:1]) if n is last else n for n in ours.nodes if n is not removed)
    used = {value for node in nodes for value in node.inputs} | set(ours.outputs)
    changed = replace(ours, nodes=tuple(node for node in nodes if node.name in used))
    jconv.keras.save(tmp_path / "b.keras", changed, params, state)
    x = drawn(model)
    have = outputs(keras.models.load_model(tmp_path / "b.keras"), x)[0]
    assert deviation(have, changed.apply(params, state, x[0])[0]) < 1e-5
