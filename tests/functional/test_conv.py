"""Dtypes, compiled programs and initial params of the public convolutions. Other tests compare their values."""

from functools import partial

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import jconv
from jconv.algorithms import ALGORITHMS
from jconv.geometry import Geometry
from jconv.primitive import bilinear
from tests.support.settings import BOUNDS, HALF, deviation, in_type

# --- dtypes -----------------------------------------------------------------------------------------------------------

PROMOTIONS = [
    ("float32", "float32", "float32"),
    ("bfloat16", "bfloat16", "bfloat16"),
    ("float16", "float16", "float16"),
    ("float64", "float64", "float64"),
    ("bfloat16", "float32", "float32"),
    ("float32", "float16", "float32"),
    ("bfloat16", "float16", "float32"),
    ("float32", "float64", "float64"),
    ("float64", "bfloat16", "float64"),
]


@pytest.mark.parametrize("algorithm", ["auto", *ALGORITHMS])
@pytest.mark.parametrize(("x_type", "kernel_type", "expected"), PROMOTIONS)
def test_result_has_the_promoted_dtype(x_type, kernel_type, expected, algorithm):
    with jax.enable_x64("float64" in (x_type, kernel_type)):
        x = jnp.ones((2, 6, 4), x_type)
        kernel = jnp.ones((3, 4, 4), kernel_type)
        for function, params in (
            (jconv.conv1d, {"kernel": kernel}),
            (jconv.conv1d, {"kernel": kernel.astype(x_type), "bias": jnp.ones(4, kernel_type)}),
            (jconv.depthwise_conv1d, {"kernel": kernel}),
            (jconv.separable_conv1d, {"depthwise_kernel": kernel, "pointwise_kernel": jnp.ones((1, 16, 2), x_type)}),
            (jconv.conv1d_transpose, {"kernel": kernel}),
        ):
            y = jax.eval_shape(lambda p, x, f=function: f(p, x, algorithm=algorithm), params, x)
            assert y.dtype == jnp.dtype(expected)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_gradients_have_the_dtypes_of_their_primals(algorithm):
    params = {"kernel": jnp.ones((3, 4, 4), jnp.bfloat16), "bias": jnp.ones(4, jnp.float16)}
    x = jnp.ones((2, 6, 4), jnp.float32)
    params_bar, x_bar = jax.grad(lambda p, x: jconv.conv1d(p, x, algorithm=algorithm).sum(), (0, 1))(params, x)
    assert {name: bar.dtype for name, bar in params_bar.items()} == {n: p.dtype for n, p in params.items()}
    assert x_bar.dtype == x.dtype


# --- 16-bit floats accumulate in float32 ------------------------------------------------------------------------------

POINTWISE = Geometry(8, 1)
OPERATIONS = ("forward", "input_gradient", "kernel_gradient")
ULP = {"bfloat16": 2.0**-7, "float16": 2.0**-10}


def operands(operation, dtype, a, b):
    """Operands of an operation over `POINTWISE` for which every sum contains the products of a and b."""
    a, b = np.asarray(a), np.asarray(b)
    if operation == "forward":
        arrays = np.tile(a, (4, 8, 1)), np.tile(b[None, :, None], (1, 1, 3))
    elif operation == "input_gradient":
        arrays = np.tile(a, (4, 8, 1)), np.tile(b, (1, 3, 1))
    else:
        arrays = np.tile(a.reshape(-1, 8, 1), 3), np.tile(b.reshape(-1, 8, 1), 2)
    return [jnp.asarray(array, dtype) for array in arrays]


@pytest.mark.default_cases(8)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_products_are_not_rounded_to_16_bit(operation, dtype, algorithm):
    # (1 + ulp)^2 - (1 + 2 ulp) = ulp^2, and with rounded products the sum would be 0, in any order.
    ulp = ULP[dtype]
    half = 8  # Few enough terms for an exact float32 sum.
    a = [1 + ulp] * half + [1.0] * half
    b = [1 + ulp] * half + [-1 - 2 * ulp] * half
    rounded = np.asarray(a, jnp.dtype(dtype)) * np.asarray(b, jnp.dtype(dtype))
    assert rounded.astype(float).sum() == 0
    out = getattr(bilinear, operation)(*operands(operation, dtype, a, b), POINTWISE, algorithm=algorithm)
    assert out.dtype == jnp.dtype(dtype)
    np.testing.assert_array_equal(np.asarray(out, float), np.full(out.shape, half * ulp**2))


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_long_sums_of_small_values_are_accurate(operation, dtype, algorithm):
    # A large value, many small ones that a 16-bit sum would lose, and the negative of the large value.
    large = 1 / ULP[dtype] * 4
    ones = 510
    a = [large, *[1.0] * ones, -large]
    accumulator = np.zeros((), jnp.dtype(dtype))
    for value in a:
        accumulator = (accumulator + np.asarray(value, accumulator.dtype)).astype(accumulator.dtype)
    assert float(accumulator) != ones
    out = getattr(bilinear, operation)(*operands(operation, dtype, a, [1.0] * len(a)), POINTWISE, algorithm=algorithm)
    expected = np.asarray(ones, jnp.dtype(dtype)).astype(float)
    np.testing.assert_array_equal(np.asarray(out, float), np.full(out.shape, expected))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_accumulation_dtype_is_explicit(operation, dtype, algorithm):
    # On CPUs XLA accumulates in float32 in any case.
    arrays = operands(operation, dtype, [1.0] * 16, [1.0] * 16)
    function = partial(getattr(ALGORITHMS[algorithm], operation), geometry=POINTWISE)
    sums = [e for e in equations(jax.make_jaxpr(function)(*arrays).jaxpr) if e.primitive.name in SUMS]
    types = {e.outvars[0].aval.dtype for e in sums} - {jnp.dtype("int32")}
    assert types
    assert types <= {jnp.dtype("float32"), jnp.dtype("complex64")}


SUMS = ("add", "conv_general_dilated", "dot_general", "fft", "mul", "reduce_sum")


def equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda p: hasattr(p, "jaxpr")):
            if hasattr(inner, "jaxpr"):
                yield from equations(inner.jaxpr)


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", HALF)
def test_bias_gradient_accumulates_in_float32(dtype, algorithm):
    params = {"kernel": jnp.ones((1, 2, 3), dtype), "bias": jnp.zeros(3, dtype)}
    x = jnp.ones((8, 600, 2), dtype)
    _, pull = jax.vjp(lambda p: jconv.conv1d(p, x, algorithm=algorithm), params)
    cotangent = np.random.default_rng(0).random((8, 600, 3)).astype(jnp.dtype(dtype))
    (bars,) = pull(jnp.asarray(cotangent))
    expected = cotangent.astype(np.float32).sum(axis=(0, 1)).astype(cotangent.dtype)
    assert deviation(bars["bias"], expected) <= BOUNDS[dtype]


@pytest.mark.parametrize("mode", ["edge", "reflect", "wrap"])
@pytest.mark.parametrize("dtype", HALF)
def test_gradient_of_padding_accumulates_in_float32(dtype, mode):
    # One sample is copied 4,001 times, so its gradient is a sum of 4,001 ones.
    params, x = {"kernel": jnp.ones((1, 1, 1), dtype)}, jnp.ones((1, 1), dtype)
    x_bar = jax.grad(lambda x: jconv.conv1d(params, x, padding=2000, padding_mode=mode).astype("float32").sum())(x)
    assert deviation(x_bar, [[4001.0]]) <= BOUNDS[dtype] / 2


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("constraints", [[], ["t >= 8"]])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("mode", ["reflect", "wrap", "edge"])
def test_padding_of_a_symbolic_length_repeats_samples(mode, stride, constraints):
    """Without a constraint, the padding may repeat a short input more than once."""
    params = jconv.init_conv1d(jax.random.key(0), 2, 3, 5)
    options = {"padding": "same", "dilation": 2, "padding_mode": mode, "stride": stride}

    def conv(x):
        y, pull = jax.vjp(lambda x: jconv.conv1d(params, x, **options), x)
        return y, pull(jnp.ones_like(y))[0]

    (length,) = jax.export.symbolic_shape("t", constraints=constraints)
    exported = jax.export.export(jax.jit(conv))(jax.ShapeDtypeStruct((length, 2), jnp.float32))
    for n in (8, 21) if constraints else (1, 2, 3, 8, 21):
        x = np.random.default_rng(n).standard_normal((n, 2)).astype("float32")
        y, x_bar = exported.call(x)
        np.testing.assert_allclose(y, jconv.reference.conv1d(params, x, **options), atol=2e-6)
        expected = jconv.reference.conv1d_vjp(params, x, np.ones(y.shape), **options)[1]
        np.testing.assert_allclose(x_bar, expected, atol=1e-5)


# --- compiled programs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_pointwise_convolution_is_a_matrix_product(dtype):
    params, x = {"kernel": jnp.ones((1, 32, 64), dtype)}, jnp.ones((4, 128, 32), dtype)

    def one(params, x):
        return jnp.square(jconv.conv1d(params, x)).sum()

    for function in (jconv.conv1d, jax.grad(one), jax.grad(one, 1)):
        compiled = jax.jit(function).lower(params, x).compile().as_text()
        assert " dot(" in compiled or "$matmul" in compiled
        assert " convolution(" not in compiled


# --- init -------------------------------------------------------------------------------------------------------------

INIT_SIZES = [(64, 96, 7, 1), (64, 96, 7, 4), (1, 128, 8, 1), (256, 256, 1, 256), (12, 24, 300, 3)]


@pytest.mark.parametrize(("in_channels", "out_channels", "kernel_size", "groups"), INIT_SIZES)
def test_init_has_the_distribution_of_keras(in_channels, out_channels, kernel_size, groups):
    layer = keras.layers.Conv1D(out_channels, kernel_size, groups=groups)
    layer.build((None, None, in_channels))
    params = jconv.init_conv1d(jax.random.key(0), in_channels, out_channels, kernel_size, groups=groups)
    assert {name: p.shape for name, p in params.items()} == {"kernel": layer.kernel.shape, "bias": layer.bias.shape}
    assert not params["bias"].any()
    ours, theirs = np.asarray(params["kernel"]).ravel(), np.asarray(layer.kernel).ravel()
    # Uniform within a bound: maximum, mean and standard deviation agree within their statistical errors.
    bound, n = theirs.std() * np.sqrt(3), ours.size
    error = 5 * bound / np.sqrt(n)
    assert abs(np.abs(ours).max() - np.abs(theirs).max()) < 12 * bound / n
    assert abs(ours.mean()) < error
    assert abs(ours.std() - theirs.std()) < error


def test_init_is_glorot_uniform():
    kernel = jconv.init_conv1d(jax.random.key(1), 8, 12, 50, groups=2)["kernel"]
    bound = np.sqrt(6 / (50 * (8 // 2) + 50 * 12))
    assert 0.999 * bound < np.abs(kernel).max() <= bound


@pytest.mark.parametrize("dtype", BOUNDS)
def test_init_has_the_requested_dtype(dtype):
    def draw():
        return jconv.init_conv1d(jax.random.key(0), 4, 6, 3, dtype=jnp.dtype(dtype))

    params = in_type(dtype, draw)
    assert {p.dtype for p in params.values()} == {jnp.dtype(dtype)}
    assert np.abs(params["kernel"].astype(float)).max() <= np.sqrt(6 / 30) * (1 + BOUNDS[dtype])


def test_init_without_bias_has_no_bias():
    assert set(jconv.init_conv1d(jax.random.key(0), 4, 6, 3, bias=False)) == {"kernel"}


def test_init_depends_only_on_the_key():
    first, again, other = (jconv.init_conv1d(jax.random.key(k), 4, 6, 3)["kernel"] for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (np.asarray(first) != np.asarray(other)).all()


# --- unfold -----------------------------------------------------------------------------------------------------------


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("kernel_size", [1, 2, 5, 70])
def test_unfold_agrees_with_the_reference(kernel_size, dtype):
    x = (100 * np.random.default_rng(0).standard_normal((2, 3, 150, 4))).astype(dtype)
    for stride, dilation in ((1, 1), (2, 1), (5, 2), (1, 2)):
        options = {"stride": stride, "dilation": dilation}
        windows = jconv.unfold(x, kernel_size, **options)
        assert windows.dtype == x.dtype
        np.testing.assert_array_equal(windows, jconv.reference.unfold(x, kernel_size, **options))
        np.testing.assert_array_equal(jconv.unfold(x[0, 0], kernel_size, **options), windows[0, 0])
