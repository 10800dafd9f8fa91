"""The model in a file, and the shapes of inputs that it accepts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..keras import load
from ..model.graph import Model, Tree
from ..model.nodes import fill_sizes
from .errors import UserError

Shapes = dict[str, Any]


class ModelFile(NamedTuple):
    """A model with its arrays, and the shape of one example of each input by name, with None for an unknown size."""

    model: Model
    params: Tree
    state: Tree
    shapes: dict[str, tuple[int | None, ...]]

    @property
    def dtypes(self) -> dict[str, Any]:
        """The type of each input by name: int32 for the indices that an embedding reads, else float32."""
        integers = self.model.integer_inputs()
        return {name: np.int32 if name in integers else np.float32 for name in self.shapes}


def load_model(options: argparse.Namespace) -> ModelFile:
    """Load the model from the file in the options.

    Raises the errors of `jconv.keras.load`, and `UserError` for a file without the shapes of the model's inputs.
    """
    path: Path = options.file
    model, params, state = load(path, input_shape=options.input_shape, max_bytes=options.max_bytes)
    if model.input_shapes is None:
        raise UserError(f"{path.name}: the file does not contain the shapes of the model's inputs")
    return ModelFile(model, params, state, {name: tuple(shape) for name, shape in model.named_shapes().items()})


def has_unknown_size(shapes: Shapes) -> bool:
    """Whether a size of any input is unknown."""
    return any(None in shape for shape in shapes.values())


def choose_sizes(model: Model, shapes: Shapes, length: int | None) -> dict[str, tuple[int, ...]]:
    """The shapes with `length` for each unknown size; if `length` is None, with a length that the model accepts.

    Raises `UserError` for a `length` if no size is unknown or the model does not accept it, and if no length is found.
    """
    if not has_unknown_size(shapes):
        if length is not None:
            raise UserError(
                f"--length {length}: the model has no unknown length; its inputs are {format_shapes(shapes)}"
            )
        return fill_sizes(shapes, 0)
    if length is not None:
        filled = fill_sizes(shapes, length)
        if reason := model.why_refused(filled):
            raise UserError(f"--length {length}: {reason}")
        return filled
    try:
        return model.accepted_shapes(shapes)
    except ValueError as error:
        raise UserError("found no length that the model accepts; set one with --length") from error


def format_shapes(shapes: Shapes) -> str:
    """Inputs by name for a message: `x (100, 3), y (5,)`."""
    return ", ".join(f"{name} {format_shape(shape)}" for name, shape in shapes.items())


def format_shape(shape: Any, batch: str = "") -> str:
    """A shape for a message: the word `batch`, if any, then the sizes, with `any` for unknown ones.

    >>> format_shape((None, 3), "examples")
    '(examples, any, 3)'
    """
    sizes = [batch] * bool(batch) + ["any" if size is None else str(size) for size in shape]
    return f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"
