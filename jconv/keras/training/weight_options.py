"""What a file's layers say of single arrays, such as `kernel_regularizer`, and which trained arrays it means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from ..files.errors import KerasFileError, error_context
from ..read.layer import MODELS
from ..read.parts import Part

# The word before `_regularizer` and the last part of the names of the arrays that it means. An attention's `kernel`
# is the kernel of each of its projections.
ARRAYS = {
    "kernel": ("kernel",),
    "bias": ("bias",),
    "recurrent": ("recurrent_kernel",),
    "depthwise": ("depthwise_kernel", "kernel"),
    "pointwise": ("pointwise_kernel",),
    "gamma": ("gamma",),
    "beta": ("beta",),
    "alpha": ("alpha",),
    "embeddings": ("embeddings",),
}
# Keys under which a layer's config holds another layer, and what the names of that one's arrays then begin with.
INNER = {
    "layer": "layer",
    "backward_layer": "backward",
    "cell": "cell",
    "activation": "activation",
    "recurrent_activation": "recurrent_activation",
}


# What is no option of an array.
OF_OUTPUTS = ("activity_regularizer",)


@dataclass(frozen=True)
class Attached:
    """The `value` of an option, and the trained array in params that it means, of a `shape`."""

    key: str
    array: str
    shape: tuple[int, ...]
    value: Any
    place: str

    def check(self, function: Callable[[jax.Array], Any]) -> None:
        """Raise `KerasFileError` where a function cannot take an array of this shape."""
        with error_context(f"{self.place} does not fit an array of shape {self.shape}"):
            jax.eval_shape(function, jax.ShapeDtypeStruct(self.shape, jnp.float32))


def attached(root: Part, suffix: str) -> list[Attached]:
    """Every option whose key ends in `suffix`, by the trained arrays that it means; frozen arrays have none.

    Raises `KerasFileError` for an option of arrays that jconv does not know.
    """
    found = []
    for part in (leaf for leaf in root.leaves() if leaf.used):
        assert part.layer is not None
        with error_context(part.place):
            shapes = part.layer.param_shapes(part.input_shape)
        for piece in pieces_of(part):
            for option, value in piece.config.items():
                if option.endswith(suffix) and value is not None and option not in OF_OUTPUTS:
                    place = f"{piece.place}: {option}"
                    if option.removesuffix(suffix) not in ARRAYS:
                        raise KerasFileError(f"{place} is not one that jconv has")
                    last = ARRAYS[option.removesuffix(suffix)]
                    for name, shape in shapes.items():
                        if name.startswith(piece.prefix) and name.rpartition("/")[2] in last:
                            found.append(Attached(part.key, name, tuple(shape), value, place))
    return found


@dataclass(frozen=True)
class Piece:
    """The config of a layer, or of one inside it, and what the names of its arrays begin with."""

    class_name: str
    config: Mapping[str, Any]
    prefix: str
    place: str


def pieces_of(part: Part) -> Iterator[Piece]:
    """The config of a part's layer, then those of the layers inside it."""
    return pieces_in(part.class_name, part.config, f"layer {part.name!a}")


def pieces_in(class_name: str, config: Mapping[str, Any], place: str) -> Iterator[Piece]:
    """The config of a layer of a class, then those of the layers inside it."""
    return _pieces(class_name, config, "", place)


def _pieces(class_name: str, config: Mapping[str, Any], prefix: str, place: str) -> Iterator[Piece]:
    yield Piece(class_name, config, prefix, place)
    if class_name in MODELS:
        for entry in config.get("layers", []):
            yield from _below(entry, f"{prefix}{_name(entry)}", place)
        return
    for key, value in config.items():
        if key in INNER:
            begins = [INNER[key]]
            if class_name == "Bidirectional" and key == "layer":
                # One that has no layer for the way back takes this one for both ways.
                begins = ["forward"] if config.get("backward_layer") else ["forward", "backward"]
            # The layer in the place of an Activation's function has the arrays itself.
            begins = [""] if class_name == "Activation" else begins
            for begin in begins:
                yield from _below(value, f"{prefix}{begin}", f"{place}, {key}")


def _below(entry: Any, prefix: str, place: str) -> Iterator[Piece]:
    if isinstance(entry, dict) and isinstance(entry.get("config"), dict):
        prefix = f"{prefix}/" if prefix and not prefix.endswith("/") else prefix
        yield from _pieces(str(entry.get("class_name")), entry["config"], prefix, place)


def _name(entry: Any) -> Any:
    config = entry.get("config") if isinstance(entry, dict) else None
    return config.get("name") if isinstance(config, dict) else None
