"""Locality: each output depends on the samples of its own window alone, by every algorithm that `"auto"` may choose.

Three properties, for random geometries: an error bound for each output whatever the size of the other samples; NaN and
infinity only in the outputs that read them; with changed later samples, bitwise the same earlier outputs.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jconv
from jconv import reference
from jconv.algorithms import ALGORITHMS
from jconv.geometry import Geometry, make_geometry
from jconv.primitive import bilinear
from tests.support.settings import quick_jit

LOCAL = [name for name, module in ALGORITHMS.items() if module.LOCAL]
# The unit roundoffs of the result and of the sums.
UNITS = {
    "float32": (2.0**-24, 2.0**-24),
    "float64": (2.0**-53, 2.0**-53),
    "bfloat16": (2.0**-8, 2.0**-24),
    "float16": (2.0**-11, 2.0**-24),
}
# Decades between the smallest and the largest sample. The largest float16 is 65504.
DECADES = {"float32": 9, "float64": 9, "bfloat16": 9, "float16": 2}


@st.composite
def cases(draw, most_taps=40):
    """A geometry with its batch and channels: (geometry, batch, in_channels, out_channels)."""
    groups = draw(st.sampled_from([1, 1, 2, 3, 8]))
    in_per_group, out_per_group = draw(st.sampled_from([1, 1, 2, 5, 16])), draw(st.sampled_from([1, 1, 2, 5, 16]))
    taps = draw(st.integers(1, most_taps))
    stride, dilation = draw(st.sampled_from([(1, 1), (1, 1), (1, 1), (2, 1), (3, 1), (1, 3), (2, 3)]))
    reach = (taps - 1) * dilation + 1
    length = reach + draw(st.integers(0, 60))
    padding = draw(st.sampled_from(["valid", "same", "causal", "full"]))
    geometry = make_geometry(length, taps, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return geometry, draw(st.sampled_from([1, 2])), groups * in_per_group, groups * out_per_group


# Geometries like those of the first failures: many taps and few channels, groups of few channels, a tile of outputs.
PAST_FAILURES = [
    (make_geometry(300, 128, padding="causal", groups=4), 1, 4, 4),
    (make_geometry(96, 9, padding="causal", groups=8), 2, 128, 128),
    (make_geometry(154, 64, stride=3, padding="causal", groups=2), 2, 32, 8),
    (make_geometry(112, 31, padding="same"), 2, 1, 2),
    (make_geometry(120, 9, stride=2, padding="same", groups=4), 2, 16, 32),
    (make_geometry(100, 4, padding=(7, 9)), 1, 3, 5),
    (make_geometry(500, 200, stride=3, padding="same", groups=2), 1, 4, 6),
    (make_geometry(80, 5, padding="causal"), 2, 32, 64),
]


def wide_range(rng, shape, dtype):
    """Samples of all magnitudes: half of the length is 10^5 times louder, and one sample in ten has any magnitude."""
    x = rng.standard_normal(shape)
    loud = np.arange(shape[-2])[:, None] >= shape[-2] // 2
    decades = DECADES[dtype]
    x = x * np.where(loud, 10.0 ** min(5, decades), 1.0)
    sizes = 10.0 ** rng.uniform(0, decades, shape)
    return np.where(rng.random(shape) < 0.1, rng.choice([-1.0, 1.0], shape) * sizes, x).astype(jnp.dtype(dtype))


def exact(operation, a, b, g: Geometry):
    """The operation in float64 by the NumPy reference."""
    return getattr(reference, operation)(np.asarray(a, np.float64), np.asarray(b, np.float64), g)


def shapes(operation, case):
    g, batch, in_channels, out_channels = case
    x, y = (batch, g.length, in_channels), (batch, g.out_length, out_channels)
    kernel = (g.kernel_size, in_channels // g.groups, out_channels)
    return {"forward": (x, kernel), "input_gradient": (y, kernel), "kernel_gradient": (x, y)}[operation]


def compiled(operation, algorithm, g):
    run = getattr(bilinear, operation)
    return quick_jit(lambda a, b: run(a, b, g, algorithm=algorithm))


def assert_bounded(operation, algorithm, case, dtype, seed=0):
    g = case[0]
    rng = np.random.default_rng(seed)
    of_a, of_b = shapes(operation, case)
    a = wide_range(rng, of_a, dtype)
    b = rng.standard_normal(of_b).astype(jnp.dtype(dtype))
    with jax.enable_x64(dtype == "float64"):
        found = np.asarray(compiled(operation, algorithm, g)(jnp.asarray(a), jnp.asarray(b)), np.float64)
    expected = exact(operation, a, b, g)
    rounded, summed = UNITS[dtype]
    bound = 64 * summed * exact(operation, np.abs(a.astype(np.float64)), np.abs(b.astype(np.float64)), g)
    if rounded != summed:
        bound = bound + rounded * np.abs(expected)
    assert (np.abs(found - expected) <= bound).all(), (algorithm, case)


def assert_local(operation, algorithm, case, dtype="float32", seed=0):
    """NaN, infinity and changed samples affect the outputs that read them; all others are bitwise unchanged."""
    g = case[0]
    rng = np.random.default_rng(seed)
    of_a, of_b = shapes(operation, case)
    a = wide_range(rng, of_a, dtype)
    b = (rng.choice([-1, 1], of_b) * rng.uniform(0.5, 2, of_b)).astype(jnp.dtype(dtype))
    compute = compiled(operation, algorithm, g)

    def run(a):
        with jax.enable_x64(dtype == "float64"):
            return np.asarray(compute(jnp.asarray(a), jnp.asarray(b)).astype(jnp.promote_types(dtype, "float32")))

    before = run(a)
    assert np.isfinite(before).all()
    at = tuple(int(rng.integers(size)) for size in of_a)
    read = np.zeros(of_a)
    read[at] = 1
    reads = exact(operation, read, np.abs(b), g) > 0
    for value in (np.nan, np.inf, -np.inf):
        changed = a.copy()
        changed[at] = value
        after = run(changed)
        assert np.array_equal(np.isfinite(after), ~reads), (algorithm, case, value)
        assert np.array_equal(after[~reads], before[~reads]), (algorithm, case, value)
    # All later samples change, also to NaN and infinity.
    time = int(rng.integers(of_a[1]))
    read = np.zeros(of_a)
    read[:, time:] = 1
    earlier = exact(operation, read, np.ones(of_b), g) == 0
    limit = float(jnp.finfo(dtype).max)
    louder = np.clip(wide_range(rng, of_a, dtype).astype(np.float64) * 1e4, -limit, limit)
    for later in (louder, np.full(of_a, np.nan)):
        changed = np.where(np.arange(of_a[1])[:, None] >= time, later, a).astype(a.dtype)
        after = run(changed)
        assert np.array_equal(after[earlier], before[earlier]), (algorithm, case)


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("operation", ["forward", "input_gradient", "kernel_gradient"])
@pytest.mark.parametrize("algorithm", LOCAL)
@given(case=cases())
def test_error_of_each_output_is_bounded(algorithm, operation, case):
    assert_bounded(operation, algorithm, case, "float32")


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("operation", ["forward", "input_gradient"])
@pytest.mark.parametrize("algorithm", LOCAL)
@given(case=cases())
def test_outputs_depend_only_on_samples_that_they_read(algorithm, operation, case):
    assert_local(operation, algorithm, case)


@pytest.mark.default_cases(5)
@pytest.mark.parametrize("case", PAST_FAILURES, ids=lambda case: str(case[0]))
@pytest.mark.parametrize("algorithm", ["auto", *LOCAL])
def test_geometries_of_past_failures_are_local(algorithm, case):
    for operation in ("forward", "input_gradient", "kernel_gradient"):
        assert_bounded(operation, algorithm, case, "float32")
    for operation in ("forward", "input_gradient"):
        assert_local(operation, algorithm, case)


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
@pytest.mark.parametrize("algorithm", LOCAL)
def test_error_of_other_dtypes_is_bounded(algorithm, dtype):
    for operation in ("forward", "input_gradient", "kernel_gradient"):
        assert_bounded(operation, algorithm, PAST_FAILURES[1], dtype)


# In float64, XLA's CPU compiler turns some grouped convolutions into dense ones with zeros in the kernel.
@pytest.mark.default_cases(3)
@pytest.mark.parametrize("case", PAST_FAILURES[:2], ids=lambda case: str(case[0]))
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
@pytest.mark.parametrize("algorithm", ["auto", *LOCAL])
def test_outputs_of_other_dtypes_depend_only_on_samples_that_they_read(algorithm, dtype, case):
    for operation in ("forward", "input_gradient"):
        assert_local(operation, algorithm, case, dtype)


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name not in LOCAL])
def test_nonlocal_algorithms_fail_the_properties(algorithm):
    # Otherwise they would be local, and "auto" could choose them.
    with pytest.raises(AssertionError):
        assert_local("forward", algorithm, PAST_FAILURES[0])
    with pytest.raises(AssertionError):
        assert_bounded("forward", algorithm, PAST_FAILURES[0], "float32")


def test_error_of_long_sums_is_at_most_twice_the_error_of_lax():
    g = Geometry(4_000, 40, groups=1)
    case = (g, 8, 64, 2)  # 31,688 terms in the kernel gradient
    rng = np.random.default_rng(0)
    x, y_bar = (wide_range(rng, shape, "float32") for shape in shapes("kernel_gradient", case))
    expected = exact("kernel_gradient", x, y_bar, g)

    def error(algorithm):
        found = np.asarray(compiled("kernel_gradient", algorithm, g)(x, y_bar), np.float64)
        return np.abs(found - expected).max()

    for algorithm in LOCAL:
        assert error(algorithm) <= 2 * error("lax"), algorithm


# The rounding errors of equal terms have the same sign, and grow with the number of additions to one sum. The other
# algorithms use XLA's sums.
@pytest.mark.parametrize("batch, length", [(1, 10_001), (5_000, 3)])
def test_error_of_shifts_is_bounded_also_for_equal_terms(batch, length):
    g = Geometry(length, 2, groups=8)
    case = (g, batch, 8, 8)
    ones = np.ones(shapes("forward", case)[0], np.float32)
    for value in (0.1, 1 / 3, 0.7, 0.123):
        value = np.float32(value)
        y_bar = np.full(shapes("kernel_gradient", case)[1], value)
        found = np.asarray(compiled("kernel_gradient", "shifts", g)(ones, y_bar), np.float64)
        terms = batch * g.out_length * np.float64(value)
        assert (np.abs(found - terms) <= 64 * 2.0**-24 * terms).all(), value


@pytest.mark.parametrize("options", [{}, {"padding": "causal", "groups": 8}], ids=["dense", "groups"])
def test_conv1d_confines_a_nan_to_the_outputs_that_read_it(options):
    rng = np.random.default_rng(0)
    groups = options.get("groups", 1)
    params = {"kernel": rng.standard_normal((9, 64 // groups, 64)).astype(np.float32)}
    x = rng.standard_normal((4, 256, 64)).astype(np.float32)
    x[2, 100, 5] = np.nan
    y = np.asarray(jconv.conv1d(params, x, **options))
    expected = reference.conv1d({"kernel": np.abs(params["kernel"])}, np.isnan(x).astype(np.float64), **options) > 0
    assert np.array_equal(np.isnan(y), expected)


def test_ensembles_are_local():
    case = PAST_FAILURES[1]
    g = case[0]
    rng = np.random.default_rng(0)
    of_a, of_b = shapes("forward", case)
    x, kernel = rng.standard_normal((3, *of_a)).astype(np.float32), rng.standard_normal((3, *of_b)).astype(np.float32)
    run = quick_jit(jax.vmap(lambda x, kernel: bilinear.forward(x, kernel, g)))
    before = np.asarray(run(x, kernel))
    x[1, 0, 50] = np.inf
    after = np.asarray(run(x, kernel))
    reads = np.zeros(before.shape, bool)
    reads[1, 0, 50 : 50 + g.reach] = True
    assert np.array_equal(np.isfinite(after), ~reads)
    assert np.array_equal(after[~reads], before[~reads])
