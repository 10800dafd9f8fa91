"""The model of a file, and the shapes that its inputs may have."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ..keras import load
from ..layers.base import Layer
from ..layers.embedding import Embedding
from ..model.graph import Model, Tree
from .errors import UserError

# What a length that the file leaves open is tried to be, from the first on.
SOME_LENGTHS = tuple(2**n for n in range(6, 21))


class Opened(NamedTuple):
    """A model with its arrays, and one example's shape of each input by its name, None where a size is open."""

    model: Model
    params: Tree
    state: Tree
    shapes: dict[str, tuple[int | None, ...]]


def opened(path: Path, max_bytes: int | None) -> Opened:
    """The model of a file.

    Raises what `jconv.keras.load` raises, and `UserError` for a model that does not say the shapes of its inputs.
    """
    model, params, state = load(path) if max_bytes is None else load(path, max_bytes=max_bytes)
    if model.input_shapes is None:
        raise UserError(f"{path.name}: the file does not say the shapes of the model's inputs")
    return Opened(model, params, state, {name: tuple(shape) for name, shape in model.named_shapes().items()})


def is_open(shapes: dict[str, Any]) -> bool:
    """Whether a size of any input is open."""
    return any(None in shape for shape in shapes.values())


def filled(shapes: dict[str, Any], length: int) -> dict[str, tuple[int, ...]]:
    """The shapes with `length` for every open size.

    >>> filled({"x": (None, 3), "y": (5,)}, 100)
    {'x': (100, 3), 'y': (5,)}
    """
    return {name: tuple(length if size is None else size for size in shape) for name, shape in shapes.items()}


def refusal(model: Model, shapes: dict[str, Any]) -> str | None:
    """Why a model does not take inputs of these shapes; None where it does."""
    try:
        model.output_shapes(shapes)
    except ValueError as error:
        return str(error)
    return None


def closed(model: Model, shapes: dict[str, Any], length: int | None) -> dict[str, tuple[int, ...]]:
    """The shapes with `length`, by default one that the model takes, for every open size.

    Raises `UserError` for a `length` where no size is open or that the model does not take, and where none is found.
    """
    if not is_open(shapes):
        if length is not None:
            raise UserError(f"--length {length}: the file leaves no length open, inputs have shapes {shown(shapes)}")
        return filled(shapes, 0)
    if length is not None:
        if why := refusal(model, filled(shapes, length)):
            raise UserError(f"--length {length}: {why}")
        return filled(shapes, length)
    for some in SOME_LENGTHS:
        if refusal(model, filled(shapes, some)) is None:
            return filled(shapes, some)
    raise UserError("no length was found that the model takes; say one with --length")


def whole_numbers(model: Model) -> dict[str, int]:
    """The inputs that an embedding reads, with the least number of rows that one of those has."""
    rows: dict[str, int] = {}
    for node in reversed(model.nodes):
        limit = _rows(node.layer) or rows.get(node.name)
        if limit:
            rows |= {name: min(limit, rows.get(name, limit)) for name in node.inputs}
    return {name: rows[name] for name in model.inputs if name in rows}


def _rows(layer: Any) -> int | None:
    while not isinstance(layer, Embedding) and isinstance(getattr(layer, "layer", None), Layer):
        layer = layer.layer
    return layer.input_dim if isinstance(layer, Embedding) else None


def shown(shapes: dict[str, Any], batch: str = "") -> str:
    """Inputs by name for a message: `x (100, 3), y (5,)`."""
    return ", ".join(f"{name} {_shape(shape, batch)}" for name, shape in shapes.items())


def _shape(shape: Any, batch: str) -> str:
    sizes = [batch] * bool(batch) + ["any" if size is None else str(size) for size in shape]
    return f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"
