"""Shardings of any mesh are described by a mesh whose axes have prime sizes."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jconv.primitive.device_layout import read_tilings

SPECS = {
    "replicated": [P(), P()],
    "one axis": [P("a"), P(None, "a")],
    "last axis": [P(None, None, "b"), P("b")],
    "both axes": [P("a", None, "b"), P(None, "b", "a")],
    "two on one": [P(("a", "b")), P(None, ("b", "a"))],
}


def mesh_of(shape: tuple[int, ...], order: list[int] | None = None) -> jax.sharding.Mesh:
    devices = np.array(jax.devices())[order or range(int(np.prod(shape)))]
    return jax.sharding.Mesh(devices.reshape(shape), ("a", "b"))


@pytest.mark.parametrize("specs", SPECS)
@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (8, 1), (2, 3), (3, 2), (1, 1), (5, 1)])
def test_tiling_describes_the_sharding(shape: tuple[int, int], specs: str) -> None:
    mesh = mesh_of(shape)
    shardings = [NamedSharding(mesh, spec) for spec in SPECS[specs]]
    fine, tilings = read_tilings(shardings, [3, 3], list(mesh.devices.flat))
    assert all(size in (2, 3, 5) for size in fine.shape.values())
    for sharding, tiling in zip(shardings, tilings, strict=True):
        again = NamedSharding(fine, P(*(names or None for names in tiling)))
        assert again.devices_indices_map((120, 120, 120)) == sharding.devices_indices_map((120, 120, 120))


def test_a_mesh_axis_is_split_into_axes_of_prime_sizes() -> None:
    fine, (tiling,) = read_tilings([NamedSharding(mesh_of((4, 2)), P(None, "a"))], [2], jax.devices())
    finer, (eighths,) = read_tilings([NamedSharding(mesh_of((8, 1)), P(None, "a"))], [2], jax.devices())
    assert fine == finer
    assert tiling == ((), eighths[1][:2])


def test_sharding_that_no_mesh_describes_counts_as_replicated() -> None:
    order = [0, 1, 2, 4, 3, 5, 6, 7]
    odd = NamedSharding(mesh_of((8, 1), order), P("a", None))
    # The devices are in another order than in the sharding's mesh.
    reordered = {jax.devices()[n]: odd.devices_indices_map((8, 8))[jax.devices()[n]] for n in range(8)}

    class Odd:
        def devices_indices_map(self, shape: tuple[int, ...]) -> object:
            return reordered

    _, (tiling,) = read_tilings([Odd()], [2], jax.devices())  # pyright: ignore[reportArgumentType]
    assert tiling == ((), ())


def test_missing_sharding_counts_as_replicated() -> None:
    _, tilings = read_tilings([None, NamedSharding(mesh_of((4, 2)), P("b"))], [2, 1], jax.devices())
    assert tilings[0] == ((), ())
    assert len(tilings[1][0]) == 1
