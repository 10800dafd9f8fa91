"""Keras's activations in Keras, JAX and NumPy, and their derivatives by the complex-step method."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from jconv.functional import activations
from jconv.reference import activations as activations_numpy
from tests.support.settings import HALF, deviation, in_type, quick_jit

NAMES = sorted(activations.ACTIVATIONS)
# The kinks of piecewise activations. Derivatives are not tested within a thousandth of them.
KINKS = np.array([-3, -1, -0.5, 0, 0.5, 1, 3, 6])


def points(seed=0):
    """Random values of both signs and several magnitudes, away from the kinks. Softmax is over the last axis."""
    x = np.random.default_rng(seed).standard_normal((200, 6)) * np.geomspace(0.1, 8, 200)[:, None]
    near = np.abs(x[..., None] - KINKS).min(axis=-1) < 1e-3
    return np.where(near, x + 0.01, x)


def by_keras(name, x):
    return in_type(str(x.dtype), quick_jit(keras.activations.get(name)), x)


def test_activations_have_the_names_of_keras():
    # Every public function of keras.activations; swish, hard_swish, log_softmax and others are further names.
    # threshold needs two arguments, so it cannot be used by name.
    other = {"deserialize", "serialize", "get", "threshold"}
    theirs = {name for name in dir(keras.activations) if not name.startswith("_")} - other
    assert theirs <= set(NAMES)
    assert all(callable(keras.activations.get(name)) for name in NAMES)
    assert set(activations.ACTIVATIONS) == set(activations_numpy.ACTIVATIONS)


@pytest.mark.default_cases(12)
@pytest.mark.parametrize("name", NAMES)
def test_jax_agrees_with_keras_in_float32(name):
    x = points().astype(np.float32)
    ours = in_type("float32", quick_jit(activations.resolve(name)), x)
    assert ours.dtype == x.dtype
    assert deviation(ours, by_keras(name, x)) <= 1e-6


@pytest.mark.default_cases(12)
@pytest.mark.parametrize("name", NAMES)
def test_numpy_agrees_with_keras_and_jax_in_float64(name):
    x = points()
    expected = activations_numpy.resolve(name)(x)
    assert deviation(in_type("float64", quick_jit(activations.resolve(name)), x), expected) <= 1e-14
    theirs = by_keras(name, x)
    # Keras computes tanh in float32 for every dtype.
    assert theirs.dtype == (np.float32 if name == "tanh" else np.float64)
    assert deviation(theirs, expected) <= (1e-6 if name == "tanh" else 1e-14)


@pytest.mark.default_cases(12)
@pytest.mark.parametrize("name", NAMES)
def test_jax_derivative_is_the_complex_step_derivative_of_numpy(name):
    x, direction = points(), np.random.default_rng(1).standard_normal((200, 6))
    expected = np.imag(activations_numpy.resolve(name)(x + 1e-30j * direction)) / 1e-30
    function = activations.resolve(name)
    forward = in_type("float64", quick_jit(lambda x, v: jax.jvp(function, (x,), (v,))[1]), x, direction)
    assert deviation(forward, expected) <= 1e-12
    # Reverse mode by the adjoint identity, for each example.
    cotangent = np.random.default_rng(2).standard_normal(expected.shape)
    (x_bar,) = in_type("float64", quick_jit(lambda x, c: jax.vjp(function, x)[1](c)), x, cotangent)
    back, there = (x_bar * direction).sum(axis=-1), (cotangent * expected).sum(axis=-1)
    assert np.abs(back - there).max() <= 1e-12 * np.abs(there).max()


@pytest.mark.default_cases(16)
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", NAMES)
def test_16_bit_floats_keep_their_dtype_and_are_accurate_to_their_rounding(name, dtype):
    x = np.clip(points(), -8, 8).astype(jnp.dtype(dtype))
    y = in_type(dtype, quick_jit(activations.resolve(name)), x)
    assert y.dtype == jnp.dtype(dtype)
    # A few roundings of the largest input or output.
    expected = activations_numpy.resolve(name)(x.astype(float))
    unit = float(jnp.finfo(dtype).eps) * max(1.0, np.abs(expected).max(), np.abs(x.astype(float)).max())
    assert np.abs(y.astype(float) - expected).max() <= 2 * unit


EXTREMES = np.array(
    [[-1e4, -100.0, -30.0, 0.0], [1e4, 100.0, 30.0, 0.0], [1e4, -1e4, 1e4, 1.0], [1e30, -1e30, 0.0, 1.0]]
)


@pytest.mark.default_cases(16)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_extreme_values_are_finite_where_they_are_in_keras(name, dtype):
    x = EXTREMES.astype(dtype)
    ours = in_type(dtype, quick_jit(activations.resolve(name)), x)
    theirs = by_keras(name, x)
    with np.errstate(over="ignore" if name in ("exponential", "squareplus") else "raise"):
        ours_numpy = activations_numpy.resolve(name)(x)
    for y in (ours, ours_numpy):
        finite = np.isfinite(theirs)
        assert not np.isnan(y).any()
        np.testing.assert_allclose(y[finite], theirs[finite], rtol=2e-6, atol=1e-30 if dtype == "float32" else 0)


@pytest.mark.parametrize("name", sorted({*NAMES} - {"exponential", "squareplus"}))
def test_gradients_of_extreme_values_are_finite(name):
    # squareplus overflows at 1e30, also in Keras.
    bar = in_type(
        "float32", quick_jit(jax.grad(lambda x: activations.resolve(name)(x).sum())), EXTREMES.astype(np.float32)
    )
    assert np.isfinite(bar).all()


@pytest.mark.parametrize("name", NAMES)
def test_real_part_for_complex_arguments_is_the_result_for_real_ones(name):
    x = points()
    function = activations_numpy.resolve(name)
    assert deviation(function(x.astype(complex)).real, function(x)) <= 1e-15


def test_none_is_linear_and_functions_are_unchanged():
    for module in (activations, activations_numpy):
        assert module.resolve(None) is module.resolve("linear")
        assert module.resolve(np.tanh) is np.tanh
