"""Winograd convolution: matrices, geometries, rounding errors, and the effect of samples that are not finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from jconv import conv1d, reference
from jconv.algorithms import OPERATIONS, winograd
from jconv.algorithms import lax as plain
from jconv.algorithms.shared import blocks
from jconv.algorithms.shared.operands import space_to_depth_geometry
from jconv.algorithms.winograd import short_correlation, tiles
from jconv.geometry import make_geometry
from tests.support.settings import BOUNDS, deviation, quick_jit


def operands(operation, batch, length, in_channels, out_channels, kernel_size, geometry, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, length, in_channels)).astype(np.float32)
    kernel = rng.standard_normal((kernel_size, in_channels // geometry.groups, out_channels)).astype(np.float32)
    y_bar = rng.standard_normal((batch, geometry.out_length, out_channels)).astype(np.float32)
    return {"forward": (x, kernel), "input_gradient": (y_bar, kernel), "kernel_gradient": (x, y_bar)}[operation]


def by_the_reference(operation, a, b, in_channels, kernel_size, length, **options):
    groups = options.get("groups", 1)
    if operation == "forward":
        return reference.conv1d({"kernel": b}, a, **options)
    x = a if operation == "kernel_gradient" else np.zeros((a.shape[0], length, in_channels))
    kernel = b if operation == "input_gradient" else np.zeros((kernel_size, in_channels // groups, b.shape[-1]))
    y_bar = a if operation == "input_gradient" else b
    params_bar, x_bar = reference.conv1d_vjp({"kernel": kernel}, x, y_bar, **options)
    return x_bar if operation == "input_gradient" else params_bar["kernel"]


TILES = [(m, k) for m in range(1, 9) for k in range(1, 9) if m + k <= 11]


@pytest.mark.parametrize(("outputs", "taps"), TILES)
def test_matrices_compute_a_correlation(outputs, taps):
    samples, kernel, result = (np.array(matrix) for matrix in short_correlation.matrices(outputs, taps))
    count = outputs + taps - 1
    assert samples.shape[1] == count and kernel.shape[1] == taps and result.shape[1] == outputs
    assert len(samples) == len(kernel) == len(result) < 1.5 * count
    # Both are bilinear, so it suffices to compare them on all pairs of unit vectors.
    for i in range(count):
        for k in range(taps):
            y = result.T @ (samples[:, i] * kernel[:, k])
            np.testing.assert_allclose(y, [float(i == j + k) for j in range(outputs)], atol=1e-13)


@pytest.mark.default_cases(8)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("length", "kernel_size", "options"),
    [
        (30, 1, {}),
        (31, 2, {"padding": "causal"}),
        (17, 5, {"padding": (7, 1)}),
        (40, 13, {"padding": "same"}),  # a kernel in pieces
        (40, 9, {"dilation": 3, "padding": "full"}),
        (41, 3, {"dilation": 7, "padding": "causal"}),
        (37, 7, {"stride": 3, "padding": "same"}),  # with taps left over
        (36, 4, {"stride": 2, "padding": (0, 5)}),
        (12, 2, {"stride": 5}),  # windows with gaps
        (40, 5, {"stride": 2, "dilation": 3}),  # polyphase
        (40, 5, {"groups": 2, "padding": "same"}),
        (40, 6, {"groups": 2, "stride": 2}),
        (50, 15, {"groups": 2, "dilation": 2, "padding": "causal"}),  # one convolution per point
        (3, 3, {}),
    ],
    ids=str,
)
def test_every_kind_of_geometry_agrees_with_the_reference(operation, length, kernel_size, options):
    geometry = make_geometry(length, kernel_size, **options)
    a, b = operands(operation, 2, length, 4, 6, kernel_size, geometry)
    expected = by_the_reference(operation, a, b, 4, kernel_size, length, **options)
    found = quick_jit(lambda a, b: getattr(winograd, operation)(a, b, geometry))(a, b)
    assert found.shape == expected.shape and found.dtype == np.float32
    assert deviation(found, expected) <= BOUNDS["float32"]


def make_small_blocks(monkeypatch):
    """Makes each example a block."""
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 1)
    monkeypatch.setattr(blocks, "MAX_UNSPLIT_ELEMENTS", 1)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("kernel_size", "options"), [(9, {"dilation": 2}), (5, {"stride": 3})], ids=str)
def test_batch_in_blocks_agrees_with_the_reference(operation, kernel_size, options, monkeypatch):
    geometry = make_geometry(30, kernel_size, **options)
    a, b = operands(operation, 3, 30, 4, 6, kernel_size, geometry)
    expected = by_the_reference(operation, a, b, 4, kernel_size, 30, **options)

    def program():
        return quick_jit(lambda a, b: getattr(winograd, operation)(a, b, geometry)).lower(a, b)

    assert "while" not in program().as_text()
    make_small_blocks(monkeypatch)
    assert "while" in program().as_text()
    found = program().compile()(a, b)
    assert found.shape == expected.shape and found.dtype == np.float32
    assert deviation(found, expected) <= BOUNDS["float32"]


def test_blocks_under_vmap_and_shard_map_have_the_same_results(monkeypatch):
    # Both gradients, under vmap and inside shard_map.
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, 4, 12, 3), np.float32), rng.standard_normal((3, 3, 2), np.float32)

    def loss(kernel, x):
        return jnp.sum(jnp.sin(conv1d({"kernel": kernel}, x, algorithm="winograd")))

    def second(kernel, x):
        return jnp.sum(jax.grad(loss)(kernel, x) ** 2)

    ensemble = jax.vmap(jax.grad(second, (0, 1)), (None, 0))
    shard = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))
    specs = (P(), P("batch"))
    shards = jax.shard_map(jax.grad(loss, (0, 1)), mesh=shard, in_specs=specs, out_specs=specs)
    expected = [*jax.jit(ensemble)(kernel, x), *jax.jit(jax.grad(loss, (0, 1)))(kernel, x[0])]
    make_small_blocks(monkeypatch)
    traced_anew = jax.jit(lambda kernel, x: ensemble(kernel, x)).lower(kernel, x)
    assert "while" in traced_anew.as_text()
    found = [*traced_anew.compile()(kernel, x), *jax.jit(shards)(kernel, x[0])]
    for one, other in zip(found, expected, strict=True):
        assert deviation(one, other) <= BOUNDS["float32"]


@pytest.mark.parametrize(("batch", "count"), [(1, 1), (5, 1), (6, 2), (7, 7), (10, 2), (12, 3), (30, 6)])
def test_batch_is_split_into_equal_blocks(batch, count):
    geometry = make_geometry(1460, 5, padding="same")
    own, of_five = (
        tiles.count_elements(tiles.make_tiles(geometry), geometry, examples, 384) for examples in (batch, 5)
    )
    assert of_five == 5 * 13 * 244 * 384
    assert blocks.count_blocks(own, batch, block_elements=of_five) == count
    assert blocks.count_blocks(own, batch, own, of_five) == 1 and blocks.count_blocks(own, batch, 1, 1) == batch


@pytest.mark.default_cases(6)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kernel_size", [2, 3, 4, 5, 6, 12])
def test_rounding_error_is_at_most_twice_the_error_of_lax(operation, kernel_size):
    geometry = make_geometry(120, kernel_size, padding="same")
    a, b = operands(operation, 4, 120, 128, 64, kernel_size, geometry)
    expected = by_the_reference(operation, a.astype(float), b.astype(float), 128, kernel_size, 120, padding="same")
    errors = [
        np.sqrt(np.mean((np.asarray(quick_jit(lambda a, b: run(a, b, geometry))(a, b)) - expected) ** 2))  # noqa: B023
        for run in (getattr(winograd, operation), getattr(plain, operation))
    ]
    assert errors[0] <= 2 * errors[1]
    assert errors[0] <= 6e-7 * np.sqrt(np.mean(expected**2))


@pytest.mark.parametrize("dilation", [1, 3])
def test_non_finite_sample_affects_only_its_tile(dilation):
    geometry = make_geometry(60, 3, padding="causal", dilation=dilation)
    x, kernel = operands("forward", 1, 60, 4, 4, 3, geometry)
    x[0, 30] = np.nan
    y = np.asarray(quick_jit(lambda x, kernel: winograd.forward(x, kernel, geometry))(x, kernel))
    affected = np.flatnonzero(np.isnan(y).any(axis=(0, 2)))
    readers = {30 + k * dilation for k in range(3)}
    margin = tiles.OUTPUTS_BY_TAPS[3] - 1
    assert readers <= set(affected)
    assert all(min(abs(int(t) - r) for r in readers) <= margin * dilation for t in affected)


def test_ensemble_is_one_matrix_product():
    # There is no loop over the models, and no convolution.
    geometry = make_geometry(32, 3, padding="same")
    shapes = (jax.ShapeDtypeStruct((5, 2, 32, 8), jnp.float32), jax.ShapeDtypeStruct((5, 3, 8, 8), jnp.float32))
    program = jax.jit(jax.vmap(lambda x, kernel: winograd.forward(x, kernel, geometry))).lower(*shapes).as_text()
    assert program.count("dot_general") == 1 and "while" not in program and "convolution" not in program


def test_number_of_tiles():
    assert tiles.make_tiles(make_geometry(100, 3, padding="same")) == (4, 3, 1, 25)
    assert tiles.make_tiles(make_geometry(100, 3, padding="same", dilation=8)) == (4, 3, 1, 4)
    assert tiles.make_tiles(make_geometry(100, 9, padding="same")) == (4, 4, 3, 25)
    assert space_to_depth_geometry(make_geometry(100, 5, stride=2)).kernel_size == 3  # taps of two samples each
