"""Every algorithm, forward and both gradients, against the NumPy reference: the design's table and random settings.

The environment variable `JCONV_TEST_SETTINGS=2000` runs the full sweep: every setting with every algorithm. The default
is the first of the same settings, each with one algorithm.
"""

import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv import reference
from jconv.algorithms import ALGORITHMS, matmul, polyphase, shifts
from jconv.functional.activations import ACTIVATIONS
from jconv.geometry import make_geometry
from tests.support.settings import (
    BOUNDS,
    COUNT,
    SAME_PADDING_SETTINGS,
    Setting,
    algorithms_for,
    chunks,
    deviation,
    expected_operations,
    jax_operations,
    quick_jit,
    random_settings,
)


def assert_equal_to_the_reference(settings, *, gradients=True, by=()):
    for setting, algorithms in zip(settings, jax_operations(settings, gradients=gradients, algorithms=by), strict=True):
        expected = expected_operations(setting)
        expected = expected if gradients else {"y": expected["y"]}
        assert list(algorithms) == list(by or algorithms_for(setting))
        for algorithm, operations in algorithms.items():
            assert set(operations) == set(expected)
            for name, array in operations.items():
                assert array.dtype == jnp.dtype(setting.dtype)
                assert deviation(array, expected[name]) <= BOUNDS[setting.dtype], (algorithm, name, setting)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("settings", chunks(random_settings(COUNT)))
def test_random_settings_agree_with_the_reference(settings):
    assert_equal_to_the_reference(settings)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("settings", chunks(SAME_PADDING_SETTINGS))
def test_same_padding_settings_agree_with_the_reference(settings):
    assert_equal_to_the_reference(settings)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("settings", chunks([s.in_type("float64") for s in SAME_PADDING_SETTINGS]))
def test_same_padding_settings_agree_with_the_reference_in_float64(settings):
    assert_equal_to_the_reference(settings, gradients=False)


def test_there_are_150_same_padding_settings_with_correct_output_lengths():
    assert len(set(map(str, SAME_PADDING_SETTINGS))) == 150
    for setting in SAME_PADDING_SETTINGS:
        params, x = setting.arrays()
        assert reference.conv1d(params, x, **setting.options).shape[-2] == -(
            -setting.length // setting.options["stride"]
        )


def test_every_algorithm_has_settings():
    names = [name for setting in random_settings(100) for name in algorithms_for(setting)]
    assert set(names) == set(ALGORITHMS)
    assert min(map(names.count, ALGORITHMS)) >= 5


def test_random_settings_cover_all_options():
    settings = random_settings(2000)
    seen = {name: {str(s.options[name]) for s in settings} for name in settings[0].options}
    assert seen["activation"] == {"None", *ACTIVATIONS}
    assert seen["padding_mode"] == {"zeros", "reflect", "edge", "wrap"}
    assert {"valid", "same", "causal", "full", "0", "(0, 3)"} <= seen["padding"]
    assert {s.dtype for s in settings} == set(BOUNDS)
    assert {len(s.lead) for s in settings} == {0, 1, 2, 3}
    assert {s.bias for s in settings} == {True, False}
    corners = (
        lambda s: s.options["stride"] > 1 and s.options["dilation"] > 1 and s.options["groups"] > 1,
        lambda s: s.options["groups"] == s.in_channels > 1,
        lambda s: s.kernel_size > 64,
        lambda s: s.kernel_size == 1 and s.options["stride"] > 1,
        lambda s: s.options["stride"] > s.kernel_size,
        lambda s: (
            s.options["padding_mode"] == "reflect" and s.options["padding"] == "full" and s.kernel_size > s.length
        ),
        lambda s: s.length == 1,
    )
    for corner in corners:
        assert sum(map(corner, settings)) >= 3


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("setting", random_settings(4, seed=5, dtype="float32", activation=None), ids=str)
def test_operations_with_default_compiler_options_agree(setting):
    # The sweeps above disable LLVM's optimizations.
    params, x = setting.arrays()
    assert jconv.cross_check(params, x, **setting.options).max() <= BOUNDS["float32"]


# Without a bias only the result is rounded, by half a unit in the last place. A rounded partial sum exceeds this bound.
SETTINGS_OF_16_BIT = [
    Setting((1,), 25, 4, 2, 6, "bfloat16", False, options={"stride": 3, "padding_mode": "wrap", "groups": 2}),
    Setting((1, 2, 2), 33, 3, 6, 8, "float16", False, options={"stride": 3, "padding": "full", "groups": 3}),
    Setting((2, 3), 16, 1, 2, 8, "float16", False, options={"stride": 3, "padding": "causal", "padding_mode": "edge"}),
]


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_16_bit_floats_accumulate_in_float32(algorithm, seed):
    for setting in SETTINGS_OF_16_BIT:
        params, x = setting.arrays(seed)
        y = jconv.conv1d(params, x, algorithm=algorithm, **setting.options)
        assert deviation(y, reference.conv1d(params, x, **setting.options)) <= BOUNDS[setting.dtype] / 2


# Padding wider than the reach, which the gradients crop: more at one end, less at the other.
CROPPED = [
    Setting((3,), length, 3, 4, kernel_size, bias=False, options={"padding": padding, "stride": stride})
    for length, kernel_size in ((1, 1), (12, 3), (30, 4))
    for padding in ((7, 1), (1, 7), (9, 8), (40, 0))
    for stride in (1, 2, 7)
]


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("settings", chunks(CROPPED))
def test_padding_wider_than_the_reach_agrees_with_the_reference(settings):
    # XLA's convolution on a CPU reads past the end of its operand where padding is negative (JAX 0.10.2).
    assert_equal_to_the_reference(settings)


# Few channels in or out: one matrix product for all taps, and windows of y_bar instead of windows of x.
FEW_CHANNELS = [
    Setting((3,), length, *channels, kernel_size, bias=False, options={"padding": padding, "dilation": dilation})
    for length, kernel_size, dilation in ((1, 2, 1), (19, 3, 1), (25, 4, 3), (30, 5, 2))
    for channels in ((8, 2), (12, 1), (2, 8), (9, 9))
    for padding in ((0, 0), "causal", "full", (40, 0), (3, 17))
    if not (padding == (0, 0) and length == 1)
]


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("settings", chunks(FEW_CHANNELS))
def test_few_channels_agree_with_the_reference(settings):
    assert_equal_to_the_reference(settings, by=["matmul"])


# One matrix product of all windows; sums that are unrolled, in one loop and in two; more terms than are unrolled.
@pytest.mark.default_cases(4)
@pytest.mark.parametrize("batch", [1, 2, shifts.MAX_TERMS + 1, shifts.MAX_UNROLLED_LOOPS * shifts.MAX_TERMS + 1])
@pytest.mark.parametrize("options", [{}, {"stride": 3, "padding": "same"}, {"dilation": 2, "padding": (5, 0)}], ids=str)
def test_kernel_gradients_of_small_and_large_batches_agree(batch, options):
    rng = np.random.default_rng(batch)
    geometry = make_geometry(40, 4, **options)
    x = rng.standard_normal((batch, 40, 3)).astype(np.float32)
    y_bar = rng.standard_normal((batch, geometry.out_length, 5)).astype(np.float32)
    expected = reference.conv1d_vjp({"kernel": np.zeros((4, 3, 5))}, x, y_bar, **options)[0]["kernel"]
    for algorithm in ("einsum", "shifts"):
        operation = ALGORITHMS[algorithm].kernel_gradient
        kernel_bar = quick_jit(lambda x, y_bar, operation=operation: operation(x, y_bar, geometry))(x, y_bar)
        assert deviation(kernel_bar, expected) <= BOUNDS["float32"], algorithm


@pytest.mark.parametrize("options", [{"padding": (0, 0)}, {"padding": "same"}, {"padding": (9, 5)}], ids=str)
@pytest.mark.parametrize("kernel_size, stride, channels", [(4, 2, 3), (6, 3, 5), (5, 5, 3), (16, 8, 4), (4, 2, 130)])
def test_merged_phases_of_an_input_gradient_agree_with_the_reference(kernel_size, stride, channels, options):
    rng = np.random.default_rng(kernel_size)
    geometry = make_geometry(31, kernel_size, stride=stride, **options)
    assert polyphase.merges_phases(geometry, channels) == (channels < 130)
    y_bar = rng.standard_normal((2, geometry.out_length, 7)).astype(np.float32)
    kernel = rng.standard_normal((kernel_size, channels, 7)).astype(np.float32)
    x = np.zeros((2, 31, channels))
    expected = reference.conv1d_vjp({"kernel": kernel}, x, y_bar, stride=stride, **options)[1]
    x_bar = quick_jit(lambda y_bar, kernel: polyphase.input_gradient(y_bar, kernel, geometry))(y_bar, kernel)
    assert deviation(x_bar, expected) <= BOUNDS["float32"]


@pytest.mark.parametrize("options", [{"padding": "valid"}, {"padding": "same"}, {"padding": (9, 5)}], ids=str)
@pytest.mark.parametrize("kernel_size, stride, groups", [(3, 2, 1), (7, 3, 2), (16, 4, 1), (2, 5, 3), (24, 6, 1)])
def test_windows_of_an_input_gradient_are_added_where_they_overlap(kernel_size, stride, groups, options):
    rng = np.random.default_rng(kernel_size)
    geometry = make_geometry(31, kernel_size, stride=stride, groups=groups, **options)
    y_bar = rng.standard_normal((2, geometry.out_length, 6)).astype(np.float32)
    kernel = rng.standard_normal((kernel_size, 2, 6)).astype(np.float32)
    x = np.zeros((2, 31, 2 * groups))
    expected = reference.conv1d_vjp({"kernel": kernel}, x, y_bar, stride=stride, groups=groups, **options)[1]
    x_bar = quick_jit(lambda y_bar, kernel: matmul.input_gradient(y_bar, kernel, geometry))(y_bar, kernel)
    assert deviation(x_bar, expected) <= BOUNDS["float32"]
