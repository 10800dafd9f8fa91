"""A network on series of unequal length: what each node computes, in JAX and as its definition in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jconv import Model, Node
from jconv.layers import BatchNormalization

from ..errors import UserError

Array = np.ndarray[Any, Any]
Tree = Mapping[str, Mapping[str, Any]]


def values(
    model: Model,
    params: Tree,
    state: Tree,
    x: Any,
    lengths: Any = None,
    *,
    training: bool = False,
    key: jax.Array | None = None,
) -> tuple[dict[str, Any], Any]:
    """`model.values`, also of series x (n, length, channels) with padding behind their `lengths` (n,)."""
    if lengths is None:
        return model.values(params, state, x, training=training, key=key)
    names = tuple(node.name for node in model.nodes)
    whole = replace(model, outputs=names)
    (found, _), after = whole.apply(params, state, x, training=training, key=key, lengths=lengths)
    return (found if len(names) > 1 else {model.nodes[0].name: found}), after


def outputs(model: Model, params: Tree, state: Tree, x: Any, lengths: Any = None) -> Any:
    """What the network gives for each series, (n, outputs) or (n, length, outputs), outside training."""
    if lengths is None:
        return model.apply(params, state, x)[0]
    return model.apply(params, state, x, lengths=lengths)[0][0]


def reference(model: Model, params: Tree, state: Tree, x: Array, lengths: Any) -> Array:
    """The outputs in training of a model of one input, in NumPy: each series is computed alone.

    They are (n, outputs), or (n, length, outputs) with zeros behind those of shorter series. Only batch normalization
    sees more than one: all samples of all series, as if they were one.
    """
    found = {model.inputs[0]: [row[None, :length] for row, length in zip(x, lengths, strict=True)]}
    for node in model.nodes:
        call = partial(node.layer.reference, params.get(node.key, {}), state.get(node.key, {}), training=True)
        if _is_batch_normalization(node):
            found[node.name] = _together(call, found[node.inputs[0]])
        else:
            read = zip(*(found[name] for name in node.inputs), strict=True)
            found[node.name] = [call(one if node.layer.has_several_inputs else one[0]) for one in read]
    rows = found[model.outputs[0]]
    if rows[0].ndim == 3:
        longest = max(row.shape[1] for row in rows)
        rows = [np.pad(row, ((0, 0), (0, longest - row.shape[1]), (0, 0))) for row in rows]
    return np.concatenate(rows)


def check(name: str, model: Model, shape: tuple[int, int], lengths: Sequence[int]) -> None:
    """Raise `UserError` unless the model takes series of unequal length, of so many samples.

    `shape` is the length that all are padded to, and the channels.
    """

    def apply(x: jax.Array, lengths: jax.Array) -> Any:
        return model.apply(*model.init(jax.random.key(0), shape), x, lengths=lengths)

    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    try:
        for length in lengths:
            model.output_shapes((length, shape[1]))
        jax.eval_shape(apply, x, jax.ShapeDtypeStruct((1,), jnp.int32))
    except ValueError as error:
        sizes = f"{min(lengths)} to {max(lengths)} samples"
        raise UserError(f"{name}: series are of {sizes}, which the network cannot take: {error}") from None


def _is_batch_normalization(node: Node) -> bool:
    layer: Any = node.layer
    while hasattr(layer, "layer"):
        layer = layer.layer
    return isinstance(layer, BatchNormalization)


def _together(call: Callable[[Array], Array], rows: list[Array]) -> list[Array]:
    """The layer's values for each row (1, length, channels) or (1, channels), computed for all of them at once."""
    axis = rows[0].ndim - 2
    ends = np.cumsum([row.shape[axis] for row in rows])
    return np.split(call(np.concatenate(rows, axis)), ends[:-1], axis)
