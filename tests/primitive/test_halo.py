"""Halos: each device computes its shard of the result from its window, for every operation and geometry."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec as P

from jconv import reference
from jconv.geometry import Geometry
from jconv.primitive.device_axis import DeviceAxis
from jconv.primitive.halo import HaloWindow, plan_halo, read_window

geometries = st.builds(
    Geometry,
    length=st.integers(1, 40),
    kernel_size=st.integers(1, 7),
    stride=st.integers(1, 6),
    low=st.integers(0, 12),
    high=st.integers(0, 12),
    dilation=st.integers(1, 4),
)
extra = st.sampled_from([0, 0, 1, 3])
"""Additional samples per shard."""


def shards_of(array: np.ndarray, shards: int, size: int, filler: float = 1e9) -> list[np.ndarray]:
    out = np.full((array.shape[0], shards * size, array.shape[2]), filler)
    out[:, : array.shape[1]] = array
    return np.split(out, shards, 1)


def windows_of(array: np.ndarray, window: HaloWindow) -> list[np.ndarray]:
    """The window of each device: the samples that are sent to it, and zeros elsewhere."""
    sent = {
        (n, transfer.distance): range(transfer.start, transfer.stop)
        for transfer in window.transfers()
        for n in transfer.receivers
    }
    windows = []
    for n, offset in enumerate(window.offsets):
        first = n * window.shard + offset
        samples = np.zeros((array.shape[0], window.size, array.shape[2]))
        for t in range(max(first, 0), min(first + window.size, window.length)):
            holder, at = divmod(t, window.shard)
            if at in sent.get((n, holder - n), ()):
                samples[:, t - first] = array[:, t]
        windows.append(samples)
    return windows


def input_gradient(y: np.ndarray, kernel: np.ndarray, g: Geometry) -> np.ndarray:
    """The definition of the input gradient, also for geometries with padding beyond the last window."""
    x_bar = np.zeros((y.shape[0], g.length, kernel.shape[1]))
    for t in range(y.shape[1]):
        for k in range(g.kernel_size):
            m = t * g.stride + k * g.dilation - g.low
            if 0 <= m < g.length:
                x_bar[:, m] += y[:, t] @ kernel[k].T
    return x_bar


@given(geometries, st.sampled_from([1, 2, 3, 4, 8]), extra, extra, st.integers(0, 2**32 - 1))
def test_windows_of_all_devices_compute_the_complete_result(
    g: Geometry, shards: int, extra: int, out_extra: int, seed: int
) -> None:
    assume(g.length + g.low + g.high >= g.reach)
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, g.length, 3)), rng.standard_normal((2, g.out_length, 4))
    kernel = rng.standard_normal((g.kernel_size, 3, 4))
    shard, out_shard = -(-g.length // shards) + extra, -(-g.out_length // shards) + out_extra
    plan = plan_halo("forward", g, shards, shard, out_shard)
    windows = windows_of(x, plan.window)
    parts = [reference.forward(window, kernel, plan.geometry) for window in windows]
    assert [part.shape[1] for part in parts] == [out_shard] * shards
    np.testing.assert_allclose(np.concatenate(parts, 1)[:, : g.out_length], reference.forward(x, kernel, g), atol=1e-12)
    assert plan_halo("kernel_gradient", g, shards, shard, out_shard) == plan
    pairs = zip(windows, shards_of(y, shards, out_shard, filler=0.0), strict=True)
    total = sum(reference.kernel_gradient(window, part, plan.geometry) for window, part in pairs)
    np.testing.assert_allclose(total, reference.kernel_gradient(x, y, g), atol=1e-12)
    plan = plan_halo("input_gradient", g, shards, shard, out_shard)
    windows = windows_of(y, plan.window)
    parts = [
        input_gradient(window, kernel, plan.geometry)[:, drop : drop + shard]
        for window, drop in zip(windows, plan.drop, strict=True)
    ]
    assert [part.shape[1] for part in parts] == [shard] * shards
    np.testing.assert_allclose(
        np.concatenate(parts, 1)[:, : g.length], reference.input_gradient(y, kernel, g), atol=1e-12
    )


@pytest.mark.parametrize(
    ("geometry", "halo_of_x", "halo_of_y"),
    [
        (Geometry(32, 3, low=2), 2, 2),  # causal
        (Geometry(32, 3, low=1, high=1), 2, 2),
        (Geometry(32, 3, low=1, high=1, stride=2), 1, 1),
        (Geometry(32, 1, stride=4), 0, 0),
        (Geometry(32, 1, stride=3), 8, 2),  # two outputs per device read six samples, of which the device has four
        (Geometry(32, 3), 2, 2),  # valid: the last device has fewer outputs
        (Geometry(30, 3, low=2), 2, 2),  # uneven
        (Geometry(32, 6, low=5), 5, 5),  # from the two previous devices
        (Geometry(32, 33, low=32), 28, 28),  # from all previous devices
    ],
)
def test_devices_receive_only_samples_that_windows_share(geometry: Geometry, halo_of_x: int, halo_of_y: int) -> None:
    assert max_received(plan_halo("forward", geometry, 8).window) == halo_of_x
    assert max_received(plan_halo("input_gradient", geometry, 8).window) == halo_of_y


def max_received(window: HaloWindow) -> int:
    """The largest number of samples that a device receives from others."""
    transfers = [t for t in window.transfers() if t.distance]
    return max(sum(t.stop - t.start for t in transfers if n in t.receivers) for n in range(len(window.needed)))


WINDOWS: dict[str, HaloWindow] = {
    "nothing": HaloWindow(32, 4, 4, (0,) * 8, tuple((4 * n, 4 * n + 4) for n in range(8))),
    "two before, one after": HaloWindow(32, 4, 7, (-2,) * 8, tuple((4 * n - 2, 4 * n + 5) for n in range(8))),
    "farther than a shard": HaloWindow(30, 4, 11, (-6,) * 8, tuple((4 * n - 6, 4 * n + 5) for n in range(8))),
    "a different offset on each device": HaloWindow(
        27, 4, 6, tuple(range(8)), tuple((5 * n, 5 * n + 6) for n in range(8))
    ),
    "only padding": HaloWindow(27, 4, 3, (-40,) * 8, ((-40, -37),) * 8),
}


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
@pytest.mark.parametrize("window", WINDOWS)
def test_devices_read_their_windows(window: str, names: tuple[str, str]) -> None:
    """Also if the mesh axes are named in another order than in the mesh. Samples beyond the length are not read."""
    wanted = WINDOWS[window]
    array = np.arange(2.0 * wanted.length * 3).reshape(2, wanted.length, 3) + 1
    shards: Any = np.concatenate(shards_of(array, 8, wanted.shard, filler=np.nan), 1).astype("float32")
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    device_axis = DeviceAxis(names, tuple(mesh.shape[name] for name in names), mesh.axis_names)
    along = P(None, names)
    windows = jax.shard_map(lambda x: read_window(x, wanted, device_axis), mesh=mesh, in_specs=along, out_specs=along)
    np.testing.assert_array_equal(jax.jit(windows)(shards), np.concatenate(windows_of(array, wanted), 1))
