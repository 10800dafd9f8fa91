"""The task of a network that Keras saved, by default chosen from its output shape."""

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

FORECAST_SHAPE = (1, HORIZON)


def task(
    path: str,
    data: Dataset,
    learning_rate: float | None,
    will_be_proved: bool,
    *,
    optimizer: str | None = None,
    loss: str | None = None,
    kind: str | None = None,
    is_regression: bool = False,
    task_options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Task:
    """The task for the network of a file.

    Args:
        path: the file.
        data: the data set.
        learning_rate: replaces the rate of the file's optimizer; None keeps it.
        will_be_proved: whether the gradients will be proved.
        optimizer: the name of the optimizer that replaces the file's; None keeps it, if the file has one.
        loss: a name in `losses.LOSSES`; by default the loss that the network was compiled with, else cross-entropy for
            classes and the squared error for numbers.
        kind: a name in `TASKS`; by default "forecast" if the network has the output shape of a forecast, else
            "regression" or "classification".
        is_regression: whether the default is "regression" and not "classification".
        task_options: the arguments of each task's function, by name of the task.

    Raises:
        UserError: for a file that cannot be read, and for a network or a loss that does not fit the data.
    """
    model, start = pretrained.load(path, learning_rate, optimizer)
    name = Path(path).name
    if kind is None:
        kind = "forecast" if _is_forecast(model) else "regression" if is_regression else "classification"
    options = dict((task_options or {}).get(kind, {}))
    length, channels = data.x_train.shape[1:]
    output = _output_shape(model, name, (options.get("window", WINDOW) if kind == "forecast" else length, channels))
    found = TASKS[kind](data, model, **options)
    if will_be_proved:
        _check_dtypes(model, name)
    _check_output(found, name, data, output)
    if found.train.lengths is not None and start.training.activity.terms:
        raise UserError(
            f"{name}: has penalties on outputs, which need series of one length; the lengths in {data.name} differ"
        )
    found = found._replace(pretrained=start)
    if loss is not None:
        found = with_loss(found, loss)
    elif start.training.loss is not None:
        return _with_compiled_loss(found, name, output)
    elif start.keeps_optimizer:
        default = "cross-entropy" if found.classes else "squared error"
        words = f"{start.description}; {start.training.why_no_loss}, so {default} is minimized"
        found = found._replace(pretrained=start._replace(description=words))
    if found.classes and _computes_probabilities(model, name):
        return found._replace(
            loss=losses.probability_cross_entropy, loss_reference=losses.probability_cross_entropy_reference
        )
    return found


def _check_output(task: Task, name: str, data: Dataset, output: tuple[int, ...]) -> None:
    """Raise `UserError` unless the output shape of the network fits the task."""
    wanted = (len(task.classes),) if task.classes else task.train.y.shape[1:]
    if task.is_per_sample:
        wanted = (*task.train.x.shape[1:2], *wanted[-1:])
    if output == wanted:
        return
    must = f"it must be {wanted}, or {FORECAST_SHAPE} for a forecast"
    if task.is_per_sample:
        must = f"to {task.kind} it must be {wanted}"
    elif task.classes:
        must = f"{data.name} has {len(task.classes)} classes, so {must}"
    raise UserError(f"{name}: its output for one series is {output}; {must}")


def _with_compiled_loss(task: Task, name: str, output: tuple[int, ...]) -> Task:
    """The task with the loss of the file. Raises `UserError` if it does not fit the targets."""
    assert task.pretrained is not None and task.pretrained.training.loss is not None
    compiled, count = task.pretrained.training.loss, len(task.classes)
    # Some losses take class numbers, the others a one-hot encoding.
    is_one_hot = count > 0 and not compiled.takes_classes[0]

    def loss(y: jax.Array, target: jax.Array) -> jax.Array:
        return compiled(y, jax.nn.one_hot(target, count, dtype=y.dtype) if is_one_hot else target)

    def reference(y: Any, target: Any) -> Any:
        return compiled.reference(y, np.eye(count)[target] if is_one_hot else target)

    y = jax.ShapeDtypeStruct((2, *output), np.float32)
    try:
        jax.eval_shape(loss, y, jax.ShapeDtypeStruct((2,), np.int32) if count else y)
    except (ValueError, TypeError) as error:
        raise UserError(f"{name}: its loss does not fit the data: {error}; --loss replaces it") from None
    words = f"{task.pretrained.description}; its loss {compiled.name}"
    return task._replace(loss=loss, loss_reference=reference, pretrained=task.pretrained._replace(description=words))


def _output_shape(model: Model, name: str, shape: Any) -> Any:
    """The output shape for one series. Raises `UserError` unless the network accepts it."""
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
        return tuple(model.output_shapes()[model.outputs[0]]) == FORECAST_SHAPE
    except ValueError:
        return False


def _check_dtypes(model: Model, name: str) -> None:
    for node in model.nodes:
        if isinstance(node.layer, InDtype) and node.layer.dtype != "float64":
            why = f"computes in {node.layer.dtype}, whose rounding errors exceed the bound of the gradient proof"
            raise UserError(f"{name}: {node.name!r} {why}; --skip-proof trains without it")


def _computes_probabilities(model: Model, name: str) -> bool:
    """Whether the last layer has a softmax; otherwise its outputs are logits."""
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
