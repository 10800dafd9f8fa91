"""Keras files other than archives: folders, arrays in `.npz` files, and arrays in separate files."""

import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest
from keras import layers as kl
from keras.src.saving import saving_lib

import jconv.keras
from jconv import layers as jl
from tests.support.keras_files import randomize, same, save, save_weights
from tests.support.paths import KERAS_TWO_FILES


def nested_model() -> Any:
    """A model in a model, with state, so that the file has nested folders."""
    inner_input = keras.Input((9, 4))
    inner = keras.Model(inner_input, kl.BatchNormalization()(kl.Conv1D(4, 3)(inner_input)), name="inner")
    x = keras.Input((9, 3), name="x")
    model = keras.Model(x, kl.Dense(2)(inner(kl.Conv1D(4, 3, padding="same")(x))))
    randomize(model)
    return model


def test_an_unzipped_folder_is_read(tmp_path: Path) -> None:
    path = save(nested_model(), tmp_path / "model.keras")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "folder")
    assert same(jconv.keras.load(tmp_path / "folder")[1:], jconv.keras.load(path)[1:])


def test_every_convolution_uses_the_algorithm(tmp_path: Path) -> None:
    """The convolutions in nested models and in a TCN use it too."""
    steps = keras.Sequential([keras.Input((9, 3)), kl.Conv1D(4, 3), kl.GlobalMaxPooling1D()])
    shared = kl.TimeDistributed(kl.SeparableConv1D(4, 3))
    model = keras.Sequential([keras.Input((5, 9, 3)), shared, kl.TimeDistributed(kl.Conv1D(3, 1))])
    inside = keras.Sequential([keras.Input((5, 9, 3)), kl.TimeDistributed(steps)])
    tcn = tmp_path / "tcn.keras"
    tcn.write_bytes(gzip.decompress((KERAS_TWO_FILES / "tcn.keras.gz").read_bytes()))
    for path in (save(model, tmp_path / "a.keras"), save(inside, tmp_path / "b.keras"), tcn):
        for algorithm, other in (("fastest", "auto"), ("auto", "fastest")):
            ours, params, state = jconv.keras.load(path, algorithm=algorithm)
            (shape,) = ours.named_shapes().values()
            program = str(jax.make_jaxpr(ours.apply)(params, state, np.zeros((2, *(size or 20 for size in shape)))))
            assert f"algorithm={algorithm}" in program and f"algorithm={other}" not in program


def test_arrays_in_npz_files_are_read_unless_pickled(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((5, 2)), kl.Dense(3, name="dense")])
    saving_lib.save_model(model, tmp_path / "pickled.keras", weights_format="npz")
    with pytest.raises(
        jconv.keras.KerasFileError,
        match=r"contains pickled objects, as Keras writes them; neither Keras nor jconv loads these",
    ):
        jconv.keras.load(tmp_path / "pickled.keras")
    with pytest.raises(ValueError, match="allow_pickle"):
        saving_lib.load_model(tmp_path / "pickled.keras")
    arrays = io.BytesIO()
    np.savez(arrays, **{f"layers/dense/vars/{i}": np.asarray(weight) for i, weight in enumerate(model.weights)})
    with zipfile.ZipFile(tmp_path / "pickled.keras") as old, zipfile.ZipFile(tmp_path / "plain.keras", "w") as new:
        for name in ("config.json", "metadata.json"):
            new.writestr(name, old.read(name))
        new.writestr("model.weights.npz", arrays.getvalue())
    _, params, _ = jconv.keras.load(tmp_path / "plain.keras")
    assert same(params, {"dense": {"kernel": np.asarray(model.weights[0]), "bias": np.asarray(model.weights[1])}})


def test_arrays_from_another_file_are_loaded(tmp_path: Path) -> None:
    model = nested_model()
    path = save(model, tmp_path / "model.keras")
    randomize(model, seed=5)
    save_weights(model, tmp_path / "later.weights.h5")
    later = save(model, tmp_path / "later.h5")
    wanted = jconv.keras.load(later)[1:]
    assert not same(wanted, jconv.keras.load(path)[1:])
    ours, *found = jconv.keras.load(path, weights=tmp_path / "later.weights.h5")
    assert same(tuple(found), wanted)
    assert same(jconv.keras.load(path, weights=later)[1:], wanted)
    assert same(jconv.keras.load_weights(tmp_path / "later.weights.h5", ours), wanted)
    with pytest.raises(jconv.keras.KerasFileError, match="has arrays and no model; load_weights"):
        jconv.keras.load(tmp_path / "later.weights.h5")


def test_weights_of_a_model_that_jconv_built_are_loaded_and_saved(tmp_path: Path) -> None:
    theirs = keras.Sequential(
        [keras.Input((9, 3)), kl.Conv1D(4, 3), kl.BatchNormalization(), kl.Flatten(), kl.Dense(2)]
    )
    randomize(theirs)
    save_weights(theirs, tmp_path / "a.weights.h5")
    ours = jconv.model.sequential(
        [jl.Conv1D(4, 3), jl.BatchNormalization(), jl.Flatten(), jl.Dense(2)], names=["a", "b", "c", "d"]
    )
    params, state = jconv.keras.load_weights(tmp_path / "a.weights.h5", ours, input_shape=(9, 3))
    x = np.float32(np.random.default_rng(0).standard_normal((2, 9, 3)))
    np.testing.assert_allclose(ours.apply(params, state, x)[0], theirs(x), rtol=1e-5, atol=1e-6)
    jconv.keras.save(tmp_path / "b.weights.h5", ours, params, state, input_shape=(9, 3))
    randomize(theirs, seed=7)
    theirs.load_weights(tmp_path / "b.weights.h5")
    np.testing.assert_allclose(ours.apply(params, state, x)[0], theirs(x), rtol=1e-5, atol=1e-6)


def test_a_layer_may_have_the_name_of_an_input(tmp_path: Path) -> None:
    node = jconv.Node("x:2", jl.Conv1D(2, 3), ("x",), "x")
    model = jconv.Model((node,), ("x",), ("x:2",), ((9, 3),))
    params, state = model.init(jax.random.key(0))
    jconv.keras.save(tmp_path / "a.keras", model, params, state)
    x = np.random.default_rng(0).standard_normal((2, 9, 3)).astype("float32")
    theirs = np.asarray(keras.models.load_model(tmp_path / "a.keras")(x))
    np.testing.assert_allclose(theirs, model.apply(params, state, x)[0], atol=1e-6)


def test_layers_that_keras_does_not_have_are_not_saved(tmp_path: Path) -> None:
    for layer, message in (
        (jl.Conv1D(4, 3, padding_mode="reflect"), "Conv1D has no padding_mode, got 'reflect'"),
        (jl.Conv1D(4, 3, activation=jax.numpy.tanh), "activation must be the name of one of Keras's activations"),
        (jl.Conv1D(4, 3, padding=(1, 2)), "padding must be one of valid, same, causal"),
        (jl.Conv1D(4, 3, stride=2, dilation=2), "Conv1D has no stride together with a dilation, got 2 and 2"),
        (jl.ChannelsFirst(jl.Dense(3)), "Dense has no data_format"),
        (jl.DepthwiseConv1D(3, padding="causal"), "DepthwiseConv1D has no causal padding"),
    ):
        model = jconv.model.sequential([layer], input_shape=(9, 3))
        with pytest.raises(jconv.keras.KerasFileError, match=message):
            jconv.keras.save(tmp_path / "no.keras", model, *model.init(jax.random.key(0)))
    model = jconv.model.sequential([jl.Dense(2)])
    with pytest.raises(ValueError, match="input_shape must be given"):
        jconv.keras.save(tmp_path / "no.keras", model, *model.init(jax.random.key(0), (3,)))
    with pytest.raises(jconv.keras.KerasFileError, match=r"must end in \.keras or \.weights\.h5, got 'no\.zip'"):
        jconv.keras.save(tmp_path / "no.zip", model, *model.init(jax.random.key(0), (3,)), input_shape=(3,))
    assert list(tmp_path.iterdir()) == []


def test_names_that_no_file_can_have_are_not_saved(tmp_path: Path) -> None:
    for name in ("a\ud800", "a\0b"):
        model = jconv.model.sequential([jl.Dense(2)], input_shape=(3,), names=[name])
        with pytest.raises(
            jconv.keras.KerasFileError, match=f"^node {name!a}: the name .*must be Unicode".replace("\\", r"\\")
        ):
            jconv.keras.save(tmp_path / "a.keras", model, *model.init(jax.random.key(0)))


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    model = jconv.model.sequential([jl.Dense(2)], input_shape=(3,))
    arrays = model.init(jax.random.key(0))
    (tmp_path / "folder.keras").mkdir()
    for path, error in (
        (tmp_path / "none" / "a.keras", FileNotFoundError),
        (tmp_path / "folder.keras", IsADirectoryError),
    ):
        with pytest.raises(error) as found:
            jconv.keras.save(path, model, *arrays)
        assert found.value.filename == str(path) and found.value.filename2 is None
    assert [path.name for path in tmp_path.iterdir()] == ["folder.keras"]


def test_custom_layers_are_found_by_name_or_class(tmp_path: Path) -> None:
    @keras.saving.register_keras_serializable("mine")
    class Doubled(kl.Layer):
        def call(self, x: Any) -> Any:
            return 2 * x

    model = keras.Sequential([keras.Input((5, 2)), Doubled(name="twice"), kl.Dense(1)])
    path = save(model, tmp_path / "model.keras")
    with pytest.raises(jconv.keras.KerasFileError, match=r"'twice' .*Doubled.*config\.layers\[1\].*custom_layers"):
        jconv.keras.load(path)
    x = np.ones((1, 5, 2), np.float32)
    for key in ("twice", "Doubled"):
        ours, params, state = jconv.keras.load(path, custom_layers={key: jl.Activation(lambda x: 2 * x)})
        np.testing.assert_allclose(ours.apply(params, state, x)[0], model(x), rtol=1e-6)
