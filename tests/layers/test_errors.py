"""The error messages of layers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconv import layers as jl

OPTIONS: list[tuple[Callable[[], Any], str]] = [
    (lambda: jl.Conv1D(0, 3), "Conv1D: filters must be an integer of at least 1, got 0"),
    (lambda: jl.Conv1D(4, 2.5), "Conv1D: kernel_size must be an integer of at least 1, got 2.5"),
    (lambda: jl.Conv1D(4, 3, stride=-1), "Conv1D: stride must be an integer of at least 1, got -1"),
    (lambda: jl.Conv1D(4, 3, groups=3), "Conv1D: groups=3 must divide filters=4"),
    (
        lambda: jl.DepthwiseConv1D(3, depth_multiplier=0),
        "DepthwiseConv1D: depth_multiplier must be an integer of at least 1, got 0",
    ),
    (
        lambda: jl.Conv1D(4, 3, padding="half"),
        "Conv1D: padding must be one of valid, same, causal, full, an int or (low, high), got 'half'",
    ),
    (
        lambda: jl.SeparableConv1D(4, 3, padding=(-1, 0)),
        "SeparableConv1D: padding must not be negative, got (-1, 0); crop x by slicing it instead",
    ),
    (
        lambda: jl.Conv1D(4, 3, padding_mode="mirror"),
        "Conv1D: padding_mode must be one of zeros, reflect, edge, wrap, got 'mirror'",
    ),
    (
        lambda: jl.Conv1DTranspose(4, 3, padding="causal"),
        "Conv1DTranspose: padding of a transposed convolution must be valid or same, got 'causal'",
    ),
    (
        lambda: jl.Conv1DTranspose(4, 3, stride=2, output_padding=2),
        "Conv1DTranspose: output_padding must be None or at least 0 and below stride=2, got 2",
    ),
    (lambda: jl.Dense(-3), "Dense: units must be an integer of at least 1, got -3"),
    (lambda: jl.Dropout(1.5), "Dropout: rate must be a number from 0 to 1, got 1.5"),
    (lambda: jl.Dropout("half"), "Dropout: rate must be a number from 0 to 1, got 'half'"),
    (lambda: jl.MaxPooling1D(0), "MaxPooling1D: pool_size must be an integer of at least 1, got 0"),
    (lambda: jl.MaxPooling1D(2, 0), "MaxPooling1D: stride must be an integer of at least 1, got 0"),
    (
        lambda: jl.AveragePooling1D(2, padding="causal"),
        "AveragePooling1D: padding must be valid or same, got 'causal'",
    ),
    (
        lambda: jl.ZeroPadding1D((1, -1)),
        "ZeroPadding1D: padding must be an int or (low, high), not negative, got (1, -1)",
    ),
    (
        lambda: jl.ZeroPadding1D(1.5),
        "ZeroPadding1D: padding must be an int or (low, high), not negative, got 1.5",
    ),
    (lambda: jl.Concatenate(0), "Concatenate: axis must be an integer other than 0, the batch, got 0"),
]

SHAPES: list[tuple[jl.Layer, Any, str]] = [
    (
        jl.Conv1D(4, 3),
        (10,),
        "Conv1D needs an input of shape (length, channels) after the batch axis, got (10,)",
    ),
    (
        jl.GlobalMaxPooling1D(),
        (10, None),
        "GlobalMaxPooling1D needs an input of shape (length, channels) after the batch axis, got (10, None)",
    ),
    (
        jl.Conv1D(4, 3, groups=2),
        (10, 3),
        "Conv1D: groups=2 must divide the 3 channels of the input",
    ),
    (
        jl.Conv1D(4, 5),
        (3, 1),
        "Conv1D: x has 3 samples, 3 with padding, but kernel_size=5 with dilation=1 reaches over 5; "
        "pad x or use a smaller kernel",
    ),
    (
        jl.MaxPooling1D(5),
        (3, 1),
        "MaxPooling1D: x has 3 samples, 3 with padding, but kernel_size=5 with dilation=1 reaches over 5; "
        "pad x or use a smaller kernel",
    ),
    (jl.Conv1D(3, 3, activation="glu"), (9, 1), "Conv1D: activation glu needs an even number of channels, got 3"),
    (jl.Activation("glu"), (9, 3), "Activation: activation glu needs an even number of channels, got 3"),
    (jl.Dense(4), (None,), "Dense needs an input whose last size is known, got shape (None,)"),
    (jl.Dense(4), (), "Dense needs an input whose last size is known, got shape ()"),
    (
        jl.BatchNormalization(),
        (5, None),
        "BatchNormalization needs an input whose size along axis=-1 is known, got shape (5, None)",
    ),
    (jl.Add(), (5, 3), "Add needs a tuple of shapes, one for each input, got (5, 3)"),
    (jl.Add(), (), "Add needs a tuple of shapes, one for each input, got ()"),
    (
        jl.Concatenate(),
        ((5, 3), (3,)),
        "Concatenate needs inputs with the same number of axes, got shapes (5, 3), (3,)",
    ),
    (jl.Add(), ((5, 3), (5, 2)), "Add needs inputs of the same shape, or size 1, got shapes (5, 3), (5, 2)"),
    (
        jl.Concatenate(),
        ((5, 3), (4, 3)),
        "Concatenate needs inputs of the same shape except along axis=-1, got shapes (5, 3), (4, 3)",
    ),
    (
        jl.Concatenate(3),
        ((5, 3), (5, 3)),
        "Concatenate: axis=3 is not an axis of inputs of shapes (5, 3), (5, 3)",
    ),
    (
        jl.Concatenate(-3),
        ((5, 3), (5, 3)),
        "Concatenate: axis=-3 is not an axis of inputs of shapes (5, 3), (5, 3)",
    ),
]


@pytest.mark.parametrize(("make", "message"), OPTIONS, ids=[message for _, message in OPTIONS])
def test_invalid_options_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()


@pytest.mark.parametrize(("layer", "shape", "message"), SHAPES, ids=[message for *_, message in SHAPES])
def test_invalid_shapes_are_refused(layer: jl.Layer, shape: Any, message: str) -> None:
    for refused in (layer.output_shape, lambda shape: layer.init(jax.random.key(0), shape)):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            refused(shape)


@pytest.mark.parametrize("make", [jl.Activation, lambda a: jl.Conv1D(4, 3, activation=a), lambda a: jl.Dense(4, a)])
def test_unknown_activations_are_refused(make: Callable[[str], jl.Layer]) -> None:
    with pytest.raises(ValueError, match=r"^\w+: activation must be None, a function, or one of .*, got 'rely'$"):
        make("rely")


def test_unknown_algorithms_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^Conv1D: algorithm must be one of auto, .*, got 'fast'$"):
        jl.Conv1D(4, 3, algorithm="fast")


ARRAYS: list[tuple[jl.Layer, dict[str, Any], dict[str, Any], str]] = [
    (jl.Conv1D(4, 3), {}, {}, "Conv1D needs params with 'bias', 'kernel', got nothing"),
    (
        jl.Conv1D(4, 3, use_bias=False),
        {"kernel": np.ones((3, 2, 4)), "bias": np.ones(4)},
        {},
        "Conv1D needs params with 'kernel', got 'bias', 'kernel'",
    ),
    (
        jl.Conv1D(4, 3, use_bias=False),
        {"kernel": np.ones((5, 2, 4))},
        {},
        "Conv1D on input of shape (7, 2) needs params['kernel'] of shape (3, 2, 4), got (5, 2, 4)",
    ),
    (
        jl.BatchNormalization(center=False, scale=False),
        {},
        {"moving_mean": np.ones(2)},
        "BatchNormalization needs state with 'moving_mean', 'moving_variance', got 'moving_mean'",
    ),
    (
        jl.BatchNormalization(center=False, scale=False),
        {},
        {"moving_mean": np.ones(2), "moving_variance": np.ones(3)},
        "BatchNormalization on input of shape (7, 2) needs state['moving_variance'] of shape (2,), got (3,)",
    ),
    (jl.Flatten(), {"kernel": np.ones(3)}, {}, "Flatten needs params with nothing, got 'kernel'"),
]


@pytest.mark.parametrize(("layer", "params", "state", "message"), ARRAYS, ids=[case[-1] for case in ARRAYS])
def test_invalid_arrays_are_refused(
    layer: jl.Layer, params: dict[str, Any], state: dict[str, Any], message: str
) -> None:
    for run in (layer.apply, layer.reference):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            run(params, state, np.ones((1, 7, 2), np.float32))


def test_dropout_in_training_needs_a_key_and_has_no_reference() -> None:
    layer, x = jl.Dropout(0.5), jnp.ones((1, 2))
    with pytest.raises(ValueError, match=r"^Dropout: training with rate=0.5 needs a key, got None$"):
        layer.apply({}, {}, x, training=True)
    message = "Dropout: the reference has no mask for training with rate=0.5; use rate=0"
    with pytest.raises(ValueError, match=f"^{message}$"):
        layer.reference({}, {}, x, training=True)


def test_integers_are_refused() -> None:
    with pytest.raises(TypeError, match=r"^x must be float32, .*, got int32; cast it first$"):
        jl.Dense(1, use_bias=False).apply({"kernel": jnp.ones((2, 1))}, {}, jnp.ones((1, 2), "int32"))


@pytest.mark.parametrize("layer", [jl.Conv1D(4, 3), jl.Dense(4), jl.BatchNormalization()], ids=str)
def test_flops_of_an_unknown_length_are_refused(layer: jl.Layer) -> None:
    message = f"{type(layer).__name__} needs every size known to count operations, got shape (None, 2)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        layer.flops((None, 2))
