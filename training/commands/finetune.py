"""The task of a network that Keras saved: its output shape decides what is learned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jconv import Model
from jconv.layers import ChannelsFirst, Frozen, InDtype, Softmax

from ..data.datasets import Dataset
from ..errors import UserError
from ..networks import pretrained
from ..tasks import HORIZON, TASKS, WINDOW, Task, losses, output_shape, with_loss

FORECAST = (1, HORIZON)


def task(
    path: str,
    data: Dataset,
    learning_rate: float | None,
    proved: bool,
    *,
    optimizer: str | None = None,
    loss: str | None = None,
    kind: str | None = None,
    is_regression: bool = False,
    own: Mapping[str, Mapping[str, Any]] | None = None,
) -> Task:
    """The task `kind` in `TASKS`, with the options in `own` for it, for the network of a file.

    Without `kind` it is a forecast if the output shape is that of one, else a regression or a classification. The loss
    is the one that the network was compiled with, else cross-entropy or, for numbers, the squared error; `loss` names
    another one, `optimizer` a new optimizer in place of the file's, and `learning_rate` replaces its rate unless None.
    `proved` says that the gradients will be proved. Raises `UserError` for a file that cannot be read, and for a
    network or a loss that does not fit the data.
    """
    model, start = pretrained.load(path, learning_rate, optimizer)
    name = Path(path).name
    if kind is None:
        kind = "forecast" if _is_forecast(model) else "regression" if is_regression else "classification"
    options = dict((own or {}).get(kind, {}))
    length, channels = data.x_train.shape[1:]
    output = _output_shape(model, name, (options.get("window", WINDOW) if kind == "forecast" else length, channels))
    found = TASKS[kind](data, model, **options)
    _check_types(model, name, proved)
    _check_output(found, name, data, output)
    if found.train.lengths is not None and start.training.activity.terms:
        raise UserError(
            f"{name}: has penalties on outputs, which are for series of one length; those of {data.name} differ"
        )
    found = found._replace(pretrained=start)
    if loss is not None:
        found = with_loss(found, loss)
    elif start.training.loss is not None:
        return _with_own_loss(found, name, output)
    elif start.keeps_optimizer:
        instead = "cross-entropy" if found.classes else "squared error"
        words = f"{start.description}; {start.training.why_no_loss}, so {instead} is minimized"
        found = found._replace(pretrained=start._replace(description=words))
    if found.classes and _gives_probabilities(model, name):
        return found._replace(
            loss=losses.probability_cross_entropy, loss_reference=losses.probability_cross_entropy_reference
        )
    return found


def _check_output(task: Task, name: str, data: Dataset, output: tuple[int, ...]) -> None:
    """Raise `UserError` unless the network has the output shape of the task."""
    wanted = (len(task.classes),) if task.classes else task.train.y.shape[1:]
    if task.is_per_sample:
        wanted = (*task.train.x.shape[1:2], *wanted[-1:])
    if output == wanted:
        return
    must = f"it must be {wanted}, or {FORECAST} for a forecast"
    if task.is_per_sample:
        must = f"to {task.kind} it must be {wanted}"
    elif task.classes:
        must = f"{data.name} has {len(task.classes)} classes, so {must}"
    raise UserError(f"{name}: its output for one series is {output}; {must}")


def _with_own_loss(task: Task, name: str, output: tuple[int, ...]) -> Task:
    """The task with the loss of the file. Raises `UserError` if it does not fit the targets."""
    assert task.pretrained is not None and task.pretrained.training.loss is not None
    own, count = task.pretrained.training.loss, len(task.classes)
    # Some losses take class numbers, the others a one-hot encoding.
    spread = count > 0 and not own.takes_classes[0]

    def loss(y: jax.Array, target: jax.Array) -> jax.Array:
        return own(y, jax.nn.one_hot(target, count, dtype=y.dtype) if spread else target)

    def reference(y: Any, target: Any) -> Any:
        return own.reference(y, np.eye(count)[target] if spread else target)

    of_targets = jax.ShapeDtypeStruct((2,), np.int32) if count else jax.ShapeDtypeStruct((2, *output), np.float32)
    try:
        jax.eval_shape(loss, jax.ShapeDtypeStruct((2, *output), np.float32), of_targets)
    except (ValueError, TypeError) as error:
        raise UserError(f"{name}: its loss does not fit the data: {error}; --loss names another") from None
    words = f"{task.pretrained.description}; its loss {own.name}"
    return task._replace(loss=loss, loss_reference=reference, pretrained=task.pretrained._replace(description=words))


def _output_shape(model: Model, name: str, shape: Any) -> Any:
    """The output shape for one series of a shape."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UserError(f"{name}: has {len(model.inputs)} inputs and {len(model.outputs)} outputs, not one of each")
    series: tuple[Any, ...] = tuple(shape)
    wanted: tuple[Any, ...] = (model.input_shapes or (series,))[0]
    if len(wanted) != len(series) or any(w not in (None, g) for w, g in zip(wanted, series, strict=True)):
        raise UserError(f"{name}: its input is {wanted}, samples and channels, and the series are {series}")
    try:
        return output_shape(model, series)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from None


def _is_forecast(model: Model) -> bool:
    if not model.input_shapes:
        return False
    try:
        return tuple(model.output_shapes()[model.outputs[0]]) == FORECAST
    except ValueError:
        return False


def _check_types(model: Model, name: str, proved: bool) -> None:
    typed = [node for node in model.nodes if isinstance(node.layer, InDtype) and node.layer.dtype != "float64"]
    if typed and proved:
        node = typed[0]
        raise UserError(
            f"{name}: {node.name!r} computes in {getattr(node.layer, 'dtype', '')}, whose rounding the proof of the "
            "gradients would take for errors; --skip-proof trains without it"
        )


def _gives_probabilities(model: Model, name: str) -> bool:
    """Whether the last layer is a softmax, rather than giving logits."""
    node = next(node for node in model.nodes if node.name == model.outputs[0])
    layer: Any = node.layer
    while isinstance(layer, (ChannelsFirst, Frozen, InDtype)):
        layer = layer.layer
    activation = "softmax" if isinstance(layer, Softmax) else getattr(layer, "activation", None)
    if activation not in (None, "linear", "softmax"):
        raise UserError(
            f"{name}: its last layer, {node.name!r}, has the activation {activation}; it must be softmax or none"
        )
    return activation == "softmax"
