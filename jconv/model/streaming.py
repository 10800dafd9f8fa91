"""Computes a network chunk by chunk: each layer keeps its own stream state, and branches wait for each other.

Where branches meet, samples of the branch that is ahead are kept until the other branch has the same samples. Their
number follows from the output timing of the layers, so shapes never depend on values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..layers.base import name_node_in_errors
from ..layers.shape import Pick
from ..slots import check_slots, clear_unassigned, put_rows, take_rows, uneven_sessions
from ..streaming.buffers import ENDED, StreamOptions, check_form
from ..streaming.ring_buffer import RingBuffer, compute_steps
from ..streaming.windows import concatenate
from .channels_first import length_first, swap_axes
from .nodes import LayerGraph, Node, unwrap_single
from .timing import ratios

Arrays = Mapping[str, Any]
Ratios = Mapping[str, Any]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Stream:
    """The state of a network between chunks: arrays, and the structure of `parts`.

    The arrays are in one flat tuple, because a call of a compiled function takes time for each Python object in its
    arguments and results, which matters for small networks.
    """

    arrays: tuple[jax.Array, ...]
    structure: Any = field(metadata={"static": True})
    ended: bool = field(default=False, metadata={"static": True})

    @property
    def parts(self) -> StreamParts:
        """The arrays by name."""
        return jax.tree.unflatten(self.structure, self.arrays)


class StreamParts(NamedTuple):
    """The arrays of a stream.

    `states` are the stream states of layers by node name. `waiting` has, for each node with several inputs, the samples
    (batch, samples, ...) of each input that wait for another input, or None. `rings` are the samples of the ring
    buffers in `states`, several in one array, and `heads` (..., number of rings) their heads, in the order of nodes.
    """

    states: dict[str, Any]
    waiting: dict[str, tuple[jax.Array | None, ...]]
    rings: tuple[jax.Array, ...]
    heads: jax.Array | None


def init(
    graph: LayerGraph,
    params: Arrays,
    state: Arrays,
    batch_shape: Sequence[int],
    input_shape: Any,
    dtype: Any,
    options: StreamOptions,
) -> Stream:
    """See `Model.stream_init`."""
    batch_shape = tuple(batch_shape) if isinstance(batch_shape, Sequence) else (batch_shape,)
    if len(batch_shape) != 1:
        raise ValueError(f"batch_shape must be the one batch axis of the chunks, (batch,), got {batch_shape}")
    check_form(options.form)
    shapes = graph.named_shapes(input_shape)
    graph, length_last = length_first(graph)
    rates = ratios(graph)
    values: dict[str, Any] = {}
    dtypes = graph.named(dtype, "dtype") if isinstance(dtype, Mapping) else dict.fromkeys(graph.inputs, dtype)
    for name, shape in shapes.items():
        shape = shape[::-1] if name in length_last else shape
        if not shape:
            raise ValueError(f"input {name!r} must be a sequence to be streamed, got an example of shape ()")
        # A type of NumPy, such as int64, becomes the type of JAX's array.
        dtype_of_chunk = jax.dtypes.canonicalize_dtype(dtypes[name])
        values[name] = jax.ShapeDtypeStruct((*batch_shape, 1, *shape[1:]), dtype_of_chunk)
    states: dict[str, Any] = {}
    waiting: dict[str, tuple[jax.Array | None, ...]] = {}
    for node in graph.nodes:
        arrays, x, own = (params.get(node.key, {}), state.get(node.key, {})), node.select(values), None
        with name_node_in_errors(node.name):
            if _reads_sequence(node, rates):
                ratio = next(ratio for ratio in (rates[name] for name in node.inputs) if ratio is not None)
                own_options = options._replace(chunk=max(1, math.ceil(options.chunk * ratio)))
                own = node.layer.stream_init(*arrays, x, own_options)
            y = jax.eval_shape(lambda x, n=node, a=arrays, s=own: _step_node(n, rates, a, s, x, False, None)[0], x)
        values[node.name] = y if rates[node.name] is None else _one_sample(y)
        if own is not None:
            states[node.name] = own
        if len(node.inputs) > 1 and _reads_sequence(node, rates):
            waiting[node.name] = (None,) * len(node.inputs)
    states, rings, heads = _merge_rings(graph, states)
    return _flatten(StreamParts(states, waiting, rings, heads))


def _flatten(parts: StreamParts) -> Stream:
    arrays, structure = jax.tree.flatten(parts)
    return Stream(tuple(arrays), structure)


def _merge_rings(
    graph: LayerGraph, states: dict[str, Any]
) -> tuple[dict[str, Any], tuple[jax.Array, ...], jax.Array | None]:
    """Returns the states without the arrays of their rings, these arrays, and the heads.

    Rings share an array if each depends on the output of the one before. Every read of the array then precedes the next
    write, so XLA writes in place. For independent rings it would copy the array.
    """
    ancestors: dict[str, set[str]] = {name: set() for name in graph.inputs}
    groups: list[tuple[Any, str, list[jax.Array]]] = []
    heads = []
    for node in graph.nodes:
        ancestors[node.name] = set(node.inputs).union(*(ancestors[name] for name in node.inputs))
        ring = states.get(node.name)
        if not isinstance(ring, RingBuffer):
            continue
        kind = ring.samples.shape[:-2], ring.samples.shape[-1], ring.samples.dtype
        fitting = (i for i, (other, last, _) in enumerate(groups) if other == kind and last in ancestors[node.name])
        number = next(fitting, len(groups))
        before = groups[number][2] if number < len(groups) else []
        groups[number : number + 1] = [(kind, node.name, [*before, ring.samples])]
        heads.append(ring.head)
        base = sum(array.shape[-2] for array in before)
        states[node.name] = replace(ring, samples=None, head=None, base=base, group=number)
    rings = tuple(concatenate(arrays) for _, _, arrays in groups)
    return states, rings, jnp.stack(heads, axis=-1) if heads else None


def _one_sample(y: Any) -> Any:
    """The shape of `y` with one sample; of several outputs, only the first is a sequence."""
    if isinstance(y, tuple):
        return _one_sample(y[0]), *y[1:]
    return jax.ShapeDtypeStruct((y.shape[0], 1, *y.shape[2:]), y.dtype)


def _reads_sequence(node: Node, rates: Ratios) -> bool:
    """Whether a node reads a sequence; `Pick` passes sequences on without a state."""
    return not isinstance(node.layer, Pick) and any(rates[name] is not None for name in node.inputs)


def _step_node(
    node: Node, rates: Ratios, arrays: tuple[Any, Any], own: Any, x: Any, last: bool, slots: Any
) -> tuple[Any, Any]:
    if not _reads_sequence(node, rates):
        return node.layer.apply(*arrays, x)[0], own
    return node.layer.stream_step(*arrays, own, x, last=last, slots=slots)


def step(
    graph: LayerGraph,
    params: Arrays,
    state: Arrays,
    stream: Stream,
    chunk: Any,
    *,
    last: bool,
    slots: Any,
) -> tuple[Any, Stream]:
    """See `Model.stream_step`."""
    if stream.ended:
        raise ValueError(ENDED)
    values = {name: jnp.asarray(array) for name, array in graph.named(chunk, "chunk").items()}
    graph, length_last = length_first(graph)
    for name in length_last.intersection(values):
        if values[name].ndim != 3:
            raise ValueError(
                f"input {name!r} takes chunks of shape (batch, channels, samples), got {values[name].shape}"
            )
        values[name] = swap_axes(values[name])
    if slots is None:
        outputs, after = _step_nodes(graph, params, state, stream, values, last, None)
        after = replace(after, ended=last)
    else:
        slots = check_slots(slots, next(iter(values.values())).shape[0])
        values = {name: clear_unassigned(array, slots, stream) for name, array in values.items()}
        outputs, after = _step_slots(graph, params, state, stream, values, last, slots)
    outputs = {name: swap_axes(outputs[name]) if name in length_last else outputs[name] for name in graph.outputs}
    return unwrap_single(outputs), after


def _step_slots(
    graph: LayerGraph, params: Arrays, state: Arrays, pool: Stream, values: Arrays, last: bool, slots: jax.Array
) -> tuple[Arrays, Stream]:
    if last:
        # The sessions in `slots` are stepped separately, so that the state of the others stays as it is.
        return _step_nodes(graph, params, state, take_rows(pool, slots), values, True, None)[0], pool
    outputs, after = _step_nodes(graph, params, state, pool, values, False, slots)
    if after.structure != pool.structure:
        raise uneven_sessions(math.lcm(*(rate.denominator for rate in ratios(graph).values() if rate is not None)))
    return outputs, after


def _step_nodes(
    graph: LayerGraph,
    params: Arrays,
    state: Arrays,
    stream: Stream,
    inputs: Arrays,
    last: bool,
    slots: jax.Array | None,
) -> tuple[Arrays, Stream]:
    """The values of all inputs and nodes, and the stream after the chunk."""
    rates, values = ratios(graph), dict(inputs)
    parts = stream.parts
    states, waiting, rings = dict(parts.states), dict(parts.waiting), list(parts.rings)
    buffers = [own for node in graph.nodes if isinstance(own := states.get(node.name), RingBuffer)]
    steps = [] if parts.heads is None else compute_steps(buffers, parts.heads, slots)
    heads: list[jax.Array] = []
    for node in graph.nodes:
        arrays, x, own = (params.get(node.key, {}), state.get(node.key, {})), node.select(values), states.get(node.name)
        if isinstance(own, RingBuffer) and parts.heads is not None:
            i = len(heads)
            own = replace(own, samples=rings[own.group], head=parts.heads[..., i], step=steps[i])
        with name_node_in_errors(node.name):
            if node.name in waiting:
                x, waiting[node.name] = _align(x, waiting[node.name], last, slots)
            values[node.name], own = _step_node(node, rates, arrays, own, x, last, slots)
        if isinstance(own, RingBuffer):
            rings[own.group] = own.samples
            heads.append(own.head)
            own = replace(own, samples=None, head=None, step=None)
        if node.name in states:
            states[node.name] = own
    return values, _flatten(StreamParts(states, waiting, tuple(rings), jnp.stack(heads, axis=-1) if heads else None))


def _align(
    inputs: tuple[jax.Array, ...], waiting: tuple[Any, ...], last: bool, slots: jax.Array | None
) -> tuple[tuple[jax.Array, ...], tuple[Any, ...]]:
    """The samples that all inputs have, and those that wait for another input."""
    arrays = [
        new if old is None else concatenate([take_rows(old, slots), new], axis=1)
        for old, new in zip(waiting, inputs, strict=True)
    ]
    length = min(array.shape[1] for array in arrays)
    if last and any(array.shape[1] != length for array in arrays):
        raise ValueError(
            f"inputs must end together, got {', '.join(str(a.shape[1]) for a in arrays)} remaining samples"
        )
    rest = [None if array.shape[1] == length else array[:, length:] for array in arrays]
    ready = tuple(array if array.shape[1] == length else _first_samples(array, length) for array in arrays)
    if slots is None:
        return ready, tuple(rest)
    return ready, tuple(_put(old, new, slots) for old, new in zip(waiting, rest, strict=True))


def _first_samples(array: jax.Array, length: int) -> jax.Array:
    # XLA's CPU compiler fails on slices without samples in some programs.
    return array[:, :length] if length else jnp.zeros((array.shape[0], 0, *array.shape[2:]), array.dtype)


def _put(old: jax.Array | None, new: jax.Array | None, slots: jax.Array) -> jax.Array | None:
    if old is None and new is None:
        return None
    if old is None or new is None or old.shape[1] != new.shape[1]:
        raise uneven_sessions()
    return put_rows(old, new, slots)
