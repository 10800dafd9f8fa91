"""`"auto"` is local in streams, in variable-length arrays and on several devices: a NaN affects only what reads it.

`test_local.py` tests the algorithms. This tests the code around them: buffers, padding, adjacent segments of a packed
row, halos, and samples of shards beyond the length.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jconv
from jconv import reference
from tests.support.sequences import pieces, with_nan_padding

LENGTH, POSITIONS = 64, (21, 40)
RNG = np.random.default_rng(0)


class Case(NamedTuple):
    """A convolution: its name, the shapes of its params, its in channels and its options."""

    name: str
    shapes: dict[str, tuple[int, ...]]
    channels: int
    options: dict[str, Any]

    @property
    def params(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(1)
        return {name: rng.standard_normal(shape).astype("float32") for name, shape in self.shapes.items()}

    def x(self, rows: int) -> np.ndarray:
        return np.random.default_rng(2).standard_normal((rows, LENGTH, self.channels)).astype("float32")

    def reads(self, bad: np.ndarray) -> np.ndarray:
        """Whether each output reads a sample that is not finite."""
        ones = {name: np.ones(shape) for name, shape in self.shapes.items() if "kernel" in name}
        return getattr(reference, self.name)(ones, bad.astype(float), **self.options) > 0


CASES = {
    "causal": Case("conv1d", {"kernel": (3, 4, 6), "bias": (6,)}, 4, {"padding": "causal", "dilation": 4}),
    "wide": Case("conv1d", {"kernel": (5, 128, 128)}, 128, {"padding": "causal"}),
    "strided": Case("conv1d", {"kernel": (5, 4, 6)}, 4, {"padding": "same", "stride": 2}),
    "groups": Case("conv1d", {"kernel": (9, 8, 16)}, 16, {"groups": 2}),
    "depthwise": Case("depthwise_conv1d", {"kernel": (33, 6, 1)}, 6, {"padding": "causal"}),
    "one channel": Case("conv1d", {"kernel": (31, 1, 2)}, 1, {"padding": "causal"}),
    "separable": Case(
        "separable_conv1d", {"depthwise_kernel": (4, 6, 1), "pointwise_kernel": (1, 6, 8)}, 6, {"padding": "causal"}
    ),
    "transposed": Case("conv1d_transpose", {"kernel": (5, 6, 4), "bias": (6,)}, 4, {"stride": 2}),
    "transposed same": Case("conv1d_transpose", {"kernel": (8, 16, 16)}, 16, {"stride": 4, "padding": "same"}),
    "transposed with gaps": Case("conv1d_transpose", {"kernel": (2, 6, 4)}, 4, {"stride": 3, "dilation": 2}),
}


def insert_non_finite(x: np.ndarray, row: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`x` with a NaN and an infinity in a row, and a mask of them."""
    bad = np.zeros(x.shape, bool)
    bad[row, POSITIONS, x.shape[-1] // 2] = True
    non_finite = x.copy()
    non_finite[row, POSITIONS, x.shape[-1] // 2] = [np.nan, np.inf]
    return non_finite, bad


def assert_local(y: Any, clean: Any, read: np.ndarray) -> None:
    """Checks that `y` is not finite exactly where `read` is true, and that all other outputs are unchanged."""
    y = np.asarray(y)
    np.testing.assert_array_equal(~np.isfinite(y), read)
    expected = np.asarray(clean)[~read]
    # Relative to the sums, which have up to 640 terms.
    np.testing.assert_allclose(y[~read], expected, rtol=1e-5, atol=2e-6 * np.abs(expected).max())


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("form", ["shifted", "ring"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_streams_are_local(case: Case, form: str) -> None:
    x = case.x(2)
    non_finite, bad = insert_non_finite(x)
    convolution = getattr(jconv, case.name)
    stream: Any = {"convolution": convolution, **case.options}
    step = jax.jit(partial(jconv.streaming.step, case.params, **stream))
    state, parts = jconv.streaming.init(case.params, (2,), form=form, chunk=8, **stream), []
    for start in range(0, LENGTH, 8):
        y, state = step(state, non_finite[:, start : start + 8])
        parts.append(y)
    parts.append(jconv.streaming.flush(case.params, state, **stream))
    assert_local(np.concatenate(parts, 1), convolution(case.params, x, **case.options), case.reads(bad))


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_sessions_of_one_pool_are_local(case: Case) -> None:
    x = case.x(2)
    non_finite, bad = insert_non_finite(x, row=1)
    convolution = getattr(jconv, case.name)
    stream: Any = {"convolution": convolution, **case.options}
    # Each session runs alone until its first outputs, then in the pool.
    started = [jconv.streaming.init(case.params, (1,), chunk=8, slots=True, **stream) for _ in range(2)]
    first = [
        jconv.streaming.step(case.params, one, non_finite[n : n + 1, :40], **stream) for n, one in enumerate(started)
    ]
    parts = [np.concatenate([y for y, _ in first])]
    pool = jconv.slots.pool(first[0][1], 3)
    pool = jconv.slots.put(pool, first[1][1], np.array([2]))
    step = jax.jit(partial(jconv.streaming.step, case.params, **stream))
    for start in range(40, LENGTH, 8):
        y, pool = step(pool, non_finite[:, start : start + 8], slots=jnp.array([0, 2]))
        parts.append(y)
    y = np.concatenate(parts, 1)
    clean, read = convolution(case.params, x, **case.options), case.reads(bad)
    assert_local(y, clean[:, : y.shape[1]], read[:, : y.shape[1]])
    assert read[1, : y.shape[1]].any() and not read[0].any()


EXTENTS: dict[str, dict[str, np.ndarray]] = {
    "lengths": {"lengths": np.array([50, 30, 0], np.int32)},
    "segment_ids": {
        "segment_ids": np.array([[0] * 20 + [1] * 30 + [2] * 10 + [-1] * 4, [3] * 30 + [-1] * 34, [-1] * 64], np.int32)
    },
}


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("extent", EXTENTS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_variable_lengths_are_local(case: Case, extent: str) -> None:
    """Padding affects no output and no gradient. A NaN affects only outputs of its own sequence that read it."""
    if extent == "segment_ids" and case.name == "conv1d_transpose" and case.options.get("padding") != "same":
        pytest.skip("segments would overlap")
    extents, convolution = EXTENTS[extent], getattr(jconv, case.name)
    x, (_, bad) = case.x(3), insert_non_finite(case.x(3))

    @jax.jit
    def run(x: Any, cotangent: Any) -> Any:
        y, pull, after = jax.vjp(
            lambda p, x: convolution(p, x, **case.options, **extents), case.params, x, has_aux=True
        )
        return y, pull(cotangent), after

    shape = jax.eval_shape(lambda x: convolution(case.params, x, **case.options, **extents)[0], x).shape
    cotangent = np.random.default_rng(3).standard_normal(shape).astype("float32")
    clean = run(x, cotangent)
    padded = np.nan_to_num(with_nan_padding(x, **extents), nan=np.inf)
    dirty = run(with_nan_padding(x, **extents), cotangent), run(padded, cotangent)
    for found in dirty:
        jax.tree.map(np.testing.assert_array_equal, found, clean)

    read = np.zeros(shape, bool)
    for row, samples in pieces(**extents):
        own = case.reads(bad[row][samples])
        begin = samples.start * (case.options.get("stride", 1) if case.name == "conv1d_transpose" else 1)
        read[row][begin : begin + len(own)] = own
    assert_local(run(np.where(bad, np.nan, x).astype("float32"), cotangent)[0], clean[0], read)


def mesh() -> jax.sharding.Mesh:
    return jax.make_mesh((8,), ("time",), (jax.sharding.AxisType.Auto,))


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("length", [LENGTH, 59])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_shards_are_local(case: Case, length: int) -> None:
    """Inside shard_map, with samples beyond the length that are not finite."""
    sharded, unsharded = getattr(jconv.sharding, case.name), getattr(jconv, case.name)
    along_length = P(None, "time")
    run = jax.jit(
        jax.shard_map(
            lambda x: sharded(case.params, x, axis_name="time", length=length, **case.options),
            mesh=mesh(),
            in_specs=along_length,
            out_specs=along_length,
        )
    )
    x = case.x(2)
    non_finite, bad = insert_non_finite(x)
    non_finite[:, length:] = np.nan
    read = case.reads(bad[:, :length])
    y = np.asarray(run(non_finite))
    assert_local(y[:, : read.shape[1]], unsharded(case.params, x[:, :length], **case.options), read)
    assert not np.any(y[:, read.shape[1] :])


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_automatic_meshes_are_local(case: Case) -> None:
    """XLA's partitioner splits the length into shards of different sizes."""
    along_length, convolution = NamedSharding(mesh(), P(None, "time")), getattr(jconv, case.name)
    x = case.x(2)
    non_finite, bad = insert_non_finite(x)
    read = case.reads(bad)

    @partial(jax.jit, out_shardings=along_length if read.shape[1] % 8 == 0 else None)
    def forward(x: Any) -> Any:
        return convolution(case.params, x, **case.options)

    clean = convolution(case.params, x, **case.options)
    assert_local(forward(jax.device_put(non_finite, along_length)), clean, read)

    @partial(jax.jit, in_shardings=(along_length, None), out_shardings=along_length)
    def gradient(x: Any, cotangent: Any) -> Any:
        return jax.vjp(lambda x: convolution(case.params, x, **case.options), x)[1](cotangent)[0]

    cotangent = np.random.default_rng(3).standard_normal(clean.shape).astype("float32")
    expected = np.asarray(gradient(x, cotangent))
    at = read.shape[1] // 2
    cotangent[0, at] = np.nan
    # The gradient of a sample reads the cotangent of an output if the output reads the sample.
    found = np.array(
        [case.reads(np.eye(LENGTH)[None, t, :, None] * np.ones(case.channels))[0, at] for t in range(LENGTH)]
    )
    read_by = np.zeros(x.shape, bool)
    read_by[0, found.any(-1)] = True
    assert_local(gradient(x, cotangent), expected, read_by)


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_fastest_has_the_same_results_on_several_devices(case: Case) -> None:
    along_length, options = P(None, "time"), {**case.options, "algorithm": "fastest"}
    sharded = jax.shard_map(
        lambda x: getattr(jconv.sharding, case.name)(case.params, x, axis_name="time", **options),
        mesh=mesh(),
        in_specs=along_length,
        out_specs=along_length,
    )
    x = case.x(2)
    y, expected = np.asarray(jax.jit(sharded)(x)), np.asarray(getattr(jconv, case.name)(case.params, x, **options))
    np.testing.assert_allclose(y[:, : expected.shape[1]], expected, atol=1e-5 * np.abs(expected).max())
