"""Mixed precision: the network computes in a half type, while params, statistics, loss and optimizer are float32."""

from __future__ import annotations

from dataclasses import replace

from jconv.layers import InDtype

from ..tasks import Task

HALF = ("bfloat16", "float16")
PRECISIONS = ("float32", *HALF)


def computing(task: Task, precision: str | None) -> Task:
    """The task as training computes it: each layer in a half type, the last in float32, for the sake of the loss.

    Layers sum in float32, and those that normalize keep their arrays in it (`jconv.layers.InDtype`). What is saved and
    evaluated is the network without that.
    """
    if precision not in HALF:
        return task
    outputs = task.model.outputs
    nodes = tuple(
        replace(node, layer=InDtype(node.layer, "float32" if node.name in outputs else precision))
        for node in task.model.nodes
    )
    return task._replace(model=replace(task.model, nodes=nodes))
