"""The NumPy reference compared with the formula as loops, and its adjoints with complex-step derivatives."""

import itertools

import numpy as np
import pytest

from jconv import reference
from jconv.geometry import pad_amounts, transposed_geometry
from tests.support.settings import deviation, random_settings

SETTINGS = random_settings(60, seed=1, dtype="float64")
MODES = ("zeros", "reflect", "edge", "wrap")


def source(i, length, mode):
    """The sample at position i of the padded input, or None for a zero."""
    if 0 <= i < length:
        return i
    if mode == "zeros":
        return None
    if mode == "edge" or length == 1:
        return min(max(i, 0), length - 1)
    if mode == "wrap":
        return i % length
    i %= 2 * (length - 1)  # reflect: forward and backward, without repeating the ends
    return i if i < length else 2 * (length - 1) - i


def by_loops(params, x, *, stride, padding, dilation, groups, padding_mode, activation=None):
    """The formula for one example (length, channels), as loops."""
    assert activation is None
    kernel, (length, _) = params["kernel"], x.shape
    kernel_size, in_per_group, out_channels = kernel.shape
    low, high = pad_amounts(length, kernel_size, stride=stride, padding=padding, dilation=dilation)
    out_length = (length + low + high - (kernel_size - 1) * dilation - 1) // stride + 1
    y = np.zeros((out_length, out_channels))
    for t, o in itertools.product(range(out_length), range(out_channels)):
        group = o // (out_channels // groups)
        y[t, o] = params["bias"][o] if "bias" in params else 0
        for k in range(kernel_size):
            at = source(t * stride + k * dilation - low, length, padding_mode)
            if at is not None:
                for c in range(in_per_group):
                    y[t, o] += x[at, group * in_per_group + c] * kernel[k, c, o]
    return y


@pytest.mark.parametrize("setting", SETTINGS[:40], ids=str)
def test_reference_is_the_formula(setting):
    params, x = setting.arrays()
    y = reference.conv1d(params, x, **setting.linear)
    assert y.dtype == np.float64
    examples = x.reshape(-1, *x.shape[-2:])
    expected = np.stack([by_loops(params, example, **setting.linear) for example in examples])
    assert deviation(y.reshape(expected.shape), expected) < 1e-14


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_pad_and_its_adjoint_agree_with_loops(length, mode):
    x = np.arange(1.0, length + 1)[:, None]
    for low, high in ((0, 0), (1, 0), (0, 2), (5, 3), (20, 31)):
        sources = [source(i, length, mode) for i in range(-low, length + high)]
        expected = np.array([0 if at is None else x[at, 0] for at in sources])
        np.testing.assert_array_equal(reference.pad(x, low, high, mode)[:, 0], expected)
        padded_bar = np.random.default_rng(0).standard_normal((low + length + high, 1))
        x_bar = reference.pad_adjoint(padded_bar, length, low, high, mode)
        by_sample = [padded_bar[[at == i for at in sources], 0].sum() for i in range(length)]
        np.testing.assert_allclose(x_bar[:, 0], by_sample, rtol=1e-13, atol=1e-13)


def complex_step(function, at, direction):
    """The derivative of `function` at `at` along `direction`, to the last digit."""
    return np.imag(function(at + 1e-30j * direction)) / 1e-30


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_adjoint_is_the_complex_step_derivative(setting):
    params, x = setting.arrays()
    rng = np.random.default_rng(3)
    cotangent = setting.cotangent()
    params_bar, x_bar = reference.conv1d_vjp(params, x, cotangent, **setting.linear)
    assert set(params_bar) == set(params)
    bars = {"x": x_bar, **params_bar}
    values = {"x": x, **params}

    def inner_product(name, value):
        changed = {**values, name: value}
        return (cotangent * reference.conv1d(changed, changed.pop("x"), **setting.linear)).sum()

    for name, bar in bars.items():
        assert bar.shape == values[name].shape
        # A random direction tests the complete linear map; single coordinates show which one is wrong.
        directions = [rng.standard_normal(bar.shape)]
        for flat in rng.choice(bar.size, min(4, bar.size), replace=False):
            directions.append((np.arange(bar.size) == flat).reshape(bar.shape).astype(float))
        for direction in directions:
            derivative = complex_step(lambda value, n=name: inner_product(n, value), values[name], direction)
            scale = np.abs(bar * direction).sum() + np.abs(bar).max()
            assert abs(derivative - (bar * direction).sum()) <= 1e-13 * scale


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_gradients_satisfy_the_adjoint_identity(setting):
    params, x = setting.arrays()
    params = {"kernel": params["kernel"]}
    y = reference.conv1d(params, x, **setting.linear)
    y_bar = setting.cotangent()
    params_bar, x_bar = reference.conv1d_vjp(params, x, y_bar, **setting.linear)
    scale = np.abs(y_bar * y).sum()
    assert abs((y_bar * y).sum() - (x_bar * x).sum()) <= 1e-13 * scale
    assert abs((y_bar * y).sum() - (params_bar["kernel"] * params["kernel"]).sum()) <= 1e-13 * scale


@pytest.mark.parametrize("name", ["depthwise_conv1d", "separable_conv1d", "conv1d_transpose"])
def test_other_convolutions_support_the_complex_step(name):
    rng = np.random.default_rng(0)
    params = {
        "depthwise_conv1d": {"kernel": rng.standard_normal((3, 4, 2)), "bias": rng.standard_normal(8)},
        "separable_conv1d": {
            "depthwise_kernel": rng.standard_normal((3, 4, 2)),
            "pointwise_kernel": rng.standard_normal((1, 8, 5)),
            "bias": rng.standard_normal(5),
        },
        "conv1d_transpose": {"kernel": rng.standard_normal((3, 5, 4)), "bias": rng.standard_normal(5)},
    }[name]
    function, x, direction = getattr(reference, name), *rng.standard_normal((2, 2, 9, 4))
    derivative = complex_step(lambda x: function(params, x, stride=2, activation="tanh"), x, direction)
    step = 1e-6
    ahead, behind = (function(params, x + s * direction, stride=2, activation="tanh") for s in (step, -step))
    assert deviation((ahead - behind) / (2 * step), derivative) < 1e-8


# --- unfold ----------------------------------------------------------------------------------------------------------

LAYOUTS = {
    "contiguous": lambda a: a,
    "fortran": np.asfortranarray,
    "reversed": lambda a: a[:, ::-1],
    "every other sample": lambda a: a[:, ::2],
    "every other channel": lambda a: a[..., ::2],
    "axes swapped": lambda a: a.transpose(2, 1, 0),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_unfold_is_a_read_only_view(layout):
    x = LAYOUTS[layout](np.random.default_rng(0).standard_normal((3, 23, 4)))
    before = x.copy()
    for kernel_size, stride, dilation in itertools.product((1, 2, 5), (1, 2, 3, 12), (1, 2, 3)):
        if (kernel_size - 1) * dilation >= x.shape[1]:
            continue
        windows = reference.unfold(x, kernel_size, stride=stride, dilation=dilation)
        starts = range(0, x.shape[1] - (kernel_size - 1) * dilation, stride)
        assert windows.shape == (x.shape[0], len(starts), kernel_size, x.shape[2])
        for t, start in enumerate(starts):
            for k in range(kernel_size):
                np.testing.assert_array_equal(windows[:, t, k], x[:, start + k * dilation])
        assert np.shares_memory(windows, x)
        assert not windows.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            windows[...] = 0
    np.testing.assert_array_equal(x, before)


def test_unfold_does_not_allocate_windows():
    x = np.zeros((1_000_000, 1))
    windows = reference.unfold(x, 1000)  # A copy would have eight gigabytes.
    assert windows.shape == (999_001, 1000, 1)
    assert np.shares_memory(windows, x)


# --- the transposed convolution --------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_transposed_convolution_adds_scaled_kernels(padding):
    rng = np.random.default_rng(0)
    for kernel_size, stride, dilation in itertools.product((1, 2, 4), (1, 2, 3), (1, 2)):
        for output_padding in (None, *range(stride)):
            options = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation}
            kernel, x = rng.standard_normal((kernel_size, 2, 3)), rng.standard_normal((7, 3))
            geometry = transposed_geometry(7, kernel_size, **options)
            complete = np.zeros((100, 2))
            for t, k in itertools.product(range(7), range(kernel_size)):
                complete[t * stride + k * dilation] += kernel[k] @ x[t]
            expected = complete[geometry.low : geometry.low + geometry.length]
            assert deviation(reference.conv1d_transpose({"kernel": kernel}, x, **options), expected) < 1e-14
