"""`conv_general_dilated` has the signature, values, gradients, dtypes and errors of lax, also in Flax."""

import inspect
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from tests.support.settings import BOUNDS, COUNT, deviation, quick_jit

LAX, OURS = jax.lax.conv_general_dilated, jconv.conv_general_dilated
CHANNELS_LAST = ("NWC", "WIO", "NWC")
JCONV_PRIMITIVES = ({"conv1d"}, {"conv1d_input_gradient"})


def _words(letters):
    return ["".join(word) for word in itertools.permutations(letters)]


LAYOUTS = list(itertools.product(_words("NCW"), _words("OIW"), _words("NCW")))


def _primitives(function, *args):
    """The names of the convolutions in the jaxpr."""
    names = {equation.primitive.name for equation in jax.make_jaxpr(function)(*args).jaxpr.eqns}
    return {name for name in names if "conv" in name and name != "convert_element_type"}


def _transpose_axes(array, spec, word):
    """Transposes `array` from the axes `spec` to the axes `word`."""
    return array.transpose([spec.index(letter) for letter in word])


def _random_call(rng, transposed):
    """`(lhs, rhs, options)` of a call that jconv computes, in float64."""

    def pick(values):
        return values[rng.integers(len(values))]

    layout = pick(LAYOUTS) if rng.random() < 0.9 else None
    lhs_word, rhs_word, _ = layout or ("NCW", "OIW", "NCW")
    groups, dilation, kernel_size = (int(n) for n in (pick((1, 1, 2, 3)), pick((1, 1, 2, 3)), rng.integers(1, 7)))
    span = (kernel_size - 1) * dilation + 1
    batch, length = (int(n) for n in rng.integers(1, 4, 2) * (1, 9))
    in_per_group, out_per_group = (int(n) for n in rng.integers(1, 4, 2))
    lhs_dilation = int(rng.integers(2, 5)) if transposed else 1
    if transposed:
        low, high = (int(n) for n in rng.integers(0, (span, span + lhs_dilation - 1)))
        while (length - 1) * lhs_dilation + 1 + low + high < span:
            low, high = span - 1, span - 1
        padding = [(low, high)]
    else:
        padding = pick(("SAME", "VALID", "SAME_LOWER", [tuple(int(n) for n in rng.integers(0, 9, 2))]))
        length += span
    lhs = rng.standard_normal((batch, length, groups * in_per_group))
    rhs = rng.standard_normal((kernel_size, in_per_group, groups * out_per_group)) / np.sqrt(kernel_size * in_per_group)
    options = {
        "window_strides": (1,) if transposed else (int(rng.integers(1, 4)),),
        "padding": padding,
        "lhs_dilation": (lhs_dilation,) if transposed else pick((None, (1,))),
        "rhs_dilation": (dilation,) if dilation > 1 else pick((None, (1,))),
        "dimension_numbers": layout,
        "feature_group_count": groups,
    }
    return _transpose_axes(lhs, "NWC", lhs_word), _transpose_axes(rhs, "WIO", rhs_word), options


def _operations(function, calls, cotangents):
    """Output and both gradients of each call, all in one program."""

    def one(arrays, options, cotangent):
        y, pull = jax.vjp(partial(function, **options), *arrays)
        return y, *pull(cotangent)

    arrays, options = [call[:2] for call in calls], [call[2] for call in calls]
    program = quick_jit(lambda arrays, bars: [one(*call) for call in zip(arrays, options, bars, strict=True)])
    return program(arrays, cotangents)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("transposed", [False, True], ids=["convolution", "transposed"])
@pytest.mark.parametrize("seed", range(max(2, COUNT // 50)))
def test_random_calls_have_the_values_and_gradients_of_lax(seed, transposed, dtype):
    rng = np.random.default_rng([seed, transposed])
    calls = [_random_call(rng, transposed) for _ in range(6)]
    with jax.enable_x64(dtype == "float64"):
        calls = [(jnp.asarray(lhs, dtype), jnp.asarray(rhs, dtype), options) for lhs, rhs, options in calls]
        shapes = [jax.eval_shape(partial(LAX, **options), lhs, rhs).shape for lhs, rhs, options in calls]
        cotangents = [jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes]
        ours, theirs = (_operations(function, calls, cotangents) for function in (OURS, LAX))
        name = "conv1d_input_gradient" if transposed else "conv1d"
        for (lhs, rhs, options), actual, expected in zip(calls, ours, theirs, strict=True):
            assert _primitives(partial(OURS, **options), lhs, rhs) == {name}
            for a, e in zip(actual, expected, strict=True):
                assert a.dtype == e.dtype == dtype
                assert deviation(a, e) <= BOUNDS[dtype], options


def _assert_close(actual, expected):
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert deviation(a, e) <= BOUNDS["float32"]


def _operands(dtype="float32", lhs=(2, 12, 4), rhs=(3, 4, 6)):
    rng = np.random.default_rng(0)
    return tuple((4 * rng.standard_normal(shape)).astype(jnp.dtype(dtype)) for shape in (lhs, rhs))


def _convolve(function, lhs, rhs, **options):
    given = {"window_strides": (1,), "padding": "SAME", "dimension_numbers": CHANNELS_LAST, **options}
    return function(lhs, rhs, **given)


SUPPORTED = {
    "precision by name": {"precision": "highest"},
    "precision": {"precision": jax.lax.Precision.HIGH},
    "a precision for each operand": {"precision": ["highest", "default"]},
    "the dtype of the operands": {"preferred_element_type": jnp.float32},
    "NumPy integers": {"window_strides": np.array([2]), "padding": np.array([[1, 2]])},
    "layouts by number": {"dimension_numbers": jax.lax.ConvDimensionNumbers((0, 2, 1), (2, 1, 0), (1, 0, 2))},
    "a padding in lower case": {"padding": "same"},
    "conv_transpose's same": {"lhs_dilation": (3,), "padding": [(2, 2)]},
    "padding beyond the last window": {"lhs_dilation": (3,), "padding": [(2, 4)]},
    "a transposed convolution that crops": {"lhs_dilation": (2,), "padding": [(-3, -4)]},
}


@pytest.mark.parametrize("options", SUPPORTED.values(), ids=SUPPORTED)
def test_supported_calls_use_jconv(options):
    lhs, rhs = _operands()
    assert _primitives(partial(_convolve, OURS, **options), lhs, rhs) in JCONV_PRIMITIVES
    plain = {name: value for name, value in options.items() if name != "padding" or "lhs_dilation" not in options}
    expected = _convolve(LAX, lhs, rhs, **options) if plain == options else _convolve_dilated_input(lhs, rhs, **options)
    assert deviation(_convolve(OURS, lhs, rhs, **options), expected) <= BOUNDS["float32"]


def _convolve_dilated_input(lhs, rhs, *, lhs_dilation, padding):
    """The transposed convolution, with dilation and padding, which may be negative, applied to the input first."""
    config = [(0, 0, 0), (*padding[0], lhs_dilation[0] - 1), (0, 0, 0)]
    return _convolve(LAX, jax.lax.pad(lhs, np.float32(0), config), rhs, padding="VALID")


@pytest.mark.parametrize("ends", [(-2, 0), (0, -3), (-1, 4), (5, -6), (-4, -4)])
def test_negative_padding_crops(ends):
    lhs, rhs = _operands()
    options = {"padding": [ends], "window_strides": (2,)}
    assert _primitives(partial(_convolve, OURS, **options), lhs, rhs) == {"conv1d"}
    kept = lhs[:, max(-ends[0], 0) : 12 - max(-ends[1], 0)]
    expected = _convolve(LAX, kept, rhs, window_strides=(2,), padding=[tuple(max(end, 0) for end in ends)])
    assert deviation(_convolve(OURS, lhs, rhs, **options), expected) <= BOUNDS["float32"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bit_floats_have_the_dtypes_of_lax(dtype):
    lhs, rhs = _operands(dtype)
    ours, theirs = (_convolve(function, lhs, rhs) for function in (OURS, LAX))
    assert ours.dtype == theirs.dtype == dtype
    assert deviation(ours, theirs) <= BOUNDS[dtype]
    assert _primitives(partial(_convolve, OURS), lhs, rhs) == {"conv1d"}


def _weak(shape):
    return jnp.full(shape, 1.0)


UNSUPPORTED = {
    "two spatial dimensions": (
        _operands(lhs=(2, 8, 8, 3), rhs=(3, 3, 3, 4)),
        {"window_strides": (1, 1), "dimension_numbers": ("NHWC", "HWIO", "NHWC")},
    ),
    "no spatial dimension": (
        _operands(lhs=(2, 4), rhs=(4, 3)),
        {"window_strides": (), "dimension_numbers": ("NC", "IO", "NC")},
    ),
    "groups of the batch": (_operands(), {"batch_group_count": 2}),
    "integers": (_operands("int32"), {}),
    "integers that accumulate in more": (_operands("int8"), {"preferred_element_type": jnp.int32}),
    "another preferred type": (_operands("bfloat16"), {"preferred_element_type": jnp.float32}),
    "complex numbers": (_operands("complex64"), {}),
    "weak types": ((_weak((2, 12, 4)), _weak((3, 4, 6))), {}),
    "an empty batch": (_operands(lhs=(0, 12, 4)), {}),
    "no output": (_operands(lhs=(2, 2, 4)), {"padding": "VALID"}),
    "a transposed convolution with a stride": (
        _operands(),
        {"lhs_dilation": (2,), "padding": [(2, 2)], "window_strides": (3,)},
    ),
    "outputs that no sample reaches": (_operands(), {"lhs_dilation": (2,), "padding": [(3, 4)]}),
}


@pytest.mark.parametrize(("operands", "options"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_unsupported_calls_go_to_lax(operands, options):
    assert _primitives(partial(_convolve, OURS, **options), *operands) == {"conv_general_dilated"}
    ours, theirs = (_convolve(function, *operands, **options) for function in (OURS, LAX))
    assert (ours.dtype, ours.weak_type) == (theirs.dtype, theirs.weak_type)
    np.testing.assert_array_equal(ours, theirs)


WRONG = {
    "channels": (_operands(rhs=(3, 5, 6)), {}),
    "groups that do not divide": (_operands(rhs=(3, 2, 5)), {"feature_group_count": 2}),
    "no group": (_operands(), {"feature_group_count": 0}),
    "ranks": (_operands(rhs=(3, 4)), {}),
    "types": ((_operands()[0], _operands("bfloat16")[1]), {}),
    "too many strides": (_operands(), {"window_strides": (1, 1)}),
    "a stride that is no sequence": (_operands(), {"window_strides": 1}),
    "a stride of None": (_operands(), {"window_strides": None}),
    "an unknown padding": (_operands(), {"padding": "CAUSAL"}),
    "a padding that is no pair": (_operands(), {"padding": [1]}),
    "a padding of fractions": (_operands(), {"padding": [(1.5, 1)]}),
    "a name for a transposed convolution": (_operands(), {"lhs_dilation": (2,)}),
    "layouts": (_operands(), {"dimension_numbers": ("NWC", "WIO", "NXC")}),
    "an unknown precision": (_operands(), {"precision": "exact"}),
    "three precisions": (_operands(), {"precision": ("high", "high", "high")}),
    "an unknown type": (_operands(), {"preferred_element_type": "float31"}),
    "padding that crops the complete input": (_operands(), {"padding": [(-20, 0)]}),
    "a list": (([[[1.0]]], _operands()[1]), {}),
}


@pytest.mark.parametrize(("operands", "options"), WRONG.values(), ids=WRONG)
def test_errors_have_the_messages_of_lax(operands, options):
    with pytest.raises(Exception) as theirs:
        _convolve(LAX, *operands, **options)
    with pytest.raises(type(theirs.value)) as ours:
        _convolve(OURS, *operands, **options)
    assert str(ours.value) == str(theirs.value)


def test_signature_is_the_signature_of_lax_with_an_algorithm():
    ours, theirs = (inspect.signature(function).parameters.values() for function in (OURS, LAX))
    *shared, last = [(p.name, p.kind, p.default) for p in ours]
    assert shared == [(p.name, p.kind, p.default) for p in theirs]
    assert last == ("algorithm", inspect.Parameter.KEYWORD_ONLY, "auto")


# --- under the transformations ---------------------------------------------------------------------------------------


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("in_axes", [(0, None), (None, 0), (0, 0), (1, 2)])
@pytest.mark.parametrize(
    "options", [{"window_strides": (2,)}, {"lhs_dilation": (2,), "padding": [(2, 3)]}], ids=["strided", "transposed"]
)
def test_results_under_jit_vmap_and_grad_equal_lax(options, in_axes):
    lhs, rhs = (
        operand if axis is None else np.stack([operand, 2 - operand, operand**2], axis)
        for operand, axis in zip(_operands(), in_axes, strict=True)
    )

    def operations(function):
        mapped = jax.vmap(partial(_convolve, function, **options), in_axes)

        def energy(lhs, rhs):
            y = mapped(lhs, rhs)
            return jnp.square(y).sum(), y

        return jax.jit(jax.grad(energy, (0, 1), has_aux=True))(lhs, rhs)

    _assert_close(operations(OURS), operations(LAX))


def test_export_with_symbolic_batch_and_length_of_lax_calls():
    _, rhs = _operands()
    options = {"window_strides": (2,), "padding": "SAME"}
    lhs_shape = jax.export.symbolic_shape("batch, length, 4", constraints=["length >= 3"])
    spec = jax.ShapeDtypeStruct(lhs_shape, jnp.float32)
    exported = jax.export.export(jax.jit(lambda lhs: _convolve(OURS, lhs, rhs, **options)))(spec)
    for lhs in (_operands()[0], _operands(lhs=(5, 9, 4))[0]):
        assert deviation(exported.call(lhs), _convolve(LAX, lhs, rhs, **options)) <= BOUNDS["float32"]


# --- in Flax ---------------------------------------------------------------------------------------------------------

FLAX = {
    "same": {},
    "valid": {"padding": "VALID"},
    "causal": {"padding": "CAUSAL"},
    "circular": {"padding": "CIRCULAR"},
    "reflect": {"padding": "REFLECT"},
    "a number": {"padding": 2},
    "two numbers": {"padding": [(1, 3)]},
    "strided": {"strides": 2},
    "dilated": {"kernel_dilation": 3},
    "dilated, causal, strided": {"kernel_dilation": 2, "padding": "CAUSAL", "strides": 3},
    "groups": {"feature_group_count": 2},
    "depthwise": {"feature_group_count": 4},
    "transposed": {"input_dilation": 2, "padding": [(2, 3)]},
    "without bias": {"use_bias": False},
}


def _output_and_gradients(function, *args):
    def energy(*args):
        y = function(*args)
        # All terms have one sign, because a sum that cancels would consist of rounding errors.
        return jnp.square(y + 1).sum(), y

    return quick_jit(jax.value_and_grad(energy, (0, 1), has_aux=True))(*args)


@pytest.mark.default_cases(3)
@pytest.mark.parametrize(
    ("lead", "options"),
    [((2,), options) for options in FLAX.values()] + [((), FLAX["strided"]), ((2, 3), FLAX["strided"])],
    ids=[*FLAX, "one example", "two batch axes"],
)
def test_flax_nnx_has_the_same_results(options, lead):
    from flax import nnx

    x, _ = _operands(lhs=(*lead, 12, 4))

    def layer(**convolution):
        return nnx.Conv(4, 8, (3,), **options, **convolution, rngs=nnx.Rngs(0))

    def operations(layer):
        graph, params = nnx.split(layer)
        return _output_and_gradients(lambda params, x: nnx.merge(graph, params)(x), params, x)

    ours = layer(conv_general_dilated=OURS)
    assert _primitives(lambda x: ours(x), x) in JCONV_PRIMITIVES
    _assert_close(operations(ours), operations(layer()))


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("options", FLAX.values(), ids=FLAX)
def test_flax_linen_has_the_same_results(options):
    from flax import linen

    options = {"features": 8, "kernel_size": (3,), **options}
    x, _ = _operands()
    ours, theirs = linen.Conv(**options, conv_general_dilated=OURS), linen.Conv(**options)
    params = theirs.init(jax.random.key(0), x)
    assert _primitives(ours.apply, params, x) in JCONV_PRIMITIVES
    _assert_close(_output_and_gradients(ours.apply, params, x), _output_and_gradients(theirs.apply, params, x))


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_lax_conv_transpose_uses_jconv(monkeypatch, stride, padding):
    # Flax's ConvTranspose does not accept a convolution. It calls lax.conv_transpose, which makes these calls.
    lhs, rhs = _operands()
    calls = []
    module = inspect.getmodule(LAX)
    monkeypatch.setattr(module, "conv_general_dilated", lambda *args, **options: calls.append((args, options)))
    jax.lax.conv_transpose(lhs, rhs, (stride,), padding)
    ((args, options),) = calls
    name = "conv1d_input_gradient" if stride > 1 else "conv1d"
    assert _primitives(lambda lhs, rhs: OURS(lhs, rhs, *args[2:], **options), lhs, rhs) == {name}
    assert deviation(OURS(*args, **options), LAX(*args, **options)) <= BOUNDS["float32"]
