"""Mixed precision: layers compute in a 16-bit float; params, statistics, loss and optimizer stay in float32."""

from __future__ import annotations

from dataclasses import replace

from jconv.layers import InDtype

from ..tasks import Task

SIXTEEN_BIT = ("bfloat16", "float16")
PRECISIONS = ("float32", *SIXTEEN_BIT)


def with_precision(task: Task, precision: str | None) -> Task:
    """The task whose layers compute in `precision` if that is a 16-bit float; the last layer stays in float32.

    Used in training only: the network that is saved and evaluated is the original one.
    """
    if precision not in SIXTEEN_BIT:
        return task
    outputs = task.model.outputs
    nodes = tuple(
        replace(node, layer=InDtype(node.layer, "float32" if node.name in outputs else precision))
        for node in task.model.nodes
    )
    return task._replace(model=replace(task.model, nodes=nodes))
