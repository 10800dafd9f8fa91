"""Convolutions of ragged and packed arrays equal the convolutions of each sequence alone; padding affects nothing."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jconv
from jconv import reference
from jconv.algorithms import ALGORITHMS
from tests.support.sequences import drawn_ids, pieces, with_nan_padding
from tests.support.settings import BOUNDS, deviation, in_type, quick_jit

LENGTH = 19


def geometry(rng, packed):
    """Random options, and a kernel size for which a complete row is long enough."""
    kernel_size, dilation = int(rng.integers(1, 6)), int(rng.choice([1, 1, 2, 3]))
    overhang = (kernel_size - 1) * dilation
    within = int(rng.integers(0, overhang + 1))
    paddings = ["same", "same", "causal", "valid", (within, overhang - within)] + ["full", (2, 3)] * (not packed)
    options = {
        "stride": int(rng.choice([1, 1, 2, 3])),
        "padding": paddings[rng.integers(len(paddings))],
        "dilation": dilation,
        "groups": int(rng.choice([1, 1, 2, 3])),
        "padding_mode": str(rng.choice(["zeros", "zeros", "reflect", "edge", "wrap"])),
    }
    return kernel_size, options


def case(seed, packed):
    rng = np.random.default_rng(seed)
    kernel_size, options = geometry(rng, packed)
    if packed:
        extents = {"segment_ids": np.stack([drawn_ids(rng, LENGTH) for _ in range(2)])}
    else:
        extents = {"lengths": rng.permutation([0, 1, LENGTH, *rng.integers(2, LENGTH, 3)]).astype(np.int32)}
    groups = options["groups"]
    per_group, out_channels = (int(n) for n in rng.integers(1, 4, 2))
    x = rng.standard_normal((len(next(iter(extents.values()))), LENGTH, groups * per_group))
    kernel = rng.standard_normal((kernel_size, per_group, groups * out_channels)) / np.sqrt(kernel_size * per_group)
    return {"kernel": kernel, "bias": rng.standard_normal(kernel.shape[2])}, x, options, extents


def expected(params, x, options, extents):
    """The output, its lengths or ids, and gradients for a cotangent, computed sequence by sequence."""
    y, out = reference.one_by_one(partial(reference.conv1d, params, **options), x, **extents)
    y_bar = np.random.default_rng(5).uniform(0.5, 1.5, y.shape)
    bars = {name: np.zeros(p.shape) for name, p in params.items()}
    x_bar = np.zeros(x.shape)
    for row, samples in pieces(**extents):
        try:
            out_length = len(reference.conv1d(params, x[row][samples], **options))
        except ValueError:
            continue
        cotangent = y_bar[row][samples.start : samples.start + out_length]
        own, x_bar[row][samples] = reference.conv1d_vjp(params, x[row][samples], cotangent, **options)
        bars = {name: bar + own[name] for name, bar in bars.items()}
    return y, out, bars, x_bar, y_bar


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("packed", [False, True], ids=["ragged", "packed"])
def test_conv1d_equals_each_sequence_alone(packed, dtype):
    cases = [case(seed, packed) for seed in range(10 if dtype == "float64" else 6)]
    wanted = [expected(*one) for one in cases]

    def one(params, x, options, extents, y_bar):
        def run(params, x):
            return jconv.conv1d(params, x, **options, **extents)

        y, pull, out = jax.vjp(run, params, x, has_aux=True)
        return y, out, *pull(y_bar.astype(y.dtype))

    def program(inputs):
        return [
            one(params, x, c[2], extents, y_bar) for c, (params, x, extents, y_bar) in zip(cases, inputs, strict=True)
        ]

    inputs = []
    for (params, x, _, extents), (*_, y_bar) in zip(cases, wanted, strict=True):
        own = jax.tree.map(lambda a: a.astype(dtype), (params, with_nan_padding(x, **extents)))
        inputs.append((*own, extents, y_bar))
    for found, (y, out, bars, x_bar, _) in zip(in_type(dtype, quick_jit(program), inputs), wanted, strict=True):
        np.testing.assert_array_equal(found[1], out)
        assert deviation(found[0], y) <= BOUNDS[dtype]
        assert deviation(found[3], x_bar) <= BOUNDS[dtype]
        for name, bar in bars.items():
            assert deviation(found[2][name], bar) <= BOUNDS[dtype]


OTHER_CONVOLUTIONS = {
    "depthwise": (jconv.depthwise_conv1d, reference.depthwise_conv1d, {"kernel": (3, 2, 2), "bias": (4,)}, 1),
    "separable": (
        jconv.separable_conv1d,
        reference.separable_conv1d,
        {"depthwise_kernel": (3, 2, 2), "pointwise_kernel": (1, 4, 3), "bias": (3,)},
        1,
    ),
    "transposed": (jconv.conv1d_transpose, reference.conv1d_transpose, {"kernel": (3, 3, 2), "bias": (3,)}, None),
}
OTHER_OPTIONS = {
    "depthwise": [{"padding": "same", "stride": 2}, {"padding": "causal", "dilation": 2, "activation": "tanh"}],
    "separable": [{"padding": "same", "stride": 2, "activation": "gelu"}, {"padding": "valid"}],
    "transposed": [
        {"padding": "same", "stride": 2},
        {"padding": "same", "stride": 1, "dilation": 2},
        {"padding": "valid", "stride": 3},
        {"padding": "same", "stride": 4, "output_padding": 2, "activation": "elu"},
        {"padding": "valid", "stride": 4, "dilation": 1},
    ],
}


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("packed", [False, True], ids=["ragged", "packed"])
@pytest.mark.parametrize("kind", OTHER_CONVOLUTIONS)
def test_the_other_convolutions_equal_each_sequence_alone(kind, packed):
    function, definition, shapes, scale = OTHER_CONVOLUTIONS[kind]
    for number, options in enumerate(OTHER_OPTIONS[kind]):
        rng = np.random.default_rng(number)
        params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
        scale_option = {"scale": scale or options["stride"]} if packed else {}
        extents = {"segment_ids": drawn_ids(rng, LENGTH)[None]} if packed else {"lengths": np.array([0, 1, 7, LENGTH])}
        x = rng.standard_normal((1 if packed else 4, LENGTH, 2))
        y, out = reference.one_by_one(
            partial(definition, params, **options),
            x,
            **extents,
            **({"scale": scale or options["stride"]} if packed else {}),
        )

        def run(params, x, options=options, extents=extents):
            return function(params, x, **options, **extents)

        def alone(params, x, y_bar, options=options, extents=extents, scale_option=scale_option):
            total = 0.0
            for row, samples in pieces(**extents):
                begin = samples.start * scale_option.get("scale", 1)
                if (samples.stop - samples.start) < 3 and options["padding"] == "valid" and kind != "transposed":
                    continue
                z = function(params, x[row][samples], **options)
                total += (z * y_bar[row][begin : begin + len(z)]).sum()
            return total

        y_bar = rng.standard_normal(y.shape)

        def everything(params, x, clean, run=run, alone=alone, y_bar=y_bar):
            found, pull, where = jax.vjp(run, params, x, has_aux=True)
            return found, where, pull(y_bar), jax.grad(alone, (0, 1))(params, clean, y_bar)

        found, where, bars, wanted = in_type(
            "float64", quick_jit(everything), params, with_nan_padding(x, **extents), x
        )
        np.testing.assert_array_equal(where, out)
        assert deviation(found, y) <= 1e-14
        for a, b in zip(jax.tree.leaves(bars), jax.tree.leaves(wanted), strict=True):
            assert deviation(a, b) <= 1e-14


@settings(max_examples=min(6, settings.default.max_examples))
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_packed_rows_equal_ragged_ones(counts, kernel_size, stride, causal):
    rng = np.random.default_rng(sum(counts))
    sequences = [rng.standard_normal((n, 2)) for n in counts]
    longest, options = max(counts), {"stride": stride, "padding": "causal" if causal else "same"}
    rows = np.stack([np.pad(s, ((0, longest - len(s)), (0, 0)), constant_values=np.nan) for s in sequences])
    packed, ids = np.concatenate(sequences), np.repeat(np.arange(len(counts)), counts)
    params = {"kernel": rng.standard_normal((kernel_size, 2, 3))}

    def both(params, rows, packed):
        return (
            jconv.conv1d(params, rows, **options, lengths=np.array(counts)),
            jconv.conv1d(params, packed, **options, segment_ids=ids),
        )

    (y, lengths), (z, out) = in_type("float64", quick_jit(both), params, rows, packed)
    assert deviation(z[out >= 0], np.concatenate([row[:n] for row, n in zip(y, lengths, strict=True)])) <= 1e-14
    np.testing.assert_array_equal(np.bincount(out[out >= 0], minlength=len(counts)), lengths)


@pytest.mark.parametrize("seed", range(3))
def test_other_segments_affect_neither_values_nor_gradients(seed):
    """NaNs in all other segments change no bit of a segment's outputs and gradients."""
    params, x, options, extents = case(seed, True)
    begin, end, _ = list(reference.runs(extents["segment_ids"][0]))[-1]
    other = np.full_like(x, np.nan)
    other[0, begin:end] = x[0, begin:end]

    @quick_jit
    def run(x):
        y, pull = jax.vjp(lambda x: jconv.conv1d(params, x, **options, **extents)[0], x)
        return y[0, begin:end], pull(jnp.sin(y).at[0, :begin].set(jnp.nan).at[0, end:].set(jnp.inf))[0][0, begin:end]

    for a, b in zip(run(x.astype(np.float32)), run(other.astype(np.float32)), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a, b)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_algorithm_and_16_bit_floats_equal_each_sequence_alone(dtype):
    _, x, _, extents = case(3, False)
    options = {"stride": 2, "padding": "same"}
    kernel = np.random.default_rng(0).standard_normal((3, x.shape[-1], 4)) / 3
    # The reference gets the same operands, rounded to the dtype.
    x, kernel = (np.asarray(jnp.asarray(a, dtype), np.float64) for a in (x, kernel))
    both = extents, {"segment_ids": np.stack([drawn_ids(np.random.default_rng(n), LENGTH) for n in range(len(x))])}
    inputs = [(jnp.asarray(kernel, dtype), jnp.asarray(with_nan_padding(x, **named), dtype)) for named in both]

    @quick_jit
    def run(inputs):
        return [
            [jconv.conv1d({"kernel": kernel}, x, **options, **named, algorithm=name) for name in sorted(ALGORITHMS)]
            for named, (kernel, x) in zip(both, inputs, strict=True)
        ]

    for named, outputs in zip(both, run(inputs), strict=True):
        y, out = reference.one_by_one(partial(reference.conv1d, {"kernel": kernel}, **options), x, **named)
        for found, where in outputs:
            np.testing.assert_array_equal(where, out)
            assert found.dtype == dtype and deviation(np.asarray(found, np.float64), y) <= BOUNDS[dtype]


# In bfloat16, 256 + 1 is 256.
SUMS = {
    "padding that repeats a sample": ("conv1d", {"padding": "causal", "padding_mode": "edge"}, "lengths"),
    "packed": ("conv1d", {"padding": "causal"}, "segment_ids"),
    "packed with a stride": ("conv1d", {"padding": "causal", "stride": 2}, "segment_ids"),
    "packed, few taps": ("conv1d", {"padding": "causal"}, "segment_ids"),
    "packed, transposed": ("conv1d_transpose", {"padding": "same", "stride": 2}, "segment_ids"),
}


@pytest.mark.parametrize("name", SUMS)
def test_gradients_of_16_bit_floats_are_summed_in_float32(name):
    convolution, options, extent = SUMS[name]
    length, taps = 600, 60 if name == "packed, few taps" else 500
    extents = {extent: np.zeros((1, length), int) if extent == "segment_ids" else np.array([length])}
    kernel = np.ones((taps, 2, 2))
    kernel[[0, -1]] = 256

    def input_gradient(kernel, x):
        y, pull = jax.vjp(lambda x: getattr(jconv, convolution)({"kernel": kernel}, x, **options, **extents)[0], x)
        return pull(jnp.ones_like(y))[0]

    wide = jnp.asarray(kernel, jnp.float32), jnp.ones((1, length, 2), jnp.float32)
    narrow = jax.tree.map(lambda a: a.astype(jnp.bfloat16), wide)
    expected = quick_jit(input_gradient)(*wide)
    # Each product with the windows is rounded before it is added.
    np.testing.assert_allclose(quick_jit(input_gradient)(*narrow).astype("float32"), expected, rtol=2 * 2.0**-8)


def test_lengths_are_traced_mapped_and_differentiated_twice():
    params, x, options, extents = case(1, False)
    x = x.astype(np.float32)
    complete = quick_jit(partial(jconv.conv1d, **options))(params, x, lengths=extents["lengths"])
    one = quick_jit(jax.vmap(lambda row, n: jconv.conv1d(params, row, **options, lengths=n)))(
        x, jnp.asarray(extents["lengths"])
    )
    for a, b in zip(complete, one, strict=True):
        assert deviation(a, b) <= 2e-6
    ids = np.stack([drawn_ids(np.random.default_rng(n), LENGTH) for n in range(len(x))])
    causal = partial(jconv.conv1d, padding="causal", stride=2, groups=options["groups"])
    complete = quick_jit(causal)(params, x, segment_ids=ids)
    one = quick_jit(jax.vmap(lambda row, n: causal(params, row, segment_ids=n)))(x, jnp.asarray(ids))
    for a, b in zip(complete, one, strict=True):
        assert deviation(a, b) <= 2e-6

    def energy(params, x):
        return (jconv.conv1d(params, x, **options, **extents)[0] ** 2).sum()

    spoilt = with_nan_padding(x, **extents)
    tangents = quick_jit(lambda x: jax.jvp(jax.grad(energy, 1), (params, x), (params, jnp.ones_like(x))))(spoilt)
    assert all(np.isfinite(a).all() for a in tangents)


def test_long_kernels_equal_each_sequence_alone():
    rng = np.random.default_rng(0)
    ids = np.repeat([0, 1, 2], [70, 3, 37])
    params, x = {"kernel": rng.standard_normal((66, 2, 1))}, rng.standard_normal((110, 2))
    y, out = reference.one_by_one(partial(reference.depthwise_conv1d, params, padding="causal"), x, segment_ids=ids)
    run = quick_jit(partial(jconv.depthwise_conv1d, padding="causal", segment_ids=ids))
    found, where = in_type("float64", run, params, x)
    np.testing.assert_array_equal(where, out)
    assert deviation(found, y) <= 1e-14


def test_a_length_beyond_the_row_means_the_complete_row():
    params, x, options, _ = case(2, False)
    run = quick_jit(partial(jconv.conv1d, **options))
    found, lengths = run(params, x, lengths=np.full(len(x), 10**6))
    complete = run(params, x)
    assert deviation(found, complete) <= 2e-6
    assert lengths.tolist() == [complete.shape[1]] * len(x)


@pytest.mark.parametrize(
    ("extents", "options", "message"),
    [
        ({"lengths": np.ones(2)}, {}, "lengths must be integers of shape (2,), got float32 of shape (2,)"),
        ({"lengths": np.ones(3, int)}, {}, "lengths must be integers of shape (2,), got int32 of shape (3,)"),
        ({"segment_ids": np.ones((2, 4), int)}, {}, "segment_ids must be integers of shape (2, 5)"),
        ({"segment_ids": np.ones((2, 5), int), "lengths": np.ones(2, int)}, {}, "must not both be given"),
        ({"segment_ids": np.ones((2, 5), int)}, {"padding": "full"}, "padding='full' makes segments longer"),
        ({"segment_ids": np.ones((2, 5), int)}, {"padding": (1, 2)}, "padding=(1, 2) makes segments longer"),
    ],
)
def test_invalid_lengths_and_segment_ids_raise_one_line(extents, options, message):
    params, x = {"kernel": np.ones((2, 1, 1), np.float32)}, np.ones((2, 5, 1), np.float32)
    with pytest.raises(ValueError) as error:
        jconv.conv1d(params, x, **extents, **options)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_transposed_convolution_that_would_join_segments_is_an_error():
    params, ids = {"kernel": np.ones((4, 1, 1), np.float32)}, np.zeros(5, int)
    with pytest.raises(ValueError, match="returns 2 samples more than 2 per sample"):
        jconv.conv1d_transpose(params, np.ones((5, 1), np.float32), stride=2, segment_ids=ids)


def test_one_by_one_needs_lengths_or_segment_ids():
    with pytest.raises(ValueError, match="needs either lengths or segment_ids"):
        reference.one_by_one(np.asarray, np.ones((2, 3, 1)))
    with pytest.raises(ValueError, match="a segment of 2 samples has 3 outputs, more than 1 per sample"):
        reference.one_by_one(lambda x: np.pad(x, ((0, 1), (0, 0))), np.ones((2, 1)), segment_ids=[1, 1])


@pytest.mark.parametrize("extents", [{"lengths": [4, 2]}, {"segment_ids": [[0, 0, 0, 0], [1, 1, 2, 2]]}], ids=str)
def test_one_by_one_raises_errors_other_than_short_input(extents):
    """A sequence that is too short for an output is no error: its row is zero."""

    def fails_for_short(x):
        if len(x) < 3:
            raise ValueError("another mistake")
        return x

    with pytest.raises(ValueError, match="another mistake"):
        reference.one_by_one(fails_for_short, np.ones((2, 4, 1)), **extents)

    def too_short(x):
        return reference.conv1d({"kernel": np.ones((3, 1, 1))}, x)

    y, out = reference.one_by_one(too_short, np.ones((2, 4, 1)), **extents)
    assert y[0, :2, 0].tolist() == [3.0, 3.0] and not y[1].any()
    assert np.max(out[1]) <= 0


@pytest.mark.parametrize(
    "alone",
    [
        lambda x: jconv.layers.Cropping1D(2).reference({}, {}, x[None])[0][0],
        lambda x: jconv.layers.MaxPooling1D(4).reference({}, {}, x[None])[0][0],
        lambda x: jconv.sequential([jconv.layers.MaxPooling1D(4)]).reference({}, {}, x[None])[0][0],
    ],
)
def test_layers_return_nothing_for_a_short_row(alone):
    y, out = reference.one_by_one(alone, np.ones((2, 8, 1)), lengths=[8, 3])
    assert out.tolist() == [len(y[0]), 0] and not y[1].any()


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"padding_mode": "reflect"}], ids=str)
def test_strict_dtype_promotion_in_programs_with_64_bit_types(options):
    x, params = np.ones((2, 9, 4), np.float32), {"kernel": np.ones((3, 4, 4), np.float32)}
    lengths, ids = np.array([9, 4]), np.array([[0] * 5 + [1] * 4] * 2)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        assert jconv.conv1d(params, x, padding="same", lengths=lengths, **options)[0].dtype == np.float32
        assert jconv.conv1d(params, x, padding="same", segment_ids=ids, **options)[0].dtype == np.float32
