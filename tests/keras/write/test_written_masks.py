"""Models with masks, written for Keras: real Keras, which passes masks implicitly, computes the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest
from keras import layers as kl

import jconv.keras
from jconv import layers as jl
from jconv.model import Model, Node, sequential
from tests.support.keras_files import deviation, returned_outputs, save

pytestmark = pytest.mark.usefixtures("quick_weights")

X = np.float32(np.random.default_rng(0).standard_normal((3, 5, 4)))
X[0, 3:] = X[1, 1] = 0
MASKED_INPUTS = ("value", "mask", "value", "mask")


def merging(layer: jl.Layer, *masks: str, second: float = 1.0, pooled: bool = True) -> Model:
    """Two maskings of one input, merged by `layer`; `masks` has the names of the masks that it reads."""
    made = {"mask": jl.MaskOf(), "other_mask": jl.MaskOf(second)}
    nodes = [Node("masked", jl.Masking(), ("x",)), Node("other", jl.Masking(second), ("x",))]
    nodes += [Node(name, made[name], ("x",)) for name in sorted(set(masks))]
    nodes.append(Node("merged", layer, ("masked", masks[0], "other", masks[1]) if masks else ("masked", "other")))
    if pooled:
        nodes.append(Node("pooled", jl.InDtype(jl.GlobalAveragePooling1D(), "float32"), ("merged",)))
    return Model(tuple(nodes), ("x",), ("pooled", "merged") if pooled else ("merged",), ((5, 4),))


MODELS = {
    "recurrent": sequential([jl.Masking(), jl.Dense(3), jl.LSTM(2)], input_shape=(5, 4)),
    "in float16": sequential(
        [jl.InDtype(layer, "float16") for layer in (jl.Masking(), jl.GlobalAveragePooling1D())], input_shape=(5, 4)
    ),
    "merging": merging(jl.Multiply()),
    "merging by masks": merging(jl.Multiply(MASKED_INPUTS), "mask", "other_mask", pooled=False),
    "merging by masks that are not propagated": merging(jl.Multiply(MASKED_INPUTS), "mask", "other_mask"),
    "by other masks": merging(jl.Maximum(MASKED_INPUTS), "other_mask", "mask"),
    "merging in float16": merging(jl.InDtype(jl.Multiply(MASKED_INPUTS), "float16"), "mask", "other_mask"),
    "frozen": merging(jl.Frozen(jl.Minimum(MASKED_INPUTS)), "other_mask", "mask"),
    "same mask in float16": merging(jl.InDtype(jl.Maximum(MASKED_INPUTS), "float16"), "mask", "mask"),
    "inside a wrapper": sequential([jl.Masking(), jl.Bidirectional(jl.GRU(2))], input_shape=(5, 4)),
}


def check(model: Model, x: np.ndarray[Any, Any], folder: Path) -> Any:
    """Check that real Keras computes the outputs of a model; returns the Keras model."""
    params, state = model.init(jax.random.key(0))
    y = model.apply(params, state, x)[0]
    returned = returned_outputs(folder, (model, params, state), [x])
    for have, want in zip(returned, [y[n] for n in model.outputs] if isinstance(y, dict) else [y], strict=True):
        assert deviation(have, want) < (2e-3 if str(want.dtype) == "float16" else 1e-5)
        assert str(have.dtype) == str(want.dtype)
    return keras.models.load_model(folder / "back.keras")


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", MODELS)
def test_keras_computes_the_same(name: str, tmp_path: Path) -> None:
    check(MODELS[name], X, tmp_path)


def test_channels_first_merging_is_written(tmp_path: Path) -> None:
    layer = jl.ChannelsFirst(jl.Multiply(MASKED_INPUTS))
    x = np.swapaxes(X, 1, 2)
    nodes = (
        Node("last", jl.Permute((2, 1)), ("x",)),
        Node("mask", jl.MaskOf(), ("last",)),
        Node("y", layer, ("x", "mask", "x", "mask")),
    )
    check(Model(nodes, ("x",), ("y",), ((4, 5),)), x, tmp_path)


def test_an_embedding_whose_mask_is_not_used_is_written(tmp_path: Path) -> None:
    model = sequential([jl.Embedding(4, 3, mask_zero=True), jl.GlobalAveragePooling1D()], input_shape=(5,))
    check(model, np.random.default_rng(0).integers(0, 3, (2, 5)), tmp_path)


def test_layers_that_merge_by_masks_are_written_as_layers(tmp_path: Path) -> None:
    classes = [type(layer).__name__ for layer in check(MODELS["merging by masks"], X, tmp_path).layers]
    assert "Multiply" in classes and classes.count("Masking") == 2
    x = keras.Input((5, 4))
    y = kl.Maximum(dtype="mixed_bfloat16")([kl.Masking()(x), kl.Masking(1.0)(x)])
    model = keras.Model(x, kl.GlobalAveragePooling1D()(y))
    ours, params, state = jconv.keras.load(save(model, tmp_path / "model.keras"))
    jconv.keras.save(tmp_path / "back.keras", ours, params, state)
    back = keras.models.load_model(tmp_path / "back.keras")
    assert {type(layer).__name__ for layer in model.layers} <= {type(layer).__name__ for layer in back.layers}
    np.testing.assert_array_equal(back(X), model(X))
