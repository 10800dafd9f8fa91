"""Properties of every convolution, for geometries that Hypothesis draws, in float64 and with every algorithm.

Hypothesis draws and shrinks only integers: sizes, and a seed for the values, because the properties are about shapes.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

import jconv
from jconv.algorithms import ALGORITHMS
from tests.support.settings import deviation, in_type, quick_jit

EXACT = 1e-13  # the rounding of a few successive sums in float64

algorithms = st.sampled_from(sorted(ALGORITHMS))


@st.composite
def convolutions(draw, **fixed):
    """`(params, x, options)` of a valid convolution with the given `fixed` options."""
    small = partial(st.integers, 1)
    groups = fixed.get("groups", draw(small(3)))
    options = {
        "stride": draw(small(4)),
        "dilation": draw(small(4)),
        "groups": groups,
        "padding": draw(st.sampled_from(["valid", "same", "causal", "full", (3, 1)])),
        "padding_mode": draw(st.sampled_from(["zeros", "reflect", "edge", "wrap"])),
        **fixed,
    }
    kernel_size, length = draw(small(5)), draw(small(24))
    try:
        shape = {name: options[name] for name in ("stride", "dilation", "padding")}
        jconv.output_length(length, kernel_size, **shape)
    except ValueError:
        assume(False)
    per_group, out_channels = draw(small(3)), groups * draw(small(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kernel = rng.standard_normal((kernel_size, per_group, out_channels))
    x = rng.standard_normal((*draw(st.sampled_from([(), (2,), (2, 3)])), length, per_group * groups))
    return {"kernel": kernel}, x, options


def run(function, *args):
    """`function(*args)` in float64, compiled without LLVM's optimizations."""
    return in_type("float64", quick_jit(function), *args)


def other_of(array, seed=7):
    return np.random.default_rng(seed).standard_normal(np.shape(array))


@given(algorithms, convolutions())
def test_linear_in_x_and_in_the_kernel(algorithm, convolution):
    params, x, options = convolution
    kernel, x2, kernel2 = params["kernel"], other_of(x), other_of(params["kernel"], 8)

    def outputs(x, x2, kernel, kernel2):
        def conv(kernel, x):
            return jconv.conv1d({"kernel": kernel}, x, **options, algorithm=algorithm)

        in_x = conv(kernel, 2 * x - 3 * x2), 2 * conv(kernel, x) - 3 * conv(kernel, x2)
        in_kernel = conv(2 * kernel - 3 * kernel2, x), 2 * conv(kernel, x) - 3 * conv(kernel2, x)
        return in_x, in_kernel

    for combined, separate in run(outputs, x, x2, kernel, kernel2):
        assert deviation(combined, separate) <= EXACT


@given(algorithms, convolutions(padding="valid"), st.integers(1, 3))
def test_valid_convolution_is_shift_equivariant(algorithm, convolution, windows):
    params, x, options = convolution
    conv = partial(jconv.conv1d, **options, algorithm=algorithm)
    complete = run(conv, params, x)
    assume(complete.shape[-2] > windows)
    later = run(conv, params, x[..., windows * options["stride"] :, :])
    assert deviation(later, complete[..., windows:, :]) <= EXACT


@given(algorithms, convolutions(padding="causal", padding_mode="zeros"), st.integers(0, 23))
def test_causal_outputs_do_not_depend_on_later_samples(algorithm, convolution, now):
    params, x, options = convolution
    now = min(now, x.shape[-2] - 1)
    changed = x.copy()
    changed[..., now + 1 :, :] = 1e6
    conv = partial(jconv.conv1d, **options, algorithm=algorithm)
    y, y_changed = run(lambda p, x, changed: (conv(p, x), conv(p, changed)), params, x, changed)
    past = now // options["stride"] + 1
    # An FFT's rounding errors are relative to the largest sample of its block. The others do not read later samples.
    rounding = 1e6 * EXACT if algorithm == "fft" else 0
    np.testing.assert_allclose(y[..., :past, :], y_changed[..., :past, :], rtol=0, atol=rounding)
    # The output at a time does depend on the sample at that time.
    changed[..., now, :] += 1.0
    if now % options["stride"] == 0:
        assert (run(conv, params, changed)[..., past - 1, :] != y_changed[..., past - 1, :]).any()


@given(algorithms, convolutions())
def test_gradients_are_adjoints(algorithm, convolution):
    params, x, options = convolution

    def inner_products(params, x):
        y, pull = jax.vjp(lambda p, x: jconv.conv1d(p, x, **options, algorithm=algorithm), params, x)
        y_bar = jnp.asarray(other_of(y), x.dtype)
        params_bar, x_bar = pull(y_bar)
        scale = jnp.abs(y_bar * y).sum()
        return (y_bar * y).sum(), (x_bar * x).sum(), (params_bar["kernel"] * params["kernel"]).sum(), scale

    over_y, over_x, over_kernel, scale = run(inner_products, params, x)
    assert abs(over_y - over_x) <= EXACT * scale
    assert abs(over_y - over_kernel) <= EXACT * scale


@given(algorithms, convolutions(groups=3))
def test_groups_are_independent_convolutions(algorithm, convolution):
    params, x, options = convolution
    conv = partial(jconv.conv1d, algorithm=algorithm)

    def by_group(params, x):
        kernels, xs = jnp.split(params["kernel"], 3, axis=-1), jnp.split(x, 3, axis=-1)
        dense = {**options, "groups": 1}
        return jnp.concatenate([conv({"kernel": k}, x, **dense) for k, x in zip(kernels, xs, strict=True)], axis=-1)

    combined, separate = run(lambda p, x: (conv(p, x, **options), by_group(p, x)), params, x)
    assert deviation(combined, separate) <= EXACT


@given(algorithms, convolutions())
def test_stride_keeps_every_nth_output_of_stride_one(algorithm, convolution):
    params, x, options = convolution
    assume(options["padding"] != "same")  # Same padding depends on the stride.
    conv = partial(jconv.conv1d, algorithm=algorithm)
    strided, dense = run(lambda p, x: (conv(p, x, **options), conv(p, x, **{**options, "stride": 1})), params, x)
    assert deviation(strided, dense[..., :: options["stride"], :]) <= EXACT


@given(algorithms, convolutions())
def test_dilation_is_a_kernel_with_zeros_between_taps(algorithm, convolution):
    params, x, options = convolution
    kernel, dilation = params["kernel"], options["dilation"]
    spread = np.zeros(((kernel.shape[0] - 1) * dilation + 1, *kernel.shape[1:]))
    spread[::dilation] = kernel
    conv = partial(jconv.conv1d, algorithm=algorithm)
    dilated, plain = run(
        lambda p, s, x: (conv(p, x, **options), conv({"kernel": s}, x, **{**options, "dilation": 1})), params, spread, x
    )
    assert deviation(dilated, plain) <= EXACT


@given(algorithms, convolutions())
def test_leading_axes_are_one_batch(algorithm, convolution):
    params, x, options = convolution
    conv = partial(jconv.conv1d, **options, algorithm=algorithm)
    flat = x.reshape(-1, *x.shape[-2:])
    complete, merged, doubled = run(
        lambda p, x, flat: (conv(p, x), conv(p, flat), conv(p, jnp.concatenate([flat, -flat]))), params, x, flat
    )
    assert complete.shape[:-2] == x.shape[:-2]
    assert deviation(complete.reshape(merged.shape), merged) <= EXACT
    assert deviation(doubled, np.concatenate([merged, -merged])) <= EXACT


@given(algorithms, convolutions(groups=1, padding_mode="zeros", dilation=1, stride=1, padding="valid"))
def test_kernel_is_not_flipped(algorithm, convolution):
    params, x, options = convolution
    kernel = params["kernel"]
    y = run(partial(jconv.conv1d, **options, algorithm=algorithm), params, x)
    examples = x.reshape(-1, *x.shape[-2:])
    for example, out in zip(examples, y.reshape(-1, *y.shape[-2:]), strict=True):
        for o in range(kernel.shape[2]):
            by_channel = [np.correlate(example[:, c], kernel[:, c, o]) for c in range(kernel.shape[1])]
            assert np.abs(out[:, o] - sum(by_channel)).max() <= EXACT * np.abs(y).max()
