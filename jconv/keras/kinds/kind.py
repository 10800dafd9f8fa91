"""`Kind`: how one Keras class becomes a layer of jconv and back, and where its arrays are in a file.

A kind is mostly a list of config keys, each with the field of the layer that it sets. The kinds of layers that contain
other layers have functions instead.

A layer names its arrays in `param_shapes` and `state_shapes`, in Keras's order of the layer's variables. Keras numbers
the variables of each object: `vars/0`, `vars/1`. A name with a prefix, such as `"query/kernel"`, is in the folder that
the kind's `folders` has for the prefix, `{"query": "query_dense"}`; each folder is numbered from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from ...layers.base import Layer
from ...reference.activations import ACTIVATIONS
from ..files.errors import error_context
from .config import Config, anything, as_dict, only

# `read_layer(value, place)` reads a layer inside a config; `write_layer(layer, name)` writes one.
ReadLayer = Callable[..., Layer]
WriteLayer = Callable[[Layer, str], dict[str, Any]]
# A layer inside another: the layer, the prefix of its arrays' names, and their folder.
Inside = tuple[Layer, str, str]
# The arguments of a Keras layer's `call`, in order, each with the names in the layer's `inputs` that it sets.
Arguments = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class CustomActivation:
    """An activation that the user supplies for a name in the file."""

    activation: Any


def activation(value: Any) -> Any:
    """The name of an activation, for which Keras 3 may write a dict; or the activation that the user supplies."""
    if isinstance(value, CustomActivation):
        return value.activation
    if isinstance(value, dict) and value.get("class_name") == "function":
        value = value.get("config")
    if value is None or (isinstance(value, str) and value in ACTIVATIONS):
        return value
    raise ValueError("must be the name of one of Keras's activations")


def is_lambda(value: Any) -> bool:
    """Whether an activation in a file is the code of a lambda; Keras 3 writes it without a class."""
    return isinstance(value, dict) and (value.get("class_name") == "__lambda__" or set(value) == {"value"})


def _activation_in_file(value: Any) -> Any:
    if is_lambda(value):
        raise ValueError(
            "is Python code, which is never run; supply an activation with custom_activations={'<lambda>': activation}"
        )
    try:
        return activation(value)
    except ValueError as error:
        raise ValueError(f"{error}, or be in custom_activations={{name: activation}}") from None


# Fields of a layer that Keras's config does not contain.
NOT_SERIALIZED = {"algorithm", "inputs"}


@dataclass(frozen=True)
class Key:
    """A key of Keras's config, the functions that read and write its value, and the layer's field.

    `field` is the key's name unless given. A key that is missing from a config leaves the layer's own default, which
    must then be Keras's. A key whose `write` is None is read and never written, and so are its `aliases`, its names in
    earlier versions of Keras. With `allows_layer` the value may be an activation layer; with `is_layer`, a config that
    `read` accepts is the config of a layer.
    """

    name: str
    read: Callable[[Any], Any] = anything
    write: Callable[[Any], Any] | None = anything
    field: str = ""
    aliases: tuple[str, ...] = ()
    allows_layer: bool = False
    is_layer: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "field", self.field or self.name)


ACTIVATION = Key("activation", activation, allows_layer=True)
LAYER = Key("layer", as_dict, is_layer=True)


@dataclass(frozen=True)
class Kind:
    """One Keras class: the class of the jconv `layer`, the `keys` of its config, and its `name`.

    The `name` is the name of the jconv class unless given.

    `read(config, read_layer)` and `write(layer, write_layer)` replace the keys where a config is no list of fields.
    `inside(layer)` lists the layers that a layer contains.

    Arrays: `folders(layer)` has the folder of each prefix. `copies(layer)` maps each path at which Keras stores an
    array a second time to the array's name. `source_name` is the class's name in Keras's source, from which folders are
    named, if Keras exports the class under another name.

    Config: `fixed` keys have no field in jconv, and are accepted with one value only; `ignored` keys are accepted with
    any value. Neither is written. `unsupported(layer)` describes options of a jconv layer that Keras lacks, if `keys`
    do not show this. With `channels_first`, Keras's class has a `data_format`, which becomes the wrapper
    `ChannelsFirst`.

    Calls: `call`, or `call(layer)`, maps the arguments of Keras's `call` to the layer's `inputs`; by default the first
    argument has all of them. `call_options` maps arguments that are not arrays to fields. `ignored_arguments` have no
    effect in Keras. With `takes_mask`, Keras's `call` has a mask argument, and the layer an input `"mask"`.

    Masks: `mask`, or `mask(layer)`, is what Keras does with the mask of the input:

    - `"stop"`: the output has none;
    - `"propagate"`: the output has the same mask (`supports_masking`);
    - `"identity"`: the same, and outside of training the output is the input array itself;
    - `"inside"`: as for the layer inside;
    - a layer, which computes the mask of the output.

    `masked_outputs(layer)` is the number of outputs that have the mask. With `removes_masks`, the inputs have no mask
    after the call. `mask_join` is for layers that merge their inputs: with `"any"`, if all inputs have a mask, an
    element is valid if it is valid in any of them; with `"concatenate"`, masks are joined along the layer's axis, and
    all elements of an input without a mask are valid. With `reads_masks` the layer also reads the masks of its inputs,
    each after its value.
    """

    layer: type[Layer]
    keys: tuple[Key, ...] = ()
    name: str = ""
    read: Callable[[Config, ReadLayer], Layer] | None = None
    write: Callable[[Any, WriteLayer], dict[str, Any]] | None = None
    inside: Callable[[Any], Iterable[Inside]] = lambda layer: ()
    folders: Callable[[Any], Mapping[str, str]] = lambda layer: {}
    copies: Callable[[Any], Mapping[str, str]] = lambda layer: {}
    source_name: str | None = None
    fixed: tuple[tuple[str, Any], ...] = ()
    ignored: tuple[str, ...] = ()
    unsupported: Callable[[Any], str] = lambda layer: ""
    channels_first: bool = False
    call: Arguments | Callable[[Any], Arguments] = field(default_factory=dict)
    call_options: Mapping[str, str] = field(default_factory=dict)
    ignored_arguments: tuple[str, ...] = ()
    takes_mask: bool = False
    mask: str | Callable[[Any], str | Layer] = "stop"
    masked_outputs: Callable[[Any], int] = lambda layer: 1
    removes_masks: bool = False
    mask_join: str = ""
    reads_masks: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.layer.__name__)

    def arguments(self, layer: Layer) -> Arguments:
        """`call` for a layer of the kind."""
        return self.call(layer) if callable(self.call) else self.call

    def make(self, config: Config, read_layer: ReadLayer) -> Layer:
        """The layer of a config. Raises `KerasFileError` for a config that describes no layer."""
        with error_context(config.place, f"{self.layer.__name__}: "):
            for name, value in self.fixed:
                config.get(name, only(value), value)
            for name in self.ignored:
                config.get(name, anything, None)
            if self.read is not None:
                return self.read(config, read_layer)
            return self.layer(**self.options(config, read_layer))

    def options(self, config: Config, read_layer: ReadLayer) -> dict[str, Any]:
        """The layer's fields, from a config's keys."""
        options: dict[str, Any] = {}
        for key in self.keys:
            name = next((name for name in (key.name, *key.aliases) if name in config.values), None)
            if name is not None:
                options[key.field] = _read_value(key, name, config, read_layer)
            elif any(f.name == key.field and f.default is MISSING for f in fields(self.layer)):
                config.fail(f"{key.name} is missing")
        return options

    def config(self, layer: Layer, write_layer: WriteLayer) -> dict[str, Any]:
        """Keras's config of a layer, without name, dtype and trainable.

        Raises `ValueError` for an option that Keras's layer does not have.
        """
        if self.write is not None:
            return self.write(layer, write_layer)
        config = {}
        for key in self.keys:
            value = getattr(layer, key.field)
            if key.write is None:
                continue
            if (key.allows_layer or key.is_layer) and isinstance(value, Layer):
                config[key.name] = write_layer(value, key.name)
                continue
            config[key.name] = key.write(value)
            try:
                key.read(config[key.name])
            except ValueError as error:
                raise ValueError(f"Keras's {key.name} {error}, got {value!r}") from None
        written = {key.field for key in self.keys} | set(self.call_options.values()) | NOT_SERIALIZED
        for option in fields(layer):
            value = getattr(layer, option.name)
            if option.name not in written and value != option.default:
                raise ValueError(f"Keras's {self.name} has no {option.name}, got {value!r}")
        reason = self.unsupported(layer)
        if reason:
            raise ValueError(f"Keras's {self.name} has no {reason}")
        return config


def _read_value(key: Key, name: str, config: Config, read_layer: ReadLayer) -> Any:
    value, place = config.values[name], f"{config.place}, {name}"
    if key.is_layer:
        value = config.get(name, key.read)
        return value if value is None else read_layer(value, place)
    is_layer = isinstance(value, dict) and value.get("class_name") != "function" and not is_lambda(value)
    if key.allows_layer and is_layer:
        return config.get(name, lambda value: read_layer(value, place, as_activation=True))
    return config.get(name, _activation_in_file if key.read is activation else key.read)


# The kind of a layer that Keras does not have.
OTHER = Kind(Layer)
