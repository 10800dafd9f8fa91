"""What the last layer with params reads of each series, and the plane in which a set of such vectors spreads most."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import unequal
from .tasks import Examples, Task

Array = np.ndarray[Any, Any]
Tree = dict[str, dict[str, Any]]

# A picture has no room for more points, nor a decomposition time.
MOST = 1000


def spread(count: int) -> Array:
    """The numbers of at most a thousand series, spread evenly over `count`, in their order.

    >>> spread(3), len(spread(5000)), spread(5000)[-1]
    (array([0, 1, 2]), 1000, np.int64(4999))
    """
    return np.linspace(0, count - 1, min(count, MOST)).round().astype(int)


def of(task: Task, params: Tree, state: Tree, examples: Examples) -> Array:
    """What the last layer with params reads, (n, features), of each of the examples; means where it has a length."""
    nodes = {node.name: node for node in task.model.nodes}
    node = nodes[task.model.outputs[0]]
    while node.key not in params and len(node.inputs) == 1 and node.inputs[0] in nodes:
        node = nodes[node.inputs[0]]
    read = node.inputs[0]

    @jax.jit
    def read_of(params: Tree, state: Tree, x: jax.Array, lengths: Any) -> jax.Array:
        def one(series: tuple[jax.Array, Any]) -> jax.Array:
            x, length = series[0][None], None if series[1] is None else series[1][None]
            value = (unequal.values(task.model, params, state, x, length)[0][read] if read in nodes else x)[0]
            return value if value.ndim == 1 else value.mean(axis=tuple(range(value.ndim - 1)))

        return jax.lax.map(one, (x, lengths), batch_size=256)

    x = jnp.asarray(examples.x, jax.tree.leaves(params)[0].dtype)
    return np.asarray(read_of(params, state, x, examples.lengths), np.float64)


def plane(points: Array) -> tuple[Array, Array, Array]:
    """`(center, axes, shares)` of points (n, features): the two directions (2, features) of the largest variance.

    `shares` (2,) are their parts of all variance. Where the points lie on a line, or in one place, the axes that are
    missing are zeros.

    >>> center, axes, shares = plane(np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]]))
    >>> center.tolist(), abs(axes).tolist(), shares.tolist()
    ([2.0, 1.0], [[1.0, 0.0], [0.0, 0.0]], [1.0, 0.0])
    """
    center = points.mean(axis=0)
    _, sizes, axes = np.linalg.svd(points - center, full_matrices=False)
    variances = np.zeros(2)
    two = np.zeros((2, points.shape[1]))
    real = min(2, int((sizes > 1e-12 * max(sizes[0], 1e-300)).sum())) if len(sizes) else 0
    two[:real], variances[:real] = axes[:real], sizes[:real] ** 2
    return center, two, variances / max(float((sizes**2).sum()), np.finfo(float).tiny)
