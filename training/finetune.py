"""A data set and a network that Keras saved, joined: what the network puts out says what is learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jconv import Model
from jconv.layers import ChannelsFirst, Frozen, InDtype, Softmax

from . import losses, pretrained
from .datasets import Dataset
from .errors import UserError
from .tasks import HORIZON, Task, classification, forecast

FORECAST = (1, HORIZON)


def task(path: str, data: Dataset, learning_rate: float | None, proved: bool) -> Task:
    """Tell the classes apart with the network of a file, or forecast with it, as its output says.

    `learning_rate` takes the place of its optimizer's where it is not None; `proved` says that the gradients are to be
    proved. Raises `UserError` for a file that cannot be read and a network that does not fit the data.
    """
    model, start = pretrained.load(path, learning_rate)
    name = Path(path).name
    output = _output_shape(model, name, data.x_train.shape[1:])
    found = forecast(data) if output == FORECAST else classification(data)
    _check_types(model, name, proved)
    if output == FORECAST:
        _output_shape(model, name, found.train.x.shape[1:])
        return found._replace(model=model, start=start)
    classes = len(found.classes)
    if output != (classes,):
        raise UserError(
            f"{name}: its output for one series is {output}; {data.name} has {classes} classes, so it must be "
            f"{(classes,)}, or {FORECAST} for a forecast"
        )
    found = found._replace(model=model, start=start)
    if _gives_probabilities(model, name):
        return found._replace(
            loss=losses.probability_cross_entropy, loss_reference=losses.probability_cross_entropy_reference
        )
    return found


def _output_shape(model: Model, name: str, shape: Any) -> Any:
    """The output's shape for one series of a shape."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UserError(f"{name}: has {len(model.inputs)} inputs and {len(model.outputs)} outputs; one of each is read")
    series: tuple[Any, ...] = tuple(shape)
    wanted: tuple[Any, ...] = (model.input_shapes or (series,))[0]
    # A forecast reads windows of the series.
    given = (wanted[0], *series[1:]) if _is_forecast(model) else series
    if len(wanted) != len(given) or any(w not in (None, g) for w, g in zip(wanted, given, strict=True)):
        raise UserError(f"{name}: its input is {wanted}, samples and channels, and the series are {series}")
    try:
        return tuple(model.output_shapes(given)[model.outputs[0]])
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
    """Whether the last layer is a softmax; one without activation gives logits."""
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
