"""Invalid arguments raise an error of one line with the argument, its value and what it must be, in NumPy and JAX.

Odd but legal input works.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv.algorithms import ALGORITHMS
from jconv.functional.activations import ACTIVATIONS

X = np.ones((2, 10, 4), np.float32)
KERNEL = np.ones((3, 4, 6), np.float32)
PARAMS = {"kernel": KERNEL, "bias": np.zeros(6, np.float32)}
DEPTHWISE = {"kernel": np.ones((3, 4, 2), np.float32)}
SEPARABLE = {"depthwise_kernel": np.ones((3, 4, 2), np.float32), "pointwise_kernel": np.ones((1, 8, 5), np.float32)}
TRANSPOSED = {"kernel": np.ones((3, 6, 4), np.float32)}

NAMES = ", ".join(sorted(ACTIVATIONS))
ALGORITHM_NAMES = ", ".join(["auto", "fastest", *sorted(ALGORITHMS)])

# (function, params, x, options) and the complete message of a ValueError, or of a TypeError if it starts with that.
MISTAKES = {
    "x of rank 1": (
        ("conv1d", PARAMS, X[0, 0], {}),
        "conv1d takes x of shape (..., length, channels), got shape (4,)",
    ),
    "x a number": (("conv1d", PARAMS, 1.0, {}), "conv1d takes x of shape (..., length, channels), got shape ()"),
    "x a list of rank 1": (
        ("depthwise_conv1d", DEPTHWISE, [1.0, 2.0], {}),
        "depthwise_conv1d takes x of shape (..., length, channels), got shape (2,)",
    ),
    "separable x of rank 1": (
        ("separable_conv1d", SEPARABLE, X[0, 0], {}),
        "separable_conv1d takes x of shape (..., length, channels), got shape (4,)",
    ),
    "x empty in time": (
        ("conv1d", PARAMS, X[:, :0], {}),
        "the length of x must be at least 1, got shape (2, 0, 4)",
    ),
    "x without channels": (
        ("conv1d", PARAMS, X[..., :0], {}),
        "the channel count of x must be at least 1, got shape (2, 10, 0)",
    ),
    "channels that do not match": (
        ("conv1d", PARAMS, X[..., :3], {}),
        "x has 3 channels, but a kernel of shape (3, 4, 6) with groups=1 takes 4",
    ),
    "channels that do not match with groups": (
        ("conv1d", PARAMS, X, {"groups": 2}),
        "x has 4 channels, but a kernel of shape (3, 4, 6) with groups=2 takes 8",
    ),
    "groups that do not divide the out channels": (
        ("conv1d", {"kernel": KERNEL[:, :1]}, X, {"groups": 4}),
        "groups=4 does not divide the kernel's 6 out channels",
    ),
    "groups zero": (("conv1d", PARAMS, X, {"groups": 0}), "groups must be an integer of at least 1, got 0"),
    "stride zero": (("conv1d", PARAMS, X, {"stride": 0}), "stride must be an integer of at least 1, got 0"),
    "stride negative": (("conv1d", PARAMS, X, {"stride": -2}), "stride must be an integer of at least 1, got -2"),
    "stride a float": (("conv1d", PARAMS, X, {"stride": 2.0}), "stride must be an integer of at least 1, got 2.0"),
    "stride a bool": (("conv1d", PARAMS, X, {"stride": True}), "stride must be an integer of at least 1, got True"),
    "stride a tuple": (
        ("conv1d", PARAMS, X, {"stride": (2,)}),
        "stride must be an integer of at least 1, got (2,); did you mean 2?",
    ),
    "stride None": (("conv1d", PARAMS, X, {"stride": None}), "stride must be an integer of at least 1, got None"),
    "dilation zero": (("conv1d", PARAMS, X, {"dilation": 0}), "dilation must be an integer of at least 1, got 0"),
    "dilation a float": (
        ("conv1d", PARAMS, X, {"dilation": 1.5}),
        "dilation must be an integer of at least 1, got 1.5",
    ),
    "padding negative": (
        ("conv1d", PARAMS, X, {"padding": -1}),
        "padding must not be negative, got (-1, -1); crop x by slicing it instead",
    ),
    "padding negative at one end": (
        ("conv1d", PARAMS, X, {"padding": (2, -1)}),
        "padding must not be negative, got (2, -1); crop x by slicing it instead",
    ),
    "padding unknown": (
        ("conv1d", PARAMS, X, {"padding": "SAME"}),
        "padding must be one of valid, same, causal, full, an int or (low, high), got 'SAME'; did you mean 'same'?",
    ),
    "padding a float": (
        ("conv1d", PARAMS, X, {"padding": 1.0}),
        "padding must be one of valid, same, causal, full, an int or (low, high), got 1.0",
    ),
    "padding of three numbers": (
        ("conv1d", PARAMS, X, {"padding": (1, 2, 3)}),
        "padding must be one of valid, same, causal, full, an int or (low, high), got (1, 2, 3)",
    ),
    "padding mode unknown": (
        ("conv1d", PARAMS, X, {"padding_mode": "mirror"}),
        "padding_mode must be one of zeros, reflect, edge, wrap, got 'mirror'",
    ),
    "activation unknown": (
        ("conv1d", PARAMS, X, {"activation": "ReLU"}),
        f"activation must be None, a function, or one of {NAMES}, got 'ReLU'; did you mean 'relu'?",
    ),
    "activation a number": (
        ("conv1d_transpose", TRANSPOSED, X, {"activation": 3}),
        f"activation must be None, a function, or one of {NAMES}, got 3",
    ),
    "input shorter than the reach": (
        ("conv1d", PARAMS, X[:, :5], {"dilation": 4, "padding": 1}),
        "x has 5 samples, 7 with padding, but kernel_size=3 with dilation=4 reaches over 9; "
        "pad x or use a smaller kernel",
    ),
    "params not a dict": (
        ("conv1d", KERNEL, X, {}),
        "TypeError: conv1d takes params as a dict with 'kernel', got ndarray; did you mean {'kernel': kernel}?",
    ),
    "params a pair": (
        ("separable_conv1d", (KERNEL, KERNEL), X, {}),
        "TypeError: separable_conv1d takes params as a dict with 'depthwise_kernel', 'pointwise_kernel', got tuple",
    ),
    "params with an unknown key": (
        ("conv1d", {**PARAMS, "weight": KERNEL}, X, {}),
        "conv1d does not know params['weight']; the keys are 'bias', 'kernel'",
    ),
    "params without a kernel": (
        ("conv1d", {"bias": PARAMS["bias"]}, X, {}),
        "conv1d needs params['kernel']; params has 'bias'",
    ),
    "params empty": (("conv1d", {}, X, {}), "conv1d needs params['kernel']; params has no key"),
    "params of another layer": (
        ("separable_conv1d", DEPTHWISE, X, {}),
        "separable_conv1d needs params['depthwise_kernel']; params has 'kernel'",
    ),
    "kernel of rank 2": (
        ("conv1d", {"kernel": KERNEL[0]}, X, {}),
        "params['kernel'] must have 3 axes, got shape (4, 6)",
    ),
    "kernel empty": (
        ("conv1d", {"kernel": KERNEL[:0]}, X, {}),
        "params['kernel'] must not be empty, got shape (0, 4, 6)",
    ),
    "bias of the wrong length": (
        ("conv1d", {**PARAMS, "bias": np.zeros(5)}, X, {}),
        "params['bias'] must have shape (6,), got (5,)",
    ),
    "bias of the wrong rank": (
        ("conv1d_transpose", {**TRANSPOSED, "bias": np.zeros((1, 6))}, X, {}),
        "params['bias'] must have shape (6,), got (1, 6)",
    ),
    "depthwise channels": (
        ("depthwise_conv1d", DEPTHWISE, X[..., :3], {}),
        "x has 3 channels, but a depthwise kernel of shape (3, 4, 2) (kernel_size, in_channels, multiplier) takes 4",
    ),
    "separable channels": (
        ("separable_conv1d", SEPARABLE, X[..., :3], {}),
        "x has 3 channels, but a depthwise kernel of shape (3, 4, 2) (kernel_size, in_channels, multiplier) takes 4",
    ),
    "pointwise channels": (
        ("separable_conv1d", {**SEPARABLE, "pointwise_kernel": np.ones((1, 4, 5))}, X, {}),
        "params['pointwise_kernel'] must have shape (1, 8, out_channels) after a depthwise kernel of shape (3, 4, 2), "
        "got (1, 4, 5)",
    ),
    "pointwise kernel of more than one tap": (
        ("separable_conv1d", {**SEPARABLE, "pointwise_kernel": np.ones((2, 8, 5))}, X, {}),
        "params['pointwise_kernel'] must have shape (1, 8, out_channels) after a depthwise kernel of shape (3, 4, 2), "
        "got (2, 8, 5)",
    ),
    "transposed channels": (
        ("conv1d_transpose", PARAMS, X, {}),
        "x has 4 channels, but a transposed kernel of shape (3, 4, 6) (kernel_size, out_channels, in_channels) takes 6",
    ),
    "transposed padding": (
        ("conv1d_transpose", TRANSPOSED, X, {"padding": "causal"}),
        "padding of a transposed convolution must be valid or same, got 'causal'",
    ),
    "output padding of the stride": (
        ("conv1d_transpose", TRANSPOSED, X, {"stride": 2, "output_padding": 2}),
        "output_padding must be None or at least 0 and below stride=2, got 2",
    ),
    "output padding negative": (
        ("conv1d_transpose", TRANSPOSED, X, {"stride": 2, "output_padding": -1}),
        "output_padding must be None or at least 0 and below stride=2, got -1",
    ),
    "transposed output of no samples": (
        ("conv1d_transpose", {"kernel": np.ones((4, 6, 4))}, X[:, :1], {"padding": "same", "output_padding": 0}),
        "a transposed convolution of 1 samples with kernel_size=4, stride=1, dilation=1, output_padding=0 and same "
        "padding would return 0 samples",
    ),
    "windows of a size that is no integer": (
        ("unfold", X, 2.0, {}),
        "kernel_size must be an integer of at least 1, got 2.0",
    ),
    "windows of size zero": (("unfold", X, 0, {}), "kernel_size must be an integer of at least 1, got 0"),
    "windows longer than x": (
        ("unfold", X, 11, {}),
        "x has 10 samples, 10 with padding, but kernel_size=11 with dilation=1 reaches over 11; "
        "pad x or use a smaller kernel",
    ),
    "channels first": (
        ("conv1d", PARAMS, X.swapaxes(1, 2), {}),
        "x has 10 channels, but a kernel of shape (3, 4, 6) with groups=1 takes 4; did you mean x.swapaxes(-1, -2), "
        "with channels last?",
    ),
    "x of objects": (
        ("conv1d", PARAMS, X.astype(object), {}),
        "x of conv1d must be an array of numbers, got dtype object; cast it first",
    ),
    "a kernel of texts": (
        ("conv1d", {"kernel": KERNEL.astype(str)}, X, {}),
        "params['kernel'] must be an array of numbers, got dtype <U32; cast it first",
    ),
    "x None": (("conv1d", PARAMS, None, {}), "x of conv1d must be an array, got None"),
    "x a text": (("conv1d", PARAMS, "text", {}), "x of conv1d must be an array, got 'text'"),
    "x a list of texts": (("conv1d", PARAMS, [["a"]], {}), "x of conv1d must be an array, got [['a']]"),
    "x of unequal lists": (
        ("conv1d", PARAMS, [[1.0], [1.0, 2]], {}),
        "x of conv1d must be an array, got [[1.0], [1.0, 2]]",
    ),
    "kernel None": (("conv1d", {"kernel": None}, X, {}), "params['kernel'] must be an array, got None"),
    "bias None": (
        ("conv1d", {"kernel": KERNEL, "bias": None}, X, {}),
        "params['bias'] must be an array, got None; leave the key out for no bias",
    ),
    "bias False": (
        ("conv1d_transpose", {**TRANSPOSED, "bias": False}, X, {}),
        "params['bias'] must be an array, got False; leave the key out for no bias",
    ),
    "PyTorch's params": (
        ("conv1d", {"weight": KERNEL}, X, {}),
        "conv1d needs params['kernel']; params has 'weight'; a PyTorch weight (out_channels, in_channels, kernel_size) "
        "is the kernel with its axes reversed: see jconv.torch",
    ),
    "Keras's stride": (
        ("conv1d", PARAMS, X, {"strides": 2}),
        "TypeError: conv1d has no argument strides; did you mean stride=2?",
    ),
    "Keras's dilation": (
        ("depthwise_conv1d", DEPTHWISE, X, {"dilation_rate": 2}),
        "TypeError: depthwise_conv1d has no argument dilation_rate; did you mean dilation=2?",
    ),
    "lax's stride": (
        ("separable_conv1d", SEPARABLE, X, {"window_strides": (2,)}),
        "TypeError: separable_conv1d has no argument window_strides; did you mean stride=2?",
    ),
    "lax's dilation": (
        ("conv1d_transpose", TRANSPOSED, X, {"rhs_dilation": [2]}),
        "TypeError: conv1d_transpose has no argument rhs_dilation; did you mean dilation?",
    ),
    "lax's groups": (
        ("conv1d", PARAMS, X, {"feature_group_count": 2}),
        "TypeError: conv1d has no argument feature_group_count; did you mean groups=2?",
    ),
    "lax's padding": (
        ("conv1d", PARAMS, X, {"padding": [(1, 2)]}),
        "padding must be one of valid, same, causal, full, an int or (low, high), got [(1, 2)]; did you mean (1, 2)?",
    ),
    "a mode as the padding": (
        ("conv1d", PARAMS, X, {"padding": "circular"}),
        "padding must be one of valid, same, causal, full, an int or (low, high), got 'circular'; did you mean "
        "padding_mode='wrap'?",
    ),
    "PyTorch's circular": (
        ("conv1d", PARAMS, X, {"padding_mode": "circular"}),
        "padding_mode must be one of zeros, reflect, edge, wrap, got 'circular'; did you mean 'wrap'?",
    ),
    "PyTorch's replicate": (
        ("conv1d", PARAMS, X, {"padding_mode": "replicate"}),
        "padding_mode must be one of zeros, reflect, edge, wrap, got 'replicate'; did you mean 'edge'?",
    ),
    "lax's padding, transposed": (
        ("conv1d_transpose", TRANSPOSED, X, {"padding": "SAME"}),
        "padding of a transposed convolution must be valid or same, got 'SAME'; did you mean 'same'?",
    ),
    "windows of rank 1": (
        ("unfold", X[0, 0], 1, {}),
        "unfold takes x of shape (..., length, channels), got shape (4,)",
    ),
}


def error_message(function, *args, **options):
    """The message of the error, preceded by "TypeError: " for a TypeError."""
    with pytest.raises((ValueError, TypeError)) as caught:
        function(*args, **options)
    return ("TypeError: " if caught.type is TypeError else "") + str(caught.value)


@pytest.mark.parametrize("module", [jconv, jconv.reference], ids=["jax", "numpy"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_raise_one_line_messages(mistake, module):
    (function, first, second, options), message = MISTAKES[mistake]
    assert "\n" not in message
    assert error_message(getattr(module, function), first, second, **options) == message


@pytest.mark.parametrize(
    "mistake", [n for n, ((f, *_, o), _) in MISTAKES.items() if f == "conv1d" and "activation" not in o]
)
def test_reference_vjp_raises_the_same_messages(mistake):
    (_, params, x, options), message = MISTAKES[mistake]
    message = re.sub(r"conv1d(?= takes x| must be an array| has no argument)", "conv1d_vjp", message)
    assert error_message(jconv.reference.conv1d_vjp, params, x, np.ones((2, 8, 6)), **options) == message


# Mistakes that only the JAX functions can report.
ONLY_JAX = {
    "algorithm unknown": (
        (jconv.conv1d, PARAMS, X, {"algorithm": "strassen"}),
        f"algorithm must be one of {ALGORITHM_NAMES}, got 'strassen'",
    ),
    "algorithm a list": (
        (jconv.conv1d, PARAMS, X, {"algorithm": ["lax"]}),
        f"algorithm must be one of {ALGORITHM_NAMES}, got ['lax']",
    ),
    "algorithm unknown, transposed": (
        (jconv.conv1d_transpose, TRANSPOSED, X, {"algorithm": None}),
        f"algorithm must be one of {ALGORITHM_NAMES}, got None",
    ),
    "integers": (
        (jconv.conv1d, PARAMS, X.astype(int), {}),
        "TypeError: x must be float32, float64, bfloat16 or float16, got int32; cast it first",
    ),
    "integers in a list": (
        (jconv.conv1d, PARAMS, [[1, 2, 3, 4]] * 3, {}),
        "TypeError: x must be float32, float64, bfloat16 or float16, got int32; cast it first",
    ),
    "an integer kernel": (
        (jconv.depthwise_conv1d, {"kernel": np.ones((3, 4, 2), int)}, X, {}),
        "TypeError: params['kernel'] must be float32, float64, bfloat16 or float16, got int32; cast it first",
    ),
    "complex": (
        (jconv.conv1d, PARAMS, X.astype(complex), {}),
        "TypeError: x must be float32, float64, bfloat16 or float16, got complex64; cast it first",
    ),
    "booleans": (
        (jconv.conv1d_transpose, TRANSPOSED, X.astype(bool), {}),
        "TypeError: x must be float32, float64, bfloat16 or float16, got bool; cast it first",
    ),
    "cross_check with an algorithm": (
        (jconv.cross_check, PARAMS, X, {"algorithm": "lax"}),
        "cross_check runs every algorithm; leave algorithm out",
    ),
    "cross_check of a wrong option": (
        (jconv.cross_check, PARAMS, X, {"stride": 0}),
        "stride must be an integer of at least 1, got 0",
    ),
}


@pytest.mark.parametrize("mistake", ONLY_JAX)
def test_mistakes_of_jax_functions_raise_one_line_messages(mistake):
    (function, params, x, options), message = ONLY_JAX[mistake]
    assert error_message(function, params, x, **options) == message


INVALID_SIZES = {
    "in_channels zero": ((0, 4, 3), {}, "in_channels must be an integer of at least 1, got 0"),
    "out_channels a float": ((4, 4.0, 3), {}, "out_channels must be an integer of at least 1, got 4.0"),
    "kernel_size a bool": ((4, 4, True), {}, "kernel_size must be an integer of at least 1, got True"),
    "groups zero": ((4, 4, 3), {"groups": 0}, "groups must be an integer of at least 1, got 0"),
    "groups that do not divide in_channels": (
        (4, 6, 3),
        {"groups": 3},
        "groups=3 must divide in_channels=4 and out_channels=6",
    ),
    "groups that do not divide out_channels": (
        (6, 4, 3),
        {"groups": 3},
        "groups=3 must divide in_channels=6 and out_channels=4",
    ),
}


@pytest.mark.parametrize("mistake", INVALID_SIZES)
def test_init_with_invalid_sizes_raises(mistake):
    sizes, options, message = INVALID_SIZES[mistake]
    assert error_message(jconv.init_conv1d, jax.random.key(0), *sizes, **options) == message


def test_init_with_invalid_key_raises():
    message = "key must be a jax.random.key, got 0; did you mean jax.random.key(0)?"
    layer = jconv.layers.Conv1D(4, 3)
    assert error_message(jconv.init_conv1d, 0, 4, 4, 3) == message
    assert error_message(layer.init, 0, (8, 4)) == error_message(jconv.sequential([layer]).init, 0, (8, 4)) == message
    assert error_message(jconv.init_conv1d, None, 4, 4, 3) == "key must be a jax.random.key, got None"
    for scalar in (np.int64(0), jnp.array(0)):
        message = f"key must be a jax.random.key, got {scalar!r}"
        assert error_message(jconv.init_conv1d, scalar, 4, 4, 3).startswith(message)
    assert jconv.init_conv1d(jax.random.PRNGKey(0), 4, 4, 3)["kernel"].shape == (3, 4, 4)


INVALID_LAYERS = {
    "a function": (
        [jax.nn.relu],
        "layer 0 of sequential must be a layer of jconv.layers, got the function relu; did "
        "you mean Activation('relu')?",
    ),
    "a name": (
        [jconv.layers.Dense(2), "tanh"],
        "layer 1 of sequential must be a layer of jconv.layers, got 'tanh'; did you mean Activation('tanh')?",
    ),
    "a class": (
        [jconv.layers.Flatten],
        "layer 0 of sequential must be a layer of jconv.layers, got the class Flatten; did you mean Flatten(...)?",
    ),
    "nothing": ([None], "layer 0 of sequential must be a layer of jconv.layers, got None"),
    "a layer": (
        jconv.layers.Flatten(),
        "sequential takes a list of layers, got Flatten(); did you mean sequential([...])?",
    ),
}


@pytest.mark.parametrize("mistake", INVALID_LAYERS)
def test_sequential_without_layers_raises(mistake):
    layers, message = INVALID_LAYERS[mistake]
    assert error_message(jconv.sequential, layers) == message


def test_unknown_options_of_layers_raise():
    message = "TypeError: Conv1D has no argument strides; did you mean stride=2?"
    assert error_message(jconv.layers.Conv1D, 4, 3, strides=2) == message
    assert error_message(jconv.layers.Flatten, data_format=1).startswith(
        "TypeError: Flatten has no argument data_format"
    )
    message = "TypeError: output_length has no argument strides; did you mean stride=2?"
    assert error_message(jconv.output_length, 10, 3, strides=2) == message
    for function in (jconv.explain, jconv.tune):
        assert "did you mean stride=2?" in error_message(function, PARAMS, X, strides=2)


@pytest.mark.parametrize(
    ("length", "kernel_size", "message"),
    [
        (0, 3, "length must be an integer of at least 1, got 0"),
        (10.0, 3, "length must be an integer of at least 1, got 10.0"),
        (10, -1, "kernel_size must be an integer of at least 1, got -1"),
    ],
)
def test_output_length_with_invalid_sizes_raises(length, kernel_size, message):
    assert error_message(jconv.output_length, length, kernel_size) == message


def test_reference_vjp_with_wrong_cotangent_shape_raises():
    message = "cotangent must have the output's shape (2, 8, 6), got (2, 7, 6)"
    assert error_message(jconv.reference.conv1d_vjp, PARAMS, X, np.ones((2, 7, 6))) == message


def test_mistakes_raise_while_tracing():
    traced = jax.jit(lambda x: jconv.conv1d(PARAMS, x, dilation=5))
    message = (
        "x has 10 samples, 10 with padding, but kernel_size=3 with dilation=5 reaches over 11; "
        "pad x or use a smaller kernel"
    )
    assert error_message(traced, X) == message


# --- unusual but valid -----------------------------------------------------------------------------------------------

EXPECTED = jconv.reference.conv1d(PARAMS, X)


def read_only(array):
    array = array.copy()
    array.setflags(write=False)
    return array


@pytest.mark.parametrize(
    "kind",
    [np.asarray, jnp.asarray, read_only, np.ndarray.tolist, np.asfortranarray, lambda a: a[::-1][::-1]],
    ids=["numpy", "jax", "read-only", "list", "fortran", "reversed strides"],
)
@pytest.mark.parametrize("module", [jconv, jconv.reference], ids=["jax", "numpy"])
def test_arrays_of_any_kind_are_accepted(kind, module):
    y = module.conv1d({name: kind(p) for name, p in PARAMS.items()}, kind(X))
    np.testing.assert_array_equal(y, EXPECTED)


@pytest.mark.parametrize("module", [jconv, jconv.reference], ids=["jax", "numpy"])
def test_lists_are_accepted(module):
    for name, params in (
        ("depthwise_conv1d", DEPTHWISE),
        ("separable_conv1d", SEPARABLE),
        ("conv1d_transpose", TRANSPOSED),
    ):
        function = getattr(module, name)
        lists = {key: value.tolist() for key, value in params.items()}
        np.testing.assert_array_equal(function(lists, X.tolist()), function(params, X))
    np.testing.assert_array_equal(module.unfold(X.tolist(), 3), module.unfold(X, 3))


@pytest.mark.parametrize("number", [np.int64, np.int32, np.int8, np.uint8])
@pytest.mark.parametrize("module", [jconv, jconv.reference], ids=["jax", "numpy"])
def test_numpy_integers_are_accepted_as_options(number, module):
    options = {"stride": number(2), "dilation": number(2), "groups": number(1), "padding": (number(3), number(1))}
    y = module.conv1d(PARAMS, X, **options, padding_mode="edge")
    expected = jconv.reference.conv1d(PARAMS, X, stride=2, dilation=2, padding=(3, 1), padding_mode="edge")
    np.testing.assert_array_equal(y, expected)
    transposed = module.conv1d_transpose(TRANSPOSED, X, stride=number(3), output_padding=number(1))
    np.testing.assert_array_equal(
        transposed, jconv.reference.conv1d_transpose(TRANSPOSED, X, stride=3, output_padding=1)
    )


def test_numpy_integers_are_accepted_by_init():
    params = jconv.init_conv1d(jax.random.key(0), np.int64(4), np.int8(100), np.int32(3), groups=np.int64(2))
    assert params["kernel"].shape == (3, 2, 100)


@pytest.mark.parametrize("algorithm", ["auto", *ALGORITHMS, None])
def test_empty_batch_has_zero_gradients(algorithm):
    module, options = (jconv, {"algorithm": algorithm}) if algorithm else (jconv.reference, {})
    for lead, groups, stride, dilation in (((0,), 1, 1, 1), ((2, 0), 2, 1, 1), ((0, 3), 1, 2, 1), ((0,), 2, 3, 2)):
        x, geometry = np.zeros((*lead, 10, 4), np.float32), {"groups": groups, "stride": stride, "dilation": dilation}
        params = {"kernel": KERNEL[:, : 4 // groups]}
        y = module.conv1d(params, x, **geometry, **options)
        assert y.shape == (*lead, jconv.output_length(10, 3, stride=stride, dilation=dilation), 6)
        if algorithm:
            _, pull = jax.vjp(lambda p, x, o=geometry: jconv.conv1d(p, x, **o, **options), params, x)
            params_bar, x_bar = pull(y)
        else:
            params_bar, x_bar = module.conv1d_vjp(params, x, y, **geometry)
        assert x_bar.shape == x.shape
        np.testing.assert_array_equal(params_bar["kernel"], np.zeros_like(params["kernel"]))


@pytest.mark.parametrize("algorithm", ["auto", "einsum", "lax"])
def test_no_leading_axis_is_a_batch_of_one(algorithm):
    y = jconv.conv1d(PARAMS, X[0], algorithm=algorithm)
    np.testing.assert_array_equal(y, EXPECTED[0])
