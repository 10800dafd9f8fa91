"""Embeddings: the input of the last layer with params for each series, and their first two principal components."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..arrays import Array, Tree
from ..tasks import Examples, Task

# The largest number of points that a picture has room for.
MAX_POINTS = 1000


def spread(count: int) -> Array:
    """The indices of at most 1,000 of `count` series, evenly spaced.

    >>> spread(3), len(spread(5000)), spread(5000)[-1]
    (array([0, 1, 2]), 1000, np.int64(4999))
    """
    return np.linspace(0, count - 1, min(count, MAX_POINTS)).round().astype(int)


def embed(task: Task, params: Tree, state: Tree, examples: Examples) -> Array:
    """The input of the last layer with params for each series, (n, features); the mean over time if it has a length."""
    nodes = {node.name: node for node in task.model.nodes}
    node = nodes[task.model.outputs[0]]
    while node.key not in params and len(node.inputs) == 1 and node.inputs[0] in nodes:
        node = nodes[node.inputs[0]]
    read = node.inputs[0]
    with_all_outputs = replace(task.model, outputs=tuple(nodes))

    def one(series: Any) -> jax.Array:
        x, lengths = jax.tree.map(lambda part: part[None], series)
        if read not in nodes:
            value, own = x, lengths
        elif lengths is None:
            value, own = task.model.values(params, state, x)[0][read], None
        else:
            (values, owns), _ = with_all_outputs.apply(params, state, x, lengths=lengths)
            value, own = values[read], owns[read]
        if value.ndim == 2:
            return value[0]
        kept = jnp.arange(value.shape[1]) < (value.shape[1] if own is None else own[0])
        return jnp.mean(value[0], axis=tuple(range(value.ndim - 2)), where=kept.reshape(-1, *[1] * (value.ndim - 2)))

    dtype = jax.tree.leaves(params)[0].dtype
    lengths = None if examples.lengths is None else jnp.asarray(examples.lengths, jnp.int32)
    found = jax.jit(lambda *series: jax.lax.map(one, series, batch_size=256))(jnp.asarray(examples.x, dtype), lengths)
    return np.asarray(found, np.float64)


def plane(points: Array) -> tuple[Array, Array, Array]:
    """`(center, axes, shares)` of points (n, features): the two principal axes (2, features).

    `shares` (2,) are their fractions of the variance. If the points lie on a line or coincide, missing axes are zeros.

    >>> center, axes, shares = plane(np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]]))
    >>> center.tolist(), abs(axes).tolist(), shares.tolist()
    ([2.0, 1.0], [[1.0, 0.0], [0.0, 0.0]], [1.0, 0.0])
    """
    center = points.mean(axis=0)
    _, sizes, axes = np.linalg.svd(points - center, full_matrices=False)
    variances = np.zeros(2)
    two = np.zeros((2, points.shape[1]))
    rank = min(2, int((sizes > 1e-12 * max(sizes[0], 1e-300)).sum())) if len(sizes) else 0
    two[:rank], variances[:rank] = axes[:rank], sizes[:rank] ** 2
    return center, two, variances / max(float((sizes**2).sum()), np.finfo(float).tiny)
