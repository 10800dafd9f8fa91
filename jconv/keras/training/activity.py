"""Keras's regularizers of what layers put out, as a penalty on the values of a model's nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...layers import Bidirectional
from ...layers.base import is_tuple_of_shapes
from ...layers.nesting import unwrap
from ...model.graph import Model
from ..files.errors import error_context
from ..kinds.config import Config
from ..read.parts import Part
from .named import check_all_read, one_of_table
from .regularizers import REGULARIZERS, Orthogonal, Sum
from .weight_options import Piece, pieces_of

OPTION = "activity_regularizer"
# Keras gives their regularizer to each of the projections inside.
ATTENTIONS = ("MultiHeadAttention", "GroupQueryAttention", "GroupedQueryAttention")


@dataclass(frozen=True)
class Activity:
    """The sum of what regularizers give for nodes' outputs, each divided by the size of the batch.

    `terms` are pairs of a node's name and its regularizer, a pair a call; every output of a node counts.

    >>> activity = Activity((("dense", Sum(l2=0.5)),))
    >>> float(activity({"dense": jnp.array([[1.0, 2.0], [0.0, 1.0]])}))
    1.5
    """

    terms: tuple[tuple[str, Sum | Orthogonal], ...]

    def __call__(self, values: Mapping[str, Any]) -> jax.Array:
        """The penalty, a scalar, of the values that `Model.values` gives."""
        found = [term.jax(y) / len(y) for name, term in self.terms for y in jax.tree.leaves(values[name])]
        return sum(found, start=jnp.zeros(()))

    def reference(self, values: Mapping[str, Any]) -> Any:
        """The same in NumPy, of the values that `Model.reference_values` gives, float64 or complex128."""
        leaves = [(term, np.asarray(y)) for name, term in self.terms for y in jax.tree.leaves(values[name])]
        return sum(term.numpy(y) / len(y) for term, y in leaves)


def read_activity(root: Part, model: Model) -> Activity:
    """The penalty that the file's layers put on what they put out.

    Raises `KerasFileError` for a regularizer that is not Keras's own, and for one of a layer inside another whose
    outputs cannot be told from those of the outer one.
    """
    terms: list[tuple[str, Sum | Orthogonal]] = []
    for part in root.leaves():
        calls = [node.name for node in model.nodes if node.key == part.key]
        for term in _terms_of(part):
            with error_context(f"{part.place}: {OPTION}"):
                _check(term, part)
            terms += [(name, term) for name in calls]
    return Activity(tuple(terms))


def _check(term: Sum | Orthogonal, part: Part) -> None:
    assert part.layer is not None
    shapes: Any = part.layer.output_shape(part.input_shape)
    for shape in shapes if is_tuple_of_shapes(shapes) else (shapes,):
        if isinstance(term, Orthogonal) and len(shape) != 1:
            raise ValueError(f"the orthogonal regularizer is of a matrix, and an output has the shape {(None, *shape)}")


def _terms_of(part: Part) -> list[Sum | Orthogonal]:
    """The regularizers of a layer's outputs."""
    found = {piece.prefix: (piece, term) for piece in pieces_of(part) if (term := _term(piece)) is not None}
    sides = [found[prefix][1] for prefix in ("forward/", "backward/") if prefix in found]
    layer = unwrap(part.layer)
    beside = isinstance(layer, Bidirectional) and layer.merge_mode in ("concat", None)
    if beside and len(sides) == 2 and sides[0] == sides[1] and isinstance(sides[0], Sum):
        # Both sides' outputs stand beside each other in the layer's own, so their sums add up to one over all.
        found["forward/backward"] = found.pop("forward/")
        del found["backward/"]
    for prefix, (piece, _) in found.items():
        if prefix not in ("", "forward/backward") or part.class_name in ATTENTIONS:
            Config(piece.config, piece.place).fail(
                f"has an {OPTION} on what a layer inside it puts out, which jconv does not have in training"
            )
    return [term for _, term in found.values()]


def _term(piece: Piece) -> Sum | Orthogonal | None:
    """The regularizer of what a layer puts out; None where it has none."""
    value, place = piece.config.get(OPTION), f"{piece.place}: {OPTION}"
    if piece.class_name == "ActivityRegularization":
        value = {"class_name": "L1L2", "config": {name: piece.config.get(name, 0.0) for name in ("l1", "l2")}}
    if value is None:
        return None
    read, config = one_of_table(REGULARIZERS, value, place, "the regularizer")
    term = read(config)
    check_all_read(config)
    return None if term == Sum() else term
