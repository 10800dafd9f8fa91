"""A whole network a chunk at a time: each layer keeps what it needs, and branches wait for each other.

Where branches meet, the one that is ahead waits: its samples are kept until those that go with them have come. How many
that are is known from the layers' paces, so shapes never depend on numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..layers.base import name_node_in_errors
from ..layers.pick import Pick
from ..slots import named_slots, only_named, put_rows, take_rows, uneven
from ..streaming.buffers import ENDED, FORMS, Form
from ..streaming.ring_buffer import Ring, turns_of
from ..streaming.windows import joined
from .channels_first import length_first, turned
from .nodes import LayerGraph, Node
from .timing import ratios

Tree = Mapping[str, Any]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Stream:
    """What a network keeps between chunks: arrays, and how they belong together.

    One flat tuple, because a call of a compiled step pays for every Python object that its arguments and results are
    made of, and for a small network that is a good part of a step.
    """

    arrays: tuple[jax.Array, ...]
    structure: Any = field(metadata={"static": True})
    ended: bool = field(default=False, metadata={"static": True})

    @property
    def parts(self) -> Parts:
        """The same with names."""
        return jax.tree.unflatten(self.structure, self.arrays)


class Parts(NamedTuple):
    """What a stream's arrays are.

    `kept` has what each layer keeps, by its node's name; `waiting`, by the name of a node that reads several, the
    samples (batch, waiting, ...) of each of its inputs that those of another are still to come for, or None. `rings`
    are the samples of the rings in `kept`, several one after the other in one array, and `heads`, (..., number of
    rings), where they are written next, in the order of nodes.
    """

    kept: dict[str, Any]
    waiting: dict[str, tuple[jax.Array | None, ...]]
    rings: tuple[jax.Array, ...]
    heads: jax.Array | None


def init(
    model: LayerGraph,
    params: Tree,
    state: Tree,
    batch_shape: Sequence[int],
    *,
    input_shape: Any = None,
    dtype: Any = jnp.float32,
    form: str = "auto",
    chunk: int = 1,
    slots: bool = False,
) -> Stream:
    """See `Model.stream_init`."""
    batch_shape = tuple(batch_shape) if isinstance(batch_shape, Sequence) else (batch_shape,)
    if len(batch_shape) != 1:
        raise ValueError(f"batch_shape must be the one batch axis of the chunks, (batch,), got {batch_shape}")
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    shapes = model.named_shapes(input_shape)
    model, last = length_first(model)
    rates = ratios(model)
    values: dict[str, Any] = {}
    dtypes = model.named(dtype, "dtype") if isinstance(dtype, Mapping) else dict.fromkeys(model.inputs, dtype)
    for name, shape in shapes.items():
        shape = shape[::-1] if name in last else shape
        if not shape:
            raise ValueError(f"input {name!r} must be a sequence to be streamed, got an example of shape ()")
        values[name] = jax.ShapeDtypeStruct((*batch_shape, 1, *shape[1:]), dtypes[name])
    kept: dict[str, Any] = {}
    waiting: dict[str, tuple[jax.Array | None, ...]] = {}
    for node in model.nodes:
        arrays = params.get(node.key, {}), state.get(node.key, {})
        read = tuple(values[name] for name in node.inputs)
        x = read if node.layer.has_several_inputs else read[0]
        own = None
        with name_node_in_errors(node.name):
            if _timed(node, rates):
                ratio = next(r for r in (rates[name] for name in node.inputs) if r is not None)
                own = node.layer.stream_init(*arrays, x, Form(form, max(1, math.ceil(chunk * ratio)), slots))
            y = jax.eval_shape(lambda x, n=node, o=own, a=arrays: _step(n, rates, a, o, x, False, None)[0], x)
        values[node.name] = y if rates[node.name] is None else _of_one_sample(y)
        if own is not None:
            kept[node.name] = own
        if len(node.inputs) > 1 and _timed(node, rates):
            waiting[node.name] = (None,) * len(node.inputs)
    kept, rings, heads = _shared(model, kept)
    return _packed(Parts(kept, waiting, rings, heads))


def _packed(parts: Parts) -> Stream:
    arrays, structure = jax.tree.flatten(parts)
    return Stream(tuple(arrays), structure)


def _shared(model: LayerGraph, kept: dict[str, Any]) -> tuple[dict[str, Any], tuple[jax.Array, ...], jax.Array | None]:
    """What is kept without the arrays of its rings, these arrays, and the heads.

    Rings lie in one array where each reads what comes of the one before: then every read of the array is over before
    the next write, which is therefore done in place. Rings side by side would make XLA copy the array.
    """
    behind: dict[str, set[str]] = {name: set() for name in model.inputs}
    groups: list[tuple[Any, str, list[jax.Array]]] = []
    heads = []
    for node in model.nodes:
        behind[node.name] = set(node.inputs).union(*(behind[name] for name in node.inputs))
        ring = kept.get(node.name)
        if not isinstance(ring, Ring):
            continue
        kind = ring.samples.shape[:-2], ring.samples.shape[-1], ring.samples.dtype
        fits = (i for i, (other, last, _) in enumerate(groups) if other == kind and last in behind[node.name])
        number = next(fits, len(groups))
        before = groups[number][2] if number < len(groups) else []
        groups[number : number + 1] = [(kind, node.name, [*before, ring.samples])]
        heads.append(ring.head)
        base = sum(array.shape[-2] for array in before)
        kept[node.name] = replace(ring, samples=None, head=None, base=base, group=number)
    rings = tuple(joined(arrays) for _, _, arrays in groups)
    return kept, rings, jnp.stack(heads, axis=-1) if heads else None


def _of_one_sample(y: Any) -> Any:
    """The shape of a chunk, or of one beside values so far, with one sample: how many there are at first differs."""
    if isinstance(y, tuple):
        return _of_one_sample(y[0]), *y[1:]
    return jax.ShapeDtypeStruct((y.shape[0], 1, *y.shape[2:]), y.dtype)


def _timed(node: Node, rates: Mapping[str, Any]) -> bool:
    """Whether a node reads a sequence, and does more than to pick it."""
    return not isinstance(node.layer, Pick) and any(rates[name] is not None for name in node.inputs)


def _step(node: Node, rates: Any, arrays: tuple[Any, Any], own: Any, x: Any, last: bool, slots: Any) -> tuple[Any, Any]:
    if not _timed(node, rates):
        return node.layer.apply(*arrays, x)[0], own
    return node.layer.stream_step(*arrays, own, x, last=last, slots=slots)


def step(
    model: LayerGraph,
    params: Tree,
    state: Tree,
    stream: Stream,
    chunk: Any,
    *,
    last: bool = False,
    slots: Any = None,
) -> tuple[Any, Stream]:
    """See `Model.stream_step`."""
    if stream.ended:
        raise ValueError(ENDED)
    values = {name: jnp.asarray(array) for name, array in model.named(chunk, "chunk").items()}
    model, lasts = length_first(model)
    for name in lasts.intersection(values):
        if values[name].ndim != 3:
            raise ValueError(
                f"input {name!r} takes chunks of shape (batch, channels, samples), got {values[name].shape}"
            )
    values = {name: turned(array) if name in lasts else array for name, array in values.items()}
    if slots is None:
        outputs, after = _stepped(model, params, state, stream, values, last, None)
        after = replace(after, ended=last)
    else:
        named = named_slots(slots, next(iter(values.values())).shape[0])
        values = {name: only_named(array, named, stream) for name, array in values.items()}
        outputs, after = _stepped_slots(model, params, state, stream, values, last, named)
    outputs = {name: turned(outputs[name]) if name in lasts else outputs[name] for name in model.outputs}
    return outputs[model.outputs[0]] if len(outputs) == 1 else outputs, after


def _stepped_slots(
    model: LayerGraph, params: Tree, state: Tree, pool: Stream, values: Tree, last: bool, named: jax.Array
) -> tuple[Tree, Stream]:
    if last:
        # They end by themselves: for the sessions in other slots nothing has happened.
        return _stepped(model, params, state, take_rows(pool, named), values, True, None)[0], pool
    outputs, after = _stepped(model, params, state, pool, values, False, named)
    if after.structure != pool.structure:
        raise uneven(math.lcm(*(rate.denominator for rate in ratios(model).values() if rate is not None)))
    return outputs, after


def _stepped(
    model: LayerGraph, params: Tree, state: Tree, stream: Stream, given: Tree, last: bool, named: jax.Array | None
) -> tuple[Tree, Stream]:
    """The values of all nodes, and the stream with the chunk."""
    rates, values = ratios(model), dict(given)
    parts = stream.parts
    kept, waiting, rings = dict(parts.kept), dict(parts.waiting), list(parts.rings)
    heads: list[jax.Array] = []
    in_rings = [own for node in model.nodes if isinstance(own := kept.get(node.name), Ring)]
    turns = [] if parts.heads is None else turns_of(in_rings, parts.heads, named)
    for node in model.nodes:
        arrays = params.get(node.key, {}), state.get(node.key, {})
        read = tuple(values[name] for name in node.inputs)
        with name_node_in_errors(node.name):
            if node.name in waiting:
                read, waiting[node.name] = _met(read, waiting[node.name], last, named)
            x = read if node.layer.has_several_inputs else read[0]
            own = kept.get(node.name)
            if isinstance(own, Ring) and parts.heads is not None:
                head, turn = parts.heads[..., len(heads)], turns[len(heads)]
                own = replace(own, samples=rings[own.group], head=head, turn=turn)
            values[node.name], own = _step(node, rates, arrays, own, x, last, named)
        if isinstance(own, Ring):
            rings[own.group] = own.samples
            heads.append(own.head)
            own = replace(own, samples=None, head=None, turn=None)
        if node.name in kept:
            kept[node.name] = own
    return values, _packed(Parts(kept, waiting, tuple(rings), jnp.stack(heads, axis=-1) if heads else None))


def _met(
    read: tuple[jax.Array, ...], waiting: tuple[Any, ...], last: bool, slots: jax.Array | None
) -> tuple[tuple[jax.Array, ...], tuple[Any, ...]]:
    """The samples that all inputs have, and those that wait."""
    whole = [
        new if old is None else joined([take_rows(old, slots), new], axis=1)
        for old, new in zip(waiting, read, strict=True)
    ]
    length = min(array.shape[1] for array in whole)
    if last and any(array.shape[1] != length for array in whole):
        raise ValueError(
            f"inputs end after different numbers of samples, {', '.join(str(a.shape[1]) for a in whole)} more"
        )
    left = [None if array.shape[1] == length else array[:, length:] for array in whole]
    ready = tuple(array if rest is None else _front(array, length) for array, rest in zip(whole, left, strict=True))
    if slots is None:
        return ready, tuple(left)
    return ready, tuple(_put(old, rest, slots) for old, rest in zip(waiting, left, strict=True))


def _front(array: jax.Array, length: int) -> jax.Array:
    # XLA's CPU compiler fails on slices of no samples in some programs.
    return array[:, :length] if length else jnp.zeros((array.shape[0], 0, *array.shape[2:]), array.dtype)


def _put(old: jax.Array | None, rest: jax.Array | None, slots: jax.Array) -> jax.Array | None:
    if (old is None) != (rest is None) or (old is not None and rest is not None and old.shape[1] != rest.shape[1]):
        raise uneven()
    return None if old is None else put_rows(old, rest, slots)
