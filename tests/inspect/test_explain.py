"""`explain` names the algorithms of the lowered program, and its counts agree with counts by hand."""

import importlib
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv.algorithms import ALGORITHMS, OPERATIONS
from jconv.planner import cache as measurements
from jconv.planner import hardware

f32 = partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
PARAMS = {"kernel": f32((3, 4, 8)), "bias": f32((8,))}
X = f32((2, 50, 4))


def _params(*shape):
    return {"kernel": f32(shape)}


CASES = {
    "dense": (_params(5, 128, 128), f32((4, 256, 128)), {}),
    "depthwise": (_params(4, 1, 64), f32((8, 512, 64)), {"groups": 64, "padding": "causal"}),
    "grouped": (_params(9, 16, 32), f32((8, 256, 32)), {"groups": 2}),
    "strided": (_params(16, 64, 64), f32((2, 800, 64)), {"stride": 8}),
    "adjacent windows": (_params(2, 64, 64), f32((4, 1024, 64)), {"stride": 2}),
    "pointwise": (_params(1, 32, 32), f32((64, 152, 32)), {}),
    "long": (_params(700, 1, 1), f32((2, 4000, 1)), {"padding": "same"}),
    "no lead": (_params(3, 4, 8), f32((50, 4)), {}),
    "leading axes": (_params(3, 4, 8), f32((2, 3, 50, 4)), {"dilation": 2, "padding": "full"}),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JCONV_CACHE_DIR", str(tmp_path))
    measurements._entries.cache_clear()
    yield
    measurements._entries.cache_clear()


@pytest.fixture
def called(monkeypatch):
    """The pairs (operation, algorithm) that lowerings call, in order."""
    found = []

    def watched(operation, name, function, *args):
        found.append((operation, name))
        return function(*args)

    for name, module in ALGORITHMS.items():
        for operation in OPERATIONS:
            monkeypatch.setattr(module, operation, partial(watched, operation, name, getattr(module, operation)))
    return found


def _lowered(called, params, x, options) -> dict[str, str]:
    """The algorithm that each operation calls first. Some algorithms call others."""
    conv = partial(jconv.conv1d, **options)
    called.clear()
    jax.jit(conv).lower(params, x)
    operations = dict(called[:1])
    called.clear()
    jax.jit(jax.grad(lambda p, x: (conv(p, x) ** 2).sum(), argnums=(0, 1))).lower(params, x)
    for operation, name in called:
        operations.setdefault(operation, name)
    return operations


@cache
def _plan() -> jconv.Plan:
    return jconv.explain(PARAMS, X)


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("case", CASES)
def test_plan_names_the_algorithms_of_the_lowered_program(case, called):
    params, x, options = CASES[case]
    plan = jconv.explain(params, x, **options)
    assert {operation: getattr(plan, operation).algorithm for operation in OPERATIONS} == _lowered(
        called, params, x, options
    )


def test_plan_counts_flops_and_bytes():
    # 2 * 48 windows of 3 * 4 elements, each times 8; x, kernel and y have 400, 96 and 768 elements of 4 bytes.
    plan = _plan()
    for operation in plan:
        assert operation.flops == 2 * 2 * 48 * 3 * 4 * 8
        assert operation.bytes == 4 * (400 + 96 + 768)
        assert isinstance(operation.flops, int) and isinstance(operation.bytes, int)
        assert operation.temporary >= 0
    assert plan._fields == OPERATIONS


def test_plan_counts_groups_strides_and_16_bit_floats():
    # ceil(50 / 3) = 17 windows; each of 8 out channels reads 5 taps of 2 in channels.
    x = jax.ShapeDtypeStruct((2, 3, 50, 4), jnp.bfloat16)
    params = {"kernel": jax.ShapeDtypeStruct((5, 2, 8), jnp.bfloat16)}
    for operation in jconv.explain(params, x, groups=2, stride=3, padding="same"):
        assert operation.flops == 2 * 6 * 17 * 5 * 2 * 8
        assert operation.bytes == 2 * (6 * 50 * 4 + 5 * 2 * 8 + 6 * 17 * 8)


def test_plan_uses_promoted_dtypes():
    half = {"kernel": jax.ShapeDtypeStruct((3, 4, 8), jnp.bfloat16)}
    assert jconv.explain(half, X).forward.bytes == _plan().forward.bytes
    # JAX converts NumPy's float64 to float32.
    assert jconv.explain({"kernel": np.ones((3, 4, 8))}, np.ones((2, 50, 4))) == _plan()


def test_float64_has_twice_the_bytes():
    double = partial(jax.ShapeDtypeStruct, dtype=jnp.float64)
    with jax.enable_x64(True):
        plan = jconv.explain({"kernel": double((3, 4, 8))}, double((2, 50, 4)))
    assert plan.forward.bytes == 8 * (400 + 96 + 768)


def test_empty_batch_has_no_flops():
    plan = jconv.explain(PARAMS, f32((0, 50, 4)))
    assert {operation.algorithm for operation in plan} == {"lax"}
    assert {(operation.flops, operation.bytes) for operation in plan} == {(0, 4 * 96)}


def test_temporary_memory_contains_large_windows():
    # The contraction of 2000 windows of 100 samples stores them.
    params, x = _params(100, 1, 32), f32((1, 2099, 1))
    plan = jconv.explain(params, x, algorithm="einsum")
    assert plan.forward.temporary >= 4 * 2000 * 100


# A copy of x per tap would need more: 9.4 MB for the first, whose operands have 2.1 MB.
@pytest.mark.default_cases(1)
@pytest.mark.parametrize("size", [(1, 16384, 16, 16, 9, 1), (2, 1024, 128, 32, 7, 1), (2, 512, 256, 64, 9, 16)])
def test_memory_of_kernel_gradient_is_bounded(size):
    batch, length, in_channels, out_channels, kernel_size, dilation = size
    params, x = _params(kernel_size, in_channels, out_channels), f32((batch, length, in_channels))
    plan, lax = (
        jconv.explain(params, x, padding="same", dilation=dilation, algorithm=name).kernel_gradient
        for name in ("auto", "lax")
    )
    assert plan.temporary <= max(2 * lax.temporary, 4 * plan.bytes)


def test_arrays_and_shape_structs_have_the_same_plan():
    arrays = jax.tree.map(lambda s: jnp.ones(s.shape, s.dtype), (PARAMS, X))
    assert jconv.explain(*arrays) == _plan()
    assert jconv.explain(PARAMS, np.ones((2, 50, 4), "f4")) == _plan()


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_requested_algorithm_is_explained(algorithm, called):
    plan = jconv.explain(PARAMS, X, algorithm=algorithm, stride=2, padding="same")
    assert [operation.algorithm for operation in plan] == [algorithm] * 3
    assert {operation.reason for operation in plan} == {"requested by name"}
    assert called[0] == ("forward", algorithm)


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("mode", ["zeros", "reflect", "edge", "wrap"])
@pytest.mark.parametrize("padding", ["valid", "same", "causal", "full", 2, (1, 3)])
def test_every_padding_is_explained(padding, mode):
    out_length = {"valid": 48, "same": 50, "causal": 50, "full": 52, 2: 52, (1, 3): 52}[padding]
    added = {"valid": 0, "same": 2, "causal": 2, "full": 4, 2: 4, (1, 3): 4}[padding]
    # Zeros are part of the convolution; other padding is added before it.
    length = 50 if mode == "zeros" else 50 + added
    for operation in jconv.explain(PARAMS, X, padding=padding, padding_mode=mode):
        assert operation.flops == 2 * 2 * out_length * 3 * 4 * 8
        assert operation.bytes == 4 * (2 * length * 4 + 96 + 2 * out_length * 8)


def test_activation_function_is_not_called():
    def activation(y):
        raise AssertionError("called")

    assert jconv.explain(PARAMS, X, activation=activation) == _plan()
    assert jconv.explain(PARAMS, X, activation="glu") == _plan()


def test_precision_does_not_change_the_flops():
    assert jconv.explain(PARAMS, X, precision="highest").forward.flops == _plan().forward.flops


@pytest.mark.parametrize(
    ("params", "x", "options"),
    [
        (PARAMS, X, {"stride": 0}),
        (PARAMS, X, {"padding": "some"}),
        (PARAMS, X, {"padding_mode": "some"}),
        (PARAMS, X, {"algorithm": "some"}),
        (PARAMS, X, {"activation": "some"}),
        (PARAMS, X, {"groups": 3}),
        (PARAMS, X, {"dilation": 50}),
        (PARAMS, f32((2, 50, 5)), {}),
        (PARAMS, f32((4,)), {}),
        (PARAMS, jax.ShapeDtypeStruct((2, 50, 4), jnp.int32), {}),
        ({"kernel": f32((3, 4))}, X, {}),
        ({**PARAMS, "bias": f32((7,))}, X, {}),
        ({}, X, {}),
        ([], X, {}),
    ],
)
def test_errors_have_the_messages_of_conv1d(params, x, options):
    arrays = jax.tree.map(lambda s: jnp.ones(s.shape, s.dtype), (params, x))
    with pytest.raises((ValueError, TypeError)) as expected:
        jconv.conv1d(*arrays, **options)
    with pytest.raises(expected.type) as error:
        jconv.explain(params, x, **options)
    assert str(error.value) == str(expected.value)


def test_unknown_option_raises():
    with pytest.raises(TypeError, match="strides"):
        jconv.explain(PARAMS, X, strides=2)


def test_plan_prints_a_table():
    plan = jconv.explain(PARAMS, X, algorithm="lax")
    title, *rows = str(plan).splitlines()
    assert title.split() == ["algorithm", "MFLOP", "MB", "temporary", "MB", "reason"]
    assert [row.split()[:4] for row in rows] == [[operation, "lax", "0.01843", "0.00506"] for operation in OPERATIONS]
    assert [row.split("  ")[-1] for row in rows] == ["requested by name"] * 3
    assert {row.index("requested") for row in rows} == {title.index("reason")}


def test_plan_inside_a_traced_function_is_the_same():
    inside = []

    @jax.jit
    def program(x):
        inside.append(jconv.explain({"kernel": jnp.ones((3, 4, 8))}, x))
        return x

    program(jnp.ones((2, 50, 4)))
    assert inside == [_plan()]


SEGMENTS = np.repeat([[0, 1]], 25, axis=1).repeat(2, axis=0).reshape(2, 50)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("options", [{}, {"dilation": 2}, {"stride": 2}], ids=str)
def test_segment_ids_are_explained_for_dense_kernels(options):
    # One window of 3 * 4 elements for each of 2 * 50 samples, times 8 out channels.
    for own in jconv.explain(PARAMS, X, padding="causal", segment_ids=SEGMENTS, **options):
        assert own.flops == 2 * 2 * 50 * 3 * 4 * 8
        assert own.bytes == 4 * (400 + 96 + 800)
        assert own.reason.startswith("segment_ids: ") and own.algorithm in ("lax", "matmul")


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("per_group", [1, 2])
def test_segment_ids_are_explained_for_groups(per_group):
    groups = 8 // per_group
    plan = jconv.explain(_params(3, per_group, 8), f32((2, 50, 8)), groups=groups, padding="same", segment_ids=SEGMENTS)
    for own in plan:
        assert own.flops == 2 * 2 * 50 * 3 * per_group * 8
        assert own.bytes == 4 * (800 + 24 * per_group + 800)
        assert own.reason.startswith("segment_ids: ")
    assert per_group > 1 or {own.algorithm for own in plan} == {"shifts"}


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("padding", ["same", "causal", "valid"])
@pytest.mark.parametrize("groups", [1, 4])
def test_lengths_with_a_stride_are_explained(padding, groups):
    lengths = np.array([30, 50])
    params = _params(3, 4 // groups, 8)
    without_lengths = jconv.explain(params, X, padding=padding, stride=3, groups=groups)
    ragged = jconv.explain(params, X, padding=padding, stride=3, groups=groups, lengths=lengths)
    assert [own.flops for own in ragged] == [own.flops for own in without_lengths]


def test_reason_contains_the_measurement_and_the_gain_of_fastest(monkeypatch):
    leaf = {"geometries": 7, "ratios": {"shifts": 0.5, "winograd": 0.4}}
    tree = ["kernel size", 8.5, leaf, leaf]
    choose = importlib.import_module("jconv.planner.choose")
    monkeypatch.setattr(choose, "trees", lambda hardware: [dict.fromkeys(OPERATIONS, tree)])
    monkeypatch.setattr(hardware, "this_machine", lambda: hardware.Hardware("AMD EPYC", 2))
    measured = "interpolated from float32 measurements, 7 of them in this range (kernel size 1 to 8)"
    forward = jconv.explain(PARAMS, X).forward
    assert forward.algorithm == "shifts"
    gain = 'algorithm="fastest" is predicted to take 0.80 of this time, with winograd'
    assert forward.reason == f"0.50 of lax's time, {measured}; {gain}"
    assert jconv.explain(PARAMS, X, algorithm="fastest").forward[:2] == ("winograd", f"0.40 of lax's time, {measured}")
    leaf["ratios"]["winograd"] = 0.46  # less than a tenth faster
    assert jconv.explain(PARAMS, X).forward.reason == f"0.50 of lax's time, {measured}"
    leaf["ratios"], leaf["geometries"] = {}, 0
    measured = measured.replace("7 of", "none of")
    short = f"takes at most 0.93 of lax's time (0.5 for matrix products in a short operation), {measured}"
    assert jconv.explain(PARAMS, X).forward[:2] == ("lax", f"no other local algorithm {short}")
    assert jconv.explain(PARAMS, X, algorithm="fastest").forward[:2] == ("lax", f"no other algorithm {short}")
    long = jconv.explain(_params(3, 64, 64), f32((8, 4000, 64)))
    assert long.forward.reason == f"no other local algorithm takes at most 0.93 of lax's time, {measured}"
