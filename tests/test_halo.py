"""A shard between the samples of its neighbours computes its part of the whole, in every face and geometry."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec as P

from jconv import reference
from jconv.geometry import Geometry
from jconv.halo import halo, with_halo

geometries = st.builds(
    Geometry,
    length=st.sampled_from([8, 12, 24]),
    kernel_size=st.integers(1, 5),
    stride=st.integers(1, 4),
    low=st.integers(0, 6),
    high=st.integers(-2, 6),
    dilation=st.integers(1, 3),
)


def parts_with_halo(whole: np.ndarray, shards: int, before: int, after: int) -> list[np.ndarray]:
    padded = np.pad(whole, [(0, 0), (before, after), (0, 0)])
    size = whole.shape[1] // shards
    return [padded[:, n * size : n * size + before + size + after] for n in range(shards)]


@given(geometries, st.sampled_from([2, 4]), st.integers(0, 2**32 - 1))
def test_shards_with_their_halos_make_the_whole(geometry: Geometry, shards: int, seed: int) -> None:
    if geometry.out_length < 1:
        return
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, geometry.length, 3))
    y = rng.standard_normal((2, geometry.out_length, 4))
    kernel = rng.standard_normal((geometry.kernel_size, 3, 4))
    if around := halo("forward", geometry, shards):
        parts = [reference.forward(p, kernel, around.geometry) for p in parts_with_halo(x, shards, *around[:2])]
        np.testing.assert_allclose(np.concatenate(parts, 1), reference.forward(x, kernel, geometry), atol=1e-12)
    if around := halo("input_gradient", geometry, shards):
        parts = [reference.input_gradient(p, kernel, around.geometry) for p in parts_with_halo(y, shards, *around[:2])]
        np.testing.assert_allclose(np.concatenate(parts, 1), reference.input_gradient(y, kernel, geometry), atol=1e-12)
    if around := halo("kernel_gradient", geometry, shards):
        pairs = zip(parts_with_halo(x, shards, *around[:2]), np.split(y, shards, 1), strict=True)
        total = sum(reference.kernel_gradient(part, y_part, around.geometry) for part, y_part in pairs)
        np.testing.assert_allclose(total, reference.kernel_gradient(x, y, geometry), atol=1e-12)


@pytest.mark.parametrize("face", ["forward", "input_gradient", "kernel_gradient"])
@pytest.mark.parametrize(
    ("geometry", "served"),
    [
        (Geometry(32, 3, low=2), True),  # causal
        (Geometry(32, 4, low=1, high=2, dilation=3, stride=1), False),  # pads less than it reaches
        (Geometry(32, 3, low=1, high=1, stride=2), True),
        (Geometry(32, 1, stride=4), True),
        (Geometry(32, 3), False),  # valid: two lengths that are not cut alike
        (Geometry(30, 3, low=2), False),  # uneven
        (Geometry(32, 6, low=5), False),  # reaches past the neighbour
    ],
)
def test_which_geometries_neighbours_serve(geometry: Geometry, served: bool, face: str) -> None:
    assert (halo(face, geometry, 8) is not None) == served


@pytest.mark.parametrize(("before", "after"), [(0, 0), (2, 0), (0, 1), (3, 4)])
def test_neighbours_send_the_halo_and_the_ends_get_zeros(before: int, after: int) -> None:
    x = jnp.arange(2.0 * 32 * 3).reshape(2, 32, 3) + 1
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    along = P(None, ("a", "b"))
    exchange = jax.shard_map(
        lambda x: with_halo(x, before, after, ("a", "b"), 8), mesh=mesh, in_specs=along, out_specs=along
    )
    expected = parts_with_halo(np.asarray(x), 8, before, after)
    np.testing.assert_array_equal(jax.jit(exchange)(x), np.concatenate(expected, 1))
