"""Convolutions compared with real Keras layers that have the same params."""

import itertools

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import jconv
from jconv import reference
from jconv.algorithms import ALGORITHMS
from tests.support.settings import (
    BOUNDS,
    COUNT,
    HALF,
    SAME_PADDING_SETTINGS,
    algorithms_for,
    chunks,
    deviation,
    in_type,
    quick_jit,
    random_settings,
)


def keras_output(layer, params, x):
    """The output of a Keras layer for `x`, with `params` in the order of the layer's weights."""
    if not layer.built:
        layer.build((None, *x.shape[-2:]))
    weights = [value for name, value in params.items() if name != "bias"]
    weights += [params["bias"]] if "bias" in params else []
    assert [w.shape for w in layer.trainable_variables] == [w.shape for w in weights]
    y, _ = layer.stateless_call(weights, [], x.reshape(-1, *x.shape[-2:]))
    return y.reshape(*x.shape[:-2], *y.shape[-2:])


def conv1d_layer(setting):
    options = setting.options
    return keras.layers.Conv1D(
        setting.out_channels,
        setting.kernel_size,
        strides=options["stride"],
        padding=options["padding"],
        dilation_rate=options.get("dilation", 1),
        groups=options.get("groups", 1),
        activation=options.get("activation"),
        use_bias=setting.bias,
        dtype=setting.dtype,
    )


def allowed_by_keras(setting):
    options = setting.options
    return (
        options["padding"] in ("valid", "same", "causal")
        and options["padding_mode"] == "zeros"
        and not (options["stride"] > 1 and options["dilation"] > 1)
        # Keras computes tanh in float32 for every type; see tests/functional/test_activations.py.
        and not (setting.dtype == "float64" and options["activation"] == "tanh")
    )


def both(settings):
    """Pairs of jconv's outputs by algorithm and Keras's output, for each setting. Each side is one compiled program."""
    dtype = settings[0].dtype
    inputs = [setting.arrays() for setting in settings]

    def ours(inputs):
        return [
            {name: jconv.conv1d(*arrays, **setting.options, algorithm=name) for name in algorithms_for(setting)}
            for setting, arrays in zip(settings, inputs, strict=True)
        ]

    def theirs(inputs):
        return [keras_output(layer, *arrays) for layer, arrays in zip(layers, inputs, strict=True)]

    layers = [conv1d_layer(setting) for setting in settings]
    return zip(in_type(dtype, quick_jit(ours), inputs), in_type(dtype, quick_jit(theirs), inputs), strict=True)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("settings", chunks(SAME_PADDING_SETTINGS, 50))
def test_same_padding_equals_keras(settings):
    for setting, (ours, theirs) in zip(settings, both(settings), strict=True):
        params, x = setting.arrays()
        for y in (*ours.values(), reference.conv1d(params, x, **setting.options)):
            assert deviation(y, theirs) <= BOUNDS["float32"], setting


RANDOM = [setting for setting in random_settings(COUNT) if allowed_by_keras(setting)]


# Keras warns about a softmax over one channel, which a random setting may have.
@pytest.mark.default_cases(2)
@pytest.mark.filterwarnings("ignore:You are using a softmax over axis:UserWarning")
@pytest.mark.parametrize("settings", chunks(RANDOM, 50))
def test_random_settings_equal_keras(settings):
    bound = BOUNDS[settings[0].dtype]
    for setting, (ours, theirs) in zip(settings, both(settings), strict=True):
        params, x = setting.arrays()
        for y in (*ours.values(), reference.conv1d(params, x, **setting.options)):
            # Both 16-bit results are rounded: each is within one unit in the last place of the exact value.
            assert deviation(y, theirs) <= bound * (2 if setting.dtype in HALF else 1), setting


def test_two_strided_layers_equal_keras():
    first, second = (keras.layers.Conv1D(16, 12, strides=12, padding="same", activation=a) for a in ("relu", None))
    model = keras.Sequential([keras.Input((100, 1)), first, second])
    x = np.random.default_rng(0).standard_normal((100, 1)).astype(np.float32)
    expected = np.asarray(model(x[None]))[0]
    layers = [{"kernel": np.asarray(layer.kernel), "bias": np.asarray(layer.bias)} for layer in (first, second)]
    for convolution in (jconv.conv1d, reference.conv1d):
        hidden = convolution(layers[0], x, stride=12, padding="same", activation="relu")
        assert hidden.shape == (9, 16)
        y = convolution(layers[1], hidden, stride=12, padding="same")
        assert y.shape == (1, 16)
        assert deviation(y, expected) <= BOUNDS["float32"]


# --- depthwise, separable, transposed --------------------------------------------------------------------------------


def params_of(kind, kernel_size, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {
        "depthwise_conv1d": {"kernel": (kernel_size, 3, 2), "bias": (6,)},
        "separable_conv1d": {
            "depthwise_kernel": (kernel_size, 3, 2),
            "pointwise_kernel": (1, 6, 5),
            "bias": (5,),
        },
        "conv1d_transpose": {"kernel": (kernel_size, 5, 3), "bias": (5,)},
    }[kind]
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def keras_layer(kind, kernel_size, options, dtype):
    shared = {
        "strides": options["stride"],
        "padding": options["padding"],
        "dilation_rate": options["dilation"],
        "activation": options["activation"],
        "dtype": dtype,
    }
    if kind == "depthwise_conv1d":
        return keras.layers.DepthwiseConv1D(kernel_size, depth_multiplier=2, **shared)
    if kind == "separable_conv1d":
        return keras.layers.SeparableConv1D(5, kernel_size, depth_multiplier=2, **shared)
    return keras.layers.Conv1DTranspose(5, kernel_size, output_padding=options["output_padding"], **shared)


def cases(kind):
    """Every (kernel_size, options) of a small grid that Keras supports."""
    for kernel_size, stride, dilation in itertools.product((1, 2, 5), (1, 2, 3), (1, 3)):
        if stride > 1 and dilation > 1:
            continue
        for padding in ("valid", "same"):
            options = {"stride": stride, "padding": padding, "dilation": dilation, "activation": "tanh"}
            if kind != "conv1d_transpose":
                yield kernel_size, options
                continue
            for output_padding in (None, *range(stride)):
                yield kernel_size, {**options, "output_padding": output_padding}


LENGTH = 13
KINDS = ("depthwise_conv1d", "separable_conv1d", "conv1d_transpose")


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_other_convolutions_equal_keras(kind, dtype):
    x = np.random.default_rng(1).standard_normal((2, LENGTH, 3)).astype(dtype)
    grid = [(size, options, params_of(kind, size)) for size, options in cases(kind)]
    if dtype == "float64":
        # No tanh, which Keras computes in float32.
        grid = [(size, {**options, "activation": None}, params) for size, options, params in grid]
    grid = [(size, o, {name: p.astype(dtype) for name, p in params.items()}) for size, o, params in grid]
    layers = [keras_layer(kind, size, options, dtype) for size, options, _ in grid]

    def theirs(all_params, x):
        return [keras_output(layer, params, x) for layer, params in zip(layers, all_params, strict=True)]

    def ours(all_params, x):
        return [
            [getattr(jconv, kind)(params, x, **options, algorithm=name) for name in algorithms_for(kind, size, options)]
            for (size, options, _), params in zip(grid, all_params, strict=True)
        ]

    all_params = [params for *_, params in grid]
    expected = in_type(dtype, quick_jit(theirs), all_params, x)
    actual = in_type(dtype, quick_jit(ours), all_params, x)
    for (size, options, params), by_keras, by_algorithm in zip(grid, expected, actual, strict=True):
        truth = getattr(reference, kind)(params, x, **options)
        for y in by_algorithm:
            assert y.dtype == x.dtype
            assert deviation(y, by_keras) <= BOUNDS[dtype], (size, options)
            assert deviation(y, truth) <= BOUNDS[dtype], (size, options)


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_other_convolutions_equal_complex_step_derivatives(kind, algorithm):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, LENGTH, 3))
    # One case has both a stride and a dilation, which Keras does not allow.
    grid = [*list(cases(kind))[::5], (3, {"stride": 2, "padding": "same", "dilation": 3, "activation": "tanh"})]
    grid = [(options, params_of(kind, size)) for size, options in grid]
    directions = [{name: rng.standard_normal(p.shape) for name, p in params.items()} for _, params in grid]
    x_direction = rng.standard_normal(x.shape)
    cotangents = [rng.standard_normal(getattr(reference, kind)(params, x, **options).shape) for options, params in grid]

    def program(all_params, x, cotangents):
        gradients = []
        for (options, _), params, cotangent in zip(grid, all_params, cotangents, strict=True):

            def convolution(p, x, options=options):
                return getattr(jconv, kind)(p, x, **options, algorithm=algorithm)

            gradients.append(jax.vjp(convolution, params, x)[1](cotangent))
        return gradients

    gradients = in_type("float64", quick_jit(program), [params for _, params in grid], x, cotangents)
    for (options, params), (bars, x_bar), direction, cotangent in zip(
        grid, gradients, directions, cotangents, strict=True
    ):
        values = {"x": x, **params}
        tangents = {"x": x_direction, **direction}
        for name, bar in {"x": x_bar, **bars}.items():
            moved = {**values, name: values[name] + 1e-30j * tangents[name]}
            y = getattr(reference, kind)(moved, moved.pop("x"), **options)
            derivative = (cotangent * y.imag).sum() / 1e-30
            products = bar * tangents[name]
            assert abs(products.sum() - derivative) <= 1e-12 * np.abs(products).sum(), (name, options)


def test_leading_axes_are_batch_axes():
    x = np.random.default_rng(0).standard_normal((2, 3, LENGTH, 3)).astype(np.float32)
    for kind in KINDS:
        params = {name: p.astype(np.float32) for name, p in params_of(kind, 3).items()}
        function = jax.jit(lambda x, kind=kind, params=params: getattr(jconv, kind)(params, jnp.asarray(x)))
        y = function(x)
        for i, j in np.ndindex(2, 3):
            assert deviation(y[i, j], getattr(reference, kind)(params, x[i, j])) <= BOUNDS["float32"]
