"""Options of layers for single arrays, such as `kernel_regularizer`, and the trained arrays that they apply to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from ..files.errors import KerasFileError, error_context
from ..kinds.config import Config
from ..read.layer import MODELS
from ..read.parts import ModelPart
from .objects import read_object

Function = TypeVar("Function", bound=Callable[[jax.Array], Any])

# The word before `_regularizer`, and the last parts of the names of the arrays that it applies to. The `kernel` of an
# attention layer is the kernel of each of its projections.
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
# Keys of a layer's config that contain another layer, and the prefix of the names of its arrays.
INNER_LAYERS = {
    "layer": "layer",
    "backward_layer": "backward",
    "cell": "cell",
    "activation": "activation",
    "recurrent_activation": "recurrent_activation",
}
ACTIVITY_REGULARIZER = "activity_regularizer"


def read_array_options(
    root: ModelPart, kind: str, table: Mapping[str, Callable[[Config], Function]]
) -> list[tuple[str, str, Function]]:
    """`(key, name, function)` for each trained array with an option such as `kernel_constraint`, of the `kind`.

    The functions in `table` read the option's value, by the name of its class. Raises `KerasFileError` for an option of
    arrays that are not in `ARRAYS`, for a class that is not in the table, and for a function that does not accept the
    array.
    """
    found = []
    suffix = f"_{kind}"
    for part in (leaf for leaf in root.leaves() if leaf.used):
        assert part.layer is not None
        with error_context(part.place):
            shapes = part.layer.param_shapes(part.input_shape)
        for layer in layer_configs(part):
            for option, value in layer.config.items():
                if option.endswith(suffix) and value is not None and option != ACTIVITY_REGULARIZER:
                    place = f"{layer.place}: {option}"
                    if option.removesuffix(suffix) not in ARRAYS:
                        raise KerasFileError(f"{place} is not supported")
                    suffixes = ARRAYS[option.removesuffix(suffix)]
                    for name, shape in shapes.items():
                        if name.startswith(layer.prefix) and name.rpartition("/")[2] in suffixes:
                            function = read_object(table, value, place, f"the {kind}")
                            with error_context(f"{place} does not fit an array of shape {tuple(shape)}"):
                                jax.eval_shape(function, jax.ShapeDtypeStruct(shape, jnp.float32))
                            found.append((part.key, name, function))
    return found


@dataclass(frozen=True)
class LayerConfig:
    """The config of a layer or of a layer inside it, and the prefix of the names of its arrays."""

    class_name: str
    config: Mapping[str, Any]
    prefix: str
    place: str


def layer_configs(part: ModelPart) -> Iterator[LayerConfig]:
    """The config of a layer, then those of the layers inside it."""
    return _configs(part.class_name, part.config, "", f"layer {part.name!a}")


def _configs(class_name: str, config: Mapping[str, Any], prefix: str, place: str) -> Iterator[LayerConfig]:
    yield LayerConfig(class_name, config, prefix, place)
    if class_name in MODELS:
        for entry in config.get("layers", []):
            yield from _inner_configs(entry, prefix, None, place)
        return
    for key, value in config.items():
        if key in INNER_LAYERS:
            names = [INNER_LAYERS[key]]
            if class_name == "Bidirectional" and key == "layer":
                # Without a backward layer, this one has both directions.
                names = ["forward"] if config.get("backward_layer") else ["forward", "backward"]
            elif class_name == "Activation":
                names = [""]
            for name in names:
                yield from _inner_configs(value, prefix, name, f"{place}, {key}")


def _inner_configs(entry: Any, prefix: str, name: str | None, place: str) -> Iterator[LayerConfig]:
    """The configs in the entry of a layer. The names of its arrays begin with `name`, or for None with its own name."""
    if isinstance(entry, dict) and isinstance(config := entry.get("config"), dict):
        name = config.get("name") if name is None else name
        yield from _configs(str(entry.get("class_name")), config, f"{prefix}{name}/" if name else prefix, place)
