"""`shifts`, sums of shifted copies: every form of the loop over terms, compared with the reference."""

import numpy as np
import pytest

from jconv import reference
from jconv.algorithms import OPERATIONS, shifts
from jconv.algorithms.shared.no_fusion import isolate
from jconv.geometry import make_geometry
from tests.support.settings import BOUNDS, deviation, in_type, quick_jit

FORMS = {
    "one loop": (20, 6, 6, 5, {"groups": 6}),
    "two sums in a loop": (20, 6, 6, 9, {"groups": 6, "padding": "same"}),
    "two loops": (80, 2, 4, 40, {"groups": 2, "padding": "causal"}),
    "a scan of loops": (250, 2, 2, 100, {"groups": 2, "padding": "same"}),
    "a scan, dilated": (260, 2, 2, 97, {"groups": 2, "dilation": 2, "padding": "causal"}),
    "small groups": (30, 8, 8, 15, {"groups": 2, "padding": "same"}),
    "wide groups, one loop": (20, 8, 24, 3, {"groups": 2, "stride": 2}),
    "wide groups, a scan": (21, 32, 32, 4, {"groups": 2, "padding": "same"}),
    "wide groups, a scan and a remainder": (21, 20, 36, 5, {"groups": 2, "dilation": 2, "padding": (3, 1)}),
    "wide groups, strided": (23, 32, 32, 3, {"groups": 2, "stride": 2, "padding": "same"}),
    "more channels per group than terms in a loop": (12, 80, 24, 2, {"groups": 2}),
    "channels in parts": (20, 1024, 1024, 9, {"groups": 1024, "padding": "same"}),
    "channels in parts, strided": (27, 1024, 1024, 8, {"groups": 1024, "stride": 2, "padding": "causal"}),
    "one channel, many taps": (8200, 1, 1, 8192, {}),
    "few channels in": (30, 4, 32, 9, {"padding": "same"}),
    "groups padded to 4 channels": (37, 6, 4, 3, {"groups": 2, "padding": "same"}),
    "groups padded to 8 channels, dilated": (40, 15, 18, 4, {"groups": 3, "dilation": 2, "padding": "causal"}),
    "groups padded to 16 channels, strided": (41, 24, 8, 5, {"groups": 2, "stride": 2, "padding": (9, 2)}),
    "one group, padded channels": (33, 10, 3, 3, {"padding": "same"}),
}


@pytest.mark.default_cases(6)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_agrees_with_the_reference(form, operation, dtype):
    length, in_channels, out_channels, kernel_size, options = FORMS[form]
    geometry = make_geometry(length, kernel_size, **options)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, length, in_channels)).astype(dtype)
    kernel = rng.standard_normal((kernel_size, in_channels // geometry.groups, out_channels)).astype(dtype)
    y_bar = rng.standard_normal((2, geometry.out_length, out_channels)).astype(dtype)
    operands = {"forward": (x, kernel), "input_gradient": (y_bar, kernel), "kernel_gradient": (x, y_bar)}[operation]
    if operation == "forward":
        expected = reference.conv1d({"kernel": kernel}, x, **options)
    else:
        params_bar, x_bar = reference.conv1d_vjp({"kernel": kernel}, x, y_bar, **options)
        expected = x_bar if operation == "input_gradient" else params_bar["kernel"]
    found = in_type(dtype, quick_jit(lambda a, b: getattr(shifts, operation)(a, b, geometry)), *operands)
    assert found.shape == expected.shape and found.dtype == dtype
    assert deviation(found, expected) <= BOUNDS[dtype]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("channels", "taps", "parts"), [(1024, 9, 4), (512, 31, 4), (640, 31, 1), (1024, 7, 1)])
def test_channels_are_split_to_avoid_cache_conflicts(operation, channels, taps, parts):
    """Each part is a call of the same function."""
    geometry = make_geometry(64, taps, groups=channels, padding="same")
    x, kernel = np.zeros((1, 64, channels), np.float32), np.zeros((taps, 1, channels), np.float32)
    operands = {"forward": (x, kernel), "input_gradient": (x, kernel), "kernel_gradient": (x, x)}[operation]
    text = quick_jit(isolate(lambda a, b: getattr(shifts, operation)(a, b, geometry))).lower(*operands).as_text()
    assert text.count("call @one") == (parts if parts > 1 else 0)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize(("in_per_group", "out_per_group", "lanes"), [(3, 3, 4), (6, 2, 8), (12, 6, 16), (12, 7, 12)])
def test_in_channels_are_padded_for_few_out_channels(groups, in_per_group, out_per_group, lanes):
    assert shifts.padded_in_channels(in_per_group, out_per_group) == lanes
    geometry = make_geometry(40, 3, groups=groups)
    x = np.zeros((2, 40, groups * in_per_group), np.float32)
    y_bar = np.zeros((2, geometry.out_length, groups * out_per_group), np.float32)
    text = quick_jit(lambda a, b: shifts.kernel_gradient(a, b, geometry)).lower(x, y_bar).as_text()
    assert lanes == in_per_group or f"tensor<2x40x{groups}x{lanes}xf32>" in text


@pytest.mark.parametrize(
    ("groups", "in_per_group", "out_per_group", "terms"), [(1, 4, 64, 32), (8, 1, 64, 32), (8, 4, 8, 32), (8, 4, 9, 24)]
)
def test_max_terms_per_loop(groups, in_per_group, out_per_group, terms):
    assert shifts.max_terms_per_loop(groups, in_per_group, out_per_group) == terms
