"""Files of models with layers that compute in types other than float32."""

from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest
from keras import layers as kl

import jconv.keras
from tests.support.keras_cases.case import Case
from tests.support.keras_files import (
    check,
    check_outputs,
    deviation,
    drawn,
    keras_function,
    model_of,
    randomize,
    returned_outputs,
    save,
)
from tests.support.keras_networks import NETWORKS

pytestmark = pytest.mark.usefixtures("quick_weights")


PARTLY_FLOAT32 = ("norm", "attention", "pooling", "gru", "bidirectional")


def case(dtype: str) -> Case:
    def branch(make: Any, *options: Any, **more: Any) -> Any:
        return lambda x: make(*options, dtype=dtype, **more)(x)

    return Case(
        (9, 4),
        {
            "conv": branch(kl.Conv1D, 5, 3, activation="relu"),
            "depthwise": branch(kl.DepthwiseConv1D, 3),
            "separable": branch(kl.SeparableConv1D, 5, 3),
            "transpose": branch(kl.Conv1DTranspose, 5, 3, strides=2),
            "dense": branch(kl.Dense, 5, activation="tanh"),
            "batch_norm": branch(kl.BatchNormalization),
            "layer_norm": branch(kl.LayerNormalization),
            "pool": branch(kl.AveragePooling1D, 3),
            "global": branch(kl.GlobalAveragePooling1D),
            "recurrent": branch(kl.GRU, 3),
            "both": branch(kl.Bidirectional, kl.LSTM(3, dtype=dtype)),
            # The gradient with respect to the bias of the keys is zero except for rounding.
            "attention": lambda x: kl.MultiHeadAttention(2, 3, use_bias=False, dtype=dtype)(x, x),
            "softmax_in_float32": lambda x: kl.Softmax(dtype="float32")(kl.Dense(3, dtype=dtype)(x)),
        },
    )


@pytest.mark.slow
def test_layers_in_mixed_bfloat16_equal_keras() -> None:
    # bfloat16 has eight significant bits, and sums in another order round differently.
    check(case("mixed_bfloat16"), rtol=2e-2, gradient_rtol=4e-2)


def test_layers_with_arrays_in_bfloat16_equal_keras() -> None:
    """The files, of both formats, have arrays in bfloat16."""
    complete = case("bfloat16")
    names = ("conv", "separable", "batch_norm", "layer_norm", "recurrent", "softmax_in_float32")
    model, _ = model_of(Case(complete.shape, {name: complete.branches[name] for name in names}))
    randomize(model)
    check_outputs(model, rtol=2e-2)


def test_layers_in_mixed_float16_equal_keras() -> None:
    # Keras's own attention and recurrent layers do not run in float16 on a CPU.
    complete = case("mixed_float16")
    some = {
        name: branch for name, branch in complete.branches.items() if name not in ("attention", "recurrent", "both")
    }
    check(Case(complete.shape, some), rtol=2e-2, gradient_rtol=4e-2)


def test_layers_in_float64_equal_keras(tmp_path: Path) -> None:
    with jax.enable_x64(True):
        model, _ = model_of(Case((9, 4), case("float64").branches, dtype="float64"))
        randomize(model)
        x = [a.astype(np.float64) for a in drawn(model)]
        ours, params, state = jconv.keras.load(save(model, tmp_path / "model.keras"))
        y, _ = jax.jit(ours.apply)(params, state, x[0])
        exact = ours.reference(params, state, x[0])
        for name, want in zip(ours.outputs, jax.jit(keras_function(model))(x), strict=True):
            if str(want.dtype) == "float64":
                # Keras on JAX does not promote to float64, so some of its layers compute partly in float32.
                assert y[name].dtype == np.float64
                assert deviation(y[name], exact[name]) < 1e-13, name
                is_partly_float32 = any(word in name for word in PARTLY_FLOAT32)
                assert deviation(y[name], want) < (1e-6 if is_partly_float32 else 1e-13), name
    with pytest.raises(jconv.keras.KerasFileError, match=r"float64 arrays.*jax_enable_x64"):
        jconv.keras.load(tmp_path / "model.keras")


def test_a_network_in_mixed_bfloat16_equals_keras(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = NETWORKS["fcn"]()
    finally:
        keras.config.set_dtype_policy("float32")
    randomize(model)
    (x,) = drawn(model)
    ours, params, state = jconv.keras.load(save(model, tmp_path / "model.keras"))
    y, _ = jax.jit(ours.apply)(params, state, x)
    (want,) = jax.jit(keras_function(model))([x])
    assert str(y.dtype) == str(want.dtype) == "bfloat16"
    assert deviation(y, want) < 2e-2
    assert all(a.dtype == np.float32 for a in jax.tree.leaves(params))


def test_spectral_normalization_of_an_embedding_in_mixed_bfloat16_equals_keras(tmp_path: Path) -> None:
    dtype = "mixed_bfloat16"
    inputs = keras.Input((6,))
    wrapped = kl.SpectralNormalization(kl.Embedding(5, 3, dtype=dtype), dtype=dtype)
    model = keras.Model(inputs, [wrapped(inputs), kl.SpectralNormalization(kl.Embedding(4, 2, dtype=dtype))(inputs)])
    randomize(model)
    x = [np.float32([[0, 1, 2, 3, 3, 2]])]
    read = ours, params, state = jconv.keras.load(save(model, tmp_path / "model.keras"))
    y, expected = ours.apply(params, state, x[0])[0], keras_function(model)(x)
    for name, want, have in zip(ours.outputs, expected, returned_outputs(tmp_path, read, x), strict=True):
        assert (np.float32(y[name]) == np.float32(want)).all() and (np.float32(have) == np.float32(want)).all()
