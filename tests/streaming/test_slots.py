"""Sessions in slots: each has the outputs of a separate stream, whatever the other slots contain."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv import Model, Node, sequential, slots, streaming
from jconv import layers as jl


def network() -> Model:
    nodes = (
        Node("conv", jl.Conv1D(4, 2, padding="causal", dilation=7, activation="relu"), ("x",)),
        Node("near", jl.DepthwiseConv1D(3, padding="causal"), ("conv",)),
        Node("sum", jl.Add(), ("conv", "near")),
        Node("gru", jl.GRU(3, return_sequences=True), ("sum",)),
        Node("pool", jl.MaxPooling1D(2, 2), ("gru",)),
        Node("up", jl.Conv1DTranspose(2, 4, stride=2), ("pool",)),
        Node("mean", jl.GlobalAveragePooling1D(), ("gru",)),
    )
    return Model(nodes, ("x",), ("gru", "mean", "up"), ((None, 2),))


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("form", ["ring", "shifted"])
def test_sessions_start_and_end_independently(form: str) -> None:
    model = network()
    params, state = model.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    fresh = model.stream_init(params, state, (1,), form=form, chunk=2, slots=True)
    pool = slots.pool(fresh, 4)
    step = jax.jit(lambda pool, x, indices: model.stream_step(params, state, pool, x, slots=indices), donate_argnums=0)
    outputs: dict[int, list[Any]] = {}
    inputs: dict[int, list[Any]] = {}
    ended: list[tuple[Any, Any]] = []
    for _ in range(24):
        live = rng.permutation(4)[: rng.integers(0, 3)].tolist()
        for slot in live:
            if slot in inputs and rng.random() < 0.2:
                ended.append((inputs.pop(slot), outputs.pop(slot)))
            if slot not in inputs:
                pool = slots.put(pool, fresh, jnp.array([slot]))
                inputs[slot], outputs[slot] = [], []
        # Always three rows. Those without a session contain NaN, which must not appear in any output.
        indices = np.array([*live, -1, 99, -1][:3], np.int32)
        x = rng.normal(size=(3, 2, 2)).astype("float32")
        x[len(live) :] = np.nan
        y, pool = step(pool, x, indices)
        for row, slot in enumerate(live):
            inputs[slot].append(x[row])
            outputs[slot].append({name: array[row] for name, array in y.items()})
    ended += [(inputs[slot], outputs[slot]) for slot in inputs]
    assert len(ended) > 4
    apply = jax.jit(model.apply)
    for chunks, chunk_outputs in ended:
        complete, _ = apply(params, state, np.concatenate(chunks)[None])
        gru = np.concatenate([y["gru"] for y in chunk_outputs])
        np.testing.assert_allclose(gru, complete["gru"][0], rtol=0, atol=1e-6)
        np.testing.assert_allclose(chunk_outputs[-1]["mean"], complete["mean"][0], rtol=0, atol=1e-6)
        up = np.concatenate([y["up"] for y in chunk_outputs])
        np.testing.assert_allclose(up, complete["up"][0, : len(up)], rtol=0, atol=1e-6)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("form", ["ring", "shifted"])
def test_a_step_does_not_change_other_slots(form: str) -> None:
    params = {"kernel": jnp.ones((2, 3, 1))}
    options: dict[str, Any] = {"padding": "causal", "dilation": 4}
    state = streaming.init(params, (5,), form=form, slots=True, **options)
    dirty = jax.tree.map(lambda a: jnp.full_like(a, jnp.nan) if a.dtype == jnp.float32 else a, state)
    fresh = slots.take(state, jnp.array([0]))
    pool = slots.put(dirty, fresh, jnp.array([1, 3]))
    y, after = streaming.step(params, pool, jnp.ones((2, 1, 3)), slots=jnp.array([3, 1]), **options)
    assert not jnp.isnan(y).any()
    for slot in (0, 2, 4):
        for a, b in zip(*(jax.tree.leaves(slots.take(tree, jnp.array([slot]))) for tree in (pool, after)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_session_can_be_saved_and_moved_to_another_pool() -> None:
    model = sequential([jl.Conv1D(2, 3, padding="causal", dilation=3)], input_shape=(None, 1))
    params, state = model.init(jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(1, 12, 1)).astype(np.float32)
    step = jax.jit(model.stream_step)
    alone = model.stream_init(params, state, (1,), slots=True)
    _, alone = step(params, state, alone, x[:, :7])
    # Saved as NumPy arrays, and restored in a slot of another pool.
    leaves, structure = jax.tree.flatten(alone)
    sent = jax.tree.unflatten(structure, [np.asarray(leaf) for leaf in leaves])
    pool = slots.pool(model.stream_init(params, state, (1,), slots=True), 3)
    pool = slots.put(pool, sent, jnp.array([1]))
    y, _ = step(params, state, pool, x[:, 7:], slots=jnp.array([1]))
    np.testing.assert_allclose(y, jax.jit(model.apply)(params, state, x)[0][:, 7:], rtol=0, atol=1e-6)


def test_a_session_of_a_network_with_latency_is_stepped_separately_first() -> None:
    model = sequential([jl.Conv1D(2, 5, padding="same")], input_shape=(None, 1))
    params, state = model.init(jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(1, 12, 1)).astype(np.float32)
    step = jax.jit(model.stream_step, static_argnames="last")
    begin = model.stream_init(params, state, (1,), slots=True)
    y0, started = step(params, state, begin, x[:, : int(model.latency)])
    assert y0.shape[1] == 0
    pool = slots.put(slots.pool(started, 2), started, jnp.array([1]))
    y, pool = step(params, state, pool, x[:, 2:], slots=jnp.array([1]))
    tail, _ = step(params, state, pool, x[:, :0], slots=jnp.array([1]), last=True)
    complete = jax.jit(model.apply)(params, state, x)[0]
    np.testing.assert_allclose(np.concatenate([y, tail], axis=1), complete, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="stream must have the same arrays as the pool"):
        slots.put(pool, begin, jnp.array([0]))


def test_ending_a_session_does_not_change_others() -> None:
    # The end of a session flushes every layer, after which the next outputs of the layers need fewer samples.
    nodes = (
        Node("same", jl.Conv1D(3, 5, padding="same"), ("x",)),
        Node("sum", jl.Add(), ("same", "x")),
        Node("half", jl.Conv1D(2, 4, stride=2, padding="causal"), ("sum",)),
    )
    model = Model(nodes, ("x",), ("half",), ((None, 3),))
    params, state = model.init(jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(2, 12, 3)).astype(np.float32)
    step, apply = jax.jit(model.stream_step, static_argnames="last"), jax.jit(model.apply)
    _, started = step(params, state, model.stream_init(params, state, (2,), slots=True), x[:, :2])
    complete = apply(params, state, x)[0]
    y0, pool = step(params, state, started, x[:, 2:6], slots=jnp.arange(2))
    y1, pool = step(params, state, pool, x[:1, 6:9], slots=jnp.array([0]), last=True)
    alone = apply(params, state, x[:1, :9])[0]
    np.testing.assert_allclose(np.concatenate([y0[:1], y1], 1), alone, rtol=0, atol=1e-6)
    y2, _ = step(params, state, pool, x[1:, 6:], slots=jnp.array([1]), last=True)
    np.testing.assert_allclose(np.concatenate([y0[1:], y2], 1), complete[1:], rtol=0, atol=1e-6)


def test_a_step_that_changes_the_samples_until_the_next_output_raises() -> None:
    params, indices = {"kernel": jnp.ones((3, 1, 1))}, jnp.array([1])
    state = streaming.init(params, (2,), slots=True, stride=2)
    message = "with slots, a step must not change .*, and step by multiples of 2 samples"
    with pytest.raises(ValueError, match=message):
        streaming.step(params, state, jnp.ones((1, 1, 1)), slots=indices, stride=2)
    model = sequential([jl.ZeroPadding1D(2), jl.MaxPooling1D(2)], input_shape=(None, 1))
    stream = model.stream_init({}, {}, (2,), slots=True)
    with pytest.raises(ValueError, match=message):
        model.stream_step({}, {}, stream, jnp.ones((1, 2, 1)), slots=indices)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("row", [-1, 99])
def test_rows_without_a_session_do_not_affect_derivatives(row: int) -> None:
    model = sequential([jl.Conv1D(4, 2, padding="causal"), jl.GRU(3, return_sequences=True)], input_shape=(None, 2))
    params, state = model.init(jax.random.key(0))
    fresh = model.stream_init(params, state, (1,), slots=True)
    idle = jax.tree.map(lambda a: jnp.full_like(a, jnp.nan) if a.ndim > 1 else a, slots.pool(fresh, 3))
    pool = slots.put(idle, fresh, jnp.array([1]))
    x = jnp.array([[[jnp.nan, jnp.nan]], [[1.0, 2.0]]])

    def loss(params: Any, pool: Any, x: Any, **options: Any) -> jax.Array:
        y, pool = model.stream_step(params, state, pool, x, **options)
        y, pool = model.stream_step(params, state, pool, x, **options)
        return (y[-1] ** 2).sum()

    gradient = jax.jit(jax.grad(loss))
    found = gradient(params, pool, x, slots=jnp.array([row, 1]))
    for a, b in zip(*map(jax.tree.leaves, (found, gradient(params, fresh, x[1:]))), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
    layer = {"kernel": params["conv1d"]["kernel"]}
    sessions = streaming.init(layer, (3,), slots=True, padding="causal")
    options: dict[str, Any] = {"slots": jnp.array([row, 1]), "padding": "causal"}
    kernel = jax.jit(jax.grad(lambda p: streaming.step(p, sessions, x, **options)[0][1].sum()))(layer)["kernel"]
    assert jnp.isfinite(kernel).all()


def test_a_donated_pool_is_updated_in_place() -> None:
    params = {"kernel": jnp.ones((2, 8, 8))}
    options: dict[str, Any] = {"padding": "causal", "dilation": 500}
    state = streaming.init(params, (64,), slots=True, **options)
    step = jax.jit(lambda s, x, n: streaming.step(params, s, x, slots=n, **options), donate_argnums=0)
    compiled = step.lower(state, jnp.ones((4, 1, 8)), jnp.arange(4)).compile()
    memory = compiled.memory_analysis()
    assert memory.temp_size_in_bytes < state.samples.nbytes / 8


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (np.zeros((2, 1), int), "slots must be integers of shape \\(2,\\)"),
        (np.zeros(3, int), "slots must be integers of shape \\(2,\\)"),
        (np.zeros(2), "slots must be integers of shape \\(2,\\), got float"),
    ],
)
def test_invalid_slots_are_errors(indices: Any, message: str) -> None:
    params = {"kernel": jnp.ones((2, 3, 1))}
    state = streaming.init(params, (5,), slots=True)
    with pytest.raises(ValueError, match=message):
        streaming.step(params, state, jnp.ones((2, 1, 3)), slots=indices)


def test_slots_must_be_a_vector() -> None:
    state = streaming.init({"kernel": jnp.ones((2, 3, 1))}, (5,), slots=True)
    for call in (lambda: slots.take(state, 3), lambda: slots.put(state, slots.take(state, [3]), 3)):
        with pytest.raises(ValueError, match=r"slots must be integers of shape \(rows,\), got int\d+ of shape \(\)"):
            call()


def test_pool_needs_a_stream_with_one_row() -> None:
    state = streaming.init({"kernel": jnp.ones((2, 3, 1))}, (5,), slots=True)
    with pytest.raises(ValueError, match="stream must have 1 row and be initialized with slots=True"):
        jconv.slots.pool(state, 4)
