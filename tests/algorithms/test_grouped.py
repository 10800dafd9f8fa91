"""A dense convolution for each group, several outputs at once, against the reference."""

import numpy as np
import pytest

from jconv import reference
from jconv.algorithms import OPERATIONS, grouped
from jconv.geometry import make_geometry
from tests.support.settings import BOUNDS, deviation, quick_jit

# Channels in and out, groups, taps; outputs per window of the forward pass.
FORMS = [(48, 48, 2, 9, 1), (24, 24, 2, 7, 2), (10, 12, 2, 8, 4), (12, 40, 2, 5, 1), (32, 32, 2, 3, 2)]


@pytest.mark.default_cases(12)
@pytest.mark.parametrize("padding", ["causal", "same", "valid"])
@pytest.mark.parametrize("operation", OPERATIONS[:2])
@pytest.mark.parametrize(("in_channels", "out_channels", "groups", "taps", "expected_outputs"), FORMS)
def test_several_outputs_per_window_agree_with_the_reference(
    in_channels, out_channels, groups, taps, expected_outputs, operation, padding
):
    geometry = make_geometry(45, taps, groups=groups, padding=padding)
    assert grouped.outputs_per_window(geometry, out_channels // groups) == expected_outputs
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 45, in_channels)).astype(np.float32)
    kernel = random.standard_normal((taps, in_channels // groups, out_channels)).astype(np.float32)
    y_bar = random.standard_normal((2, geometry.out_length, out_channels)).astype(np.float32)
    options = {"groups": groups, "padding": padding}
    if operation == "forward":
        operand, expected = x, reference.conv1d({"kernel": kernel}, x, **options)
    else:
        operand, expected = y_bar, reference.conv1d_vjp({"kernel": kernel}, x, y_bar, **options)[1]
    found = quick_jit(lambda a, b: getattr(grouped, operation)(a, b, geometry))(operand, kernel)
    assert deviation(found, expected) <= BOUNDS["float32"]
