"""A network on series of unequal length: the outputs of its nodes in JAX, and their definition in NumPy."""

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

from ..arrays import Array
from ..errors import UserError

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
    """`model.values`, also for series x (n, length, channels) that are padded after `lengths` (n,) samples."""
    if lengths is None:
        return model.values(params, state, x, training=training, key=key)
    names = tuple(node.name for node in model.nodes)
    with_all_outputs = replace(model, outputs=names)
    (found, _), after = with_all_outputs.apply(params, state, x, training=training, key=key, lengths=lengths)
    return (found if len(names) > 1 else {model.nodes[0].name: found}), after


def outputs(model: Model, params: Tree, state: Tree, x: Any, lengths: Any = None) -> Any:
    """The outputs for each series, (n, outputs) or (n, length, outputs), outside training."""
    if lengths is None:
        return model.apply(params, state, x)[0]
    return model.apply(params, state, x, lengths=lengths)[0][0]


def reference(model: Model, params: Tree, state: Tree, x: Array, lengths: Any) -> Array:
    """The outputs in training of a model with one input, in NumPy: (n, outputs), or (n, length, outputs) with padding.

    Each series is computed alone, except that batch normalization reads the samples of all series as if they were one.
    """
    found = {model.inputs[0]: [row[None, :length] for row, length in zip(x, lengths, strict=True)]}
    for node in model.nodes:
        call = partial(node.layer.reference, params.get(node.key, {}), state.get(node.key, {}), training=True)
        if _is_batch_normalization(node):
            found[node.name] = _call_concatenated(call, found[node.inputs[0]])
        else:
            inputs = zip(*(found[name] for name in node.inputs), strict=True)
            found[node.name] = [call(one if node.layer.has_several_inputs else one[0]) for one in inputs]
    rows = found[model.outputs[0]]
    if rows[0].ndim == 3:
        longest = max(row.shape[1] for row in rows)
        rows = [np.pad(row, ((0, 0), (0, longest - row.shape[1]), (0, 0))) for row in rows]
    return np.concatenate(rows)


def check(name: str, model: Model, shape: tuple[int, int], lengths: Sequence[int]) -> None:
    """Raise `UserError`, which names the data, unless the model accepts series of these lengths.

    `shape` is (length, channels) of the padded series.
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
        raise UserError(f"{name}: series have {sizes}, which the network does not accept: {error}") from None


def _is_batch_normalization(node: Node) -> bool:
    layer: Any = node.layer
    while hasattr(layer, "layer"):
        layer = layer.layer
    return isinstance(layer, BatchNormalization)


def _call_concatenated(call: Callable[[Array], Array], rows: list[Array]) -> list[Array]:
    """Call a layer with all rows, (1, length, channels) or (1, channels), concatenated, and split the result."""
    axis = rows[0].ndim - 2
    ends = np.cumsum([row.shape[axis] for row in rows])
    return np.split(call(np.concatenate(rows, axis)), ends[:-1], axis)
