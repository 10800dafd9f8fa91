"""The compiled step of a network: one program per chunk length, no communication, updates in place, resumed streams."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jconv import Model, Node, sequential, slots
from jconv import layers as jl
from tests.support.paths import ROOT

COLLECTIVES = re.compile("all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter")


def network() -> Model:
    """A network with one of each kind of stream state."""
    nodes = (
        Node("far", jl.Conv1D(4, 2, padding="causal", dilation=9, activation="relu"), ("x",)),
        Node("near", jl.Conv1D(4, 5, padding="same"), ("far",)),
        Node("sum", jl.Add(), ("near", "far")),
        Node("pool", jl.AveragePooling1D(3, 1), ("sum",)),
        Node("gru", jl.GRU(3, return_sequences=True), ("pool",)),
        Node("up", jl.Conv1DTranspose(2, 4, stride=2), ("gru",)),
        Node("mean", jl.GlobalAveragePooling1D(), ("gru",)),
    )
    return Model(nodes, ("x",), ("up", "mean"), ((None, 3),))


MODEL = network()
LATENCY = 4


def drawn(batch: int = 8, length: int = 12) -> tuple[Any, Any, jax.Array]:
    rng = np.random.default_rng(0)
    shapes, state = jax.eval_shape(MODEL.init, jax.random.key(0))
    params = jax.tree.map(lambda a: rng.normal(size=a.shape).astype(a.dtype) * 0.5, shapes)
    return params, state, jnp.asarray(rng.normal(size=(batch, length, 3)), jnp.float32)


def started(params: Any, state: Any, x: jax.Array, **options: Any) -> Any:
    stream = MODEL.stream_init(params, state, (len(x),), **options)
    return jax.jit(lambda stream, x: MODEL.stream_step(params, state, stream, x)[1])(stream, x[:, :LATENCY])


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("form", ["ring", "shifted"])
def test_one_program_per_chunk_length(form: str) -> None:
    assert MODEL.latency == LATENCY
    params, state, x = drawn(2, 40)
    step = jax.jit(lambda stream, x: MODEL.stream_step(params, state, stream, x), donate_argnums=0)
    stream, at = started(params, state, x, form=form), LATENCY
    for length in (1, 1, 3, 1, 3, 1):
        _, stream = step(stream, x[:, at : at + length])
        at += length
    assert step._cache_size() == 2


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("form", ["ring", "shifted"])
def test_a_step_with_a_sharded_batch_communicates_nothing(form: str) -> None:
    mesh = jax.make_mesh((8,), ("batch",))
    rows = NamedSharding(mesh, PartitionSpec("batch"))
    params, state, x = drawn()
    alone = started(params, state, x, form=form)
    stream = jax.tree.map(lambda a: jax.device_put(a, rows) if a.shape[:1] == (8,) else a, alone)
    step = jax.jit(lambda stream, x: MODEL.stream_step(params, state, stream, x))
    chunk = jax.device_put(x[:, LATENCY : LATENCY + 1], rows)
    assert not COLLECTIVES.search(step.lower(stream, chunk).compile().as_text())
    (y, after), (wanted, _) = step(stream, chunk), step(alone, x[:, LATENCY : LATENCY + 1])
    for name in MODEL.outputs:
        np.testing.assert_allclose(y[name], wanted[name], rtol=0, atol=1e-6)
    assert all(a.sharding.is_equivalent_to(rows, a.ndim) for a in after.arrays if a.shape[:1] == (8,))


def test_each_device_numbers_its_own_slots_of_a_sharded_pool() -> None:
    mesh = jax.make_mesh((8,), ("slots",))
    along_slots = PartitionSpec("slots")
    params, state, x = drawn()
    fresh = started(params, state, x[:1], slots=True)
    pool = slots.put(slots.pool(fresh, 16), started(params, state, x, slots=True), jnp.arange(0, 16, 2))

    def step(pool: Any, x: jax.Array, indices: jax.Array) -> Any:
        return MODEL.stream_step(params, state, pool, x, slots=indices)

    chunk, indices = x[:, LATENCY : LATENCY + 1], jnp.zeros(8, int)
    each = jax.jit(jax.shard_map(step, mesh=mesh, in_specs=along_slots, out_specs=along_slots))
    arguments = jax.device_put((pool, chunk, indices), NamedSharding(mesh, along_slots))
    assert not COLLECTIVES.search(each.lower(*arguments).compile().as_text())
    found, wanted = each(*arguments), jax.jit(step)(pool, chunk, jnp.arange(0, 16, 2))
    for a, b in zip(*map(jax.tree.leaves, (found, wanted)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("form", ["ring", "shifted"])
@pytest.mark.parametrize("last", [False, True])
def test_a_donated_pool_is_updated_in_place(form: str, last: bool) -> None:
    params, state, x = drawn(4)
    pool = slots.pool(started(params, state, x[:1], form=form, slots=True), 64)
    chunk, indices = x[:, LATENCY : LATENCY + 1], jnp.arange(4)
    step = jax.jit(
        lambda pool, x, indices: MODEL.stream_step(params, state, pool, x, slots=indices, last=last), donate_argnums=0
    )
    memory: Any = step.lower(pool, chunk, indices).compile().memory_analysis()
    size = sum(array.nbytes for array in pool.arrays)
    assert memory.alias_size_in_bytes == size and memory.temp_size_in_bytes < size / 4
    places = [array.unsafe_buffer_pointer() for array in pool.arrays]
    _, after = step(pool, chunk, indices)
    assert [array.unsafe_buffer_pointer() for array in after.arrays] == places


def test_a_donated_ring_is_updated_in_place() -> None:
    params, state, x = drawn()
    stream = started(params, state, x, form="ring")
    place = stream.parts.rings[0].unsafe_buffer_pointer()
    step = jax.jit(lambda stream, x: MODEL.stream_step(params, state, stream, x), donate_argnums=0)
    for at in range(LATENCY, LATENCY + 3):
        _, stream = step(stream, x[:, at : at + 1])
        assert stream.parts.rings[0].unsafe_buffer_pointer() == place


def test_a_step_reads_each_sample_once() -> None:
    """The last kernel element reads the chunk itself, not the buffer."""
    convs = [jl.Conv1D(8, 3, padding="causal", dilation=d, activation="relu") for d in (1, 4)]
    model, x = sequential(convs), jnp.ones((1, 16, 8))
    params, state = model.init(jax.random.key(0), (16, 8))
    stream = model.stream_init(params, state, (1,), input_shape=(None, 8), chunk=16)
    program = str(jax.make_jaxpr(lambda stream, x: model.stream_step(params, state, stream, x))(stream, x))
    # The samples of the previous chunk are read in one slice, so that each chunk is written once.
    assert program.count("dynamic_slice[") == 4 and program.count("dynamic_update_slice") == 2


def save_remaining_outputs(stream: Any, folder: Path) -> None:
    params, state, x = drawn(2)
    end = jax.jit(lambda stream, x: MODEL.stream_step(params, state, stream, x, last=True)[0])
    np.savez(folder, **end(stream, x[:, LATENCY + 3 :]))


def resume(folder: Path) -> None:
    """Continues a stream in another process: from its arrays, and from the pickled stream."""
    params, state, x = drawn(2)
    with np.load(folder / "stream.npz") as arrays:
        kept = tuple(jnp.asarray(arrays[name]) for name in arrays.files)
    save_remaining_outputs(replace(started(params, state, x), arrays=kept), folder / "arrays")
    save_remaining_outputs(pickle.loads((folder / "stream.pickle").read_bytes()), folder / "pickled")


@pytest.mark.slow
def test_a_stream_resumes_in_another_process_with_the_same_bits(tmp_path: Path) -> None:
    params, state, x = drawn(2)
    _, stream = MODEL.stream_step(params, state, started(params, state, x), x[:, LATENCY : LATENCY + 3])
    np.savez(tmp_path / "stream", *stream.arrays)
    (tmp_path / "stream.pickle").write_bytes(pickle.dumps(stream))
    program = "import pathlib, sys; from tests.model import test_stream_programs as here\n"
    program += "here.resume(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, cwd=ROOT)
    save_remaining_outputs(stream, tmp_path / "here")
    with np.load(tmp_path / "here.npz") as wanted:
        for name in ("arrays", "pickled"):
            with np.load(tmp_path / f"{name}.npz") as found:
                for output in MODEL.outputs:
                    np.testing.assert_array_equal(found[output], wanted[output])
