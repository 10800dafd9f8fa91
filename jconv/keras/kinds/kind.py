"""What one Keras class is in jconv: how its config becomes a layer, a layer its config, and where its arrays lie.

The table of kinds is data: `kinds/` has a file for each file of `jconv/layers`. A kind is mostly a list of keys, each
with the layer's field that it fills; classes that hold other layers bring functions of their own.

Where arrays lie. A layer names its arrays in `param_shapes` and `state_shapes`, in that order, which must be Keras's
order of a layer's variables. Keras numbers the variables of each object that has some: `vars/0`, `vars/1`. A name with
a prefix, such as `"query/kernel"`, lies in the object that the kind's `folders` gives for it, `{"query":
"query_dense"}`; each folder is numbered from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from ...layers.base import Layer
from ...reference.activations import ACTIVATIONS
from ..files.errors import spoken_at
from ..read.supplied import Supplied
from .config import Config

ReadLayer = Callable[..., Layer]
WriteLayer = Callable[[Layer, str], dict[str, Any]]


def same(value: Any) -> Any:
    """The value itself."""
    return value


def activation(value: Any) -> Any:
    """The name of an activation, also from the dict that Keras 3 writes for a function, or what the user supplied.

    Raises `ValueError` for one that Keras does not have.
    """
    if isinstance(value, Supplied):
        return value.activation
    if isinstance(value, dict) and value.get("class_name") == "function":
        value = value.get("config")
    if value is None or (isinstance(value, str) and value in ACTIVATIONS):
        return value
    raise ValueError("must be the name of one of Keras's activations")


def _activation_in_file(value: Any) -> Any:
    try:
        return activation(value)
    except ValueError as error:
        raise ValueError(f"{error}, or be in custom_activations={{name: activation}}") from None


def only(allowed: Any) -> Callable[[Any], Any]:
    """The value `allowed` and no other."""

    def read(value: Any) -> Any:
        if type(value) is not type(allowed) or value != allowed:
            raise ValueError(f"must be {allowed!r}, for jconv has nothing else")
        return value

    return read


# Fields of a layer that its config does not have: how it is computed, and what a call says.
UNSAID = {"algorithm", "inputs"}


@dataclass(frozen=True)
class Key:
    """A key of Keras's config and the layer's field that it fills, read and written by two functions.

    A key that is missing from a config leaves the field at `missing`, by default the layer's own default, which must
    then be Keras's. `older` are names that the key had in earlier versions of Keras: read, never written. With
    `layers` the value may be a layer instead.
    """

    name: str
    field: str
    read: Callable[[Any], Any] = same
    write: Callable[[Any], Any] = same
    missing: Any = ...
    older: tuple[str, ...] = ()
    layers: bool = False

    def name_in(self, config: Config) -> str:
        """The name under which a config has the key; the present name where it has none."""
        return next((name for name in (self.name, *self.older) if name in config.values), self.name)


ACTIVATION = Key("activation", "activation", activation, layers=True)


@dataclass(frozen=True)
class Kind:
    """One Keras class: see the module.

    `read(config, read_layer)` and `write(layer, write_layer)` replace the list of keys for classes that hold layers:
    `read_layer(value, place)` reads one from a config, `write_layer(layer, name)` writes one. `folders(layer)` is
    where prefixed arrays lie; `unused(layer)` are paths that a file has and jconv has no use for. `copies(layer)` are
    paths at which Keras writes an array again that is the layer's own elsewhere, and the array's name.

    `own_name` is the name of Keras's class where it is exported under another, `name`; folders are named by it.

    `fixed` are keys that jconv has no field for, each with the one value at which it means nothing: a config may have
    it at that value, and none is written. `harmless` are such keys that mean nothing at any value. `lacks(layer)` says
    what of a jconv layer Keras's has not, if its keys do not tell.

    With `channels_first`, Keras's layer has a `data_format`; it is not among the `keys`: the layer is read as
    `ChannelsFirst(layer)`. `mask` says how a mask goes on from the layer to its output, `"on"` (Keras's
    `supports_masking`), `"same"` (outside of training the output is the array that the layer got) or not (`"stop"`),
    or is a function of the layer that says it, or gives the layer that makes the mask, which as many of its outputs
    have as `masked_outputs(layer)` says; with `takes_mask` Keras's `call` has a mask argument, and the layer a field
    `inputs` to which `"mask"` is added. With `takes_masks_off` the arrays that it read have no mask afterwards. `call`
    says how the arguments of Keras's `call`, in their order, fill the layer's `inputs`, by default the first argument
    all of them, or is a function of the layer that says it; `call_options` are arguments that are no arrays, and the
    fields that they set. `passed_over` are arguments that Keras does not heed.

    `joins` says what the mask is behind a layer that merges: `"any"`, where all inputs have one, what any of them
    counts; or `"beside"`, along the layer's axis, an input that has none counting whole. With `reads_masks` such a
    layer also reads its inputs' masks, each after its value, which its `inputs` name.
    """

    name: str
    layer: type[Layer]
    keys: tuple[Key, ...] = ()
    folders: Callable[[Any], Mapping[str, str]] = lambda layer: {}
    read: Callable[[Config, ReadLayer], Layer] | None = None
    write: Callable[[Any, WriteLayer], dict[str, Any]] | None = None
    unused: Callable[[Any], tuple[str, ...]] = lambda layer: ()
    copies: Callable[[Any], Mapping[str, str]] = lambda layer: {}
    channels_first: bool = False
    mask: str | Callable[[Any], str | Layer] = "stop"
    masked_outputs: Callable[[Any], int] = lambda layer: 1
    takes_mask: bool = False
    takes_masks_off: bool = False
    joins: str = ""
    reads_masks: bool = False
    call: Mapping[str, tuple[str, ...]] | Callable[[Any], Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    call_options: Mapping[str, str] = field(default_factory=dict)
    passed_over: tuple[str, ...] = ()
    fixed: tuple[tuple[str, Any], ...] = ()
    harmless: tuple[str, ...] = ()
    lacks: Callable[[Any], str] = lambda layer: ""
    own_name: str | None = None

    def places(self, layer: Layer) -> dict[str, str]:
        """`folders` of a layer, and those of the layers that are its activations, by the names of the options."""
        options = [key.field for key in self.keys if key.layers and isinstance(getattr(layer, key.field), Layer)]
        return {**{option: option for option in options}, **self.folders(layer)}

    def arguments(self, layer: Layer) -> Mapping[str, tuple[str, ...]]:
        """`call` for a layer of the kind."""
        return self.call(layer) if callable(self.call) else self.call

    def make(self, config: Config, read_layer: ReadLayer) -> Layer:
        """The layer of a config. Raises `KerasFileError` for one that does not make a layer."""
        with spoken_at(config.place, f"{self.layer.__name__}: "):
            for name, value in self.fixed:
                config.get(name, only(value), value)
            for name in self.harmless:
                config.get(name, same, None)
            if self.read is not None:
                return self.read(config, read_layer)
            return self.layer(**self.options(config, read_layer))

    def options(self, config: Config, read_layer: ReadLayer | None = None) -> dict[str, Any]:
        """The layer's fields from a config's keys."""
        present = [key for key in self.keys if key.name_in(config) in config.values]
        options = {
            key.field: config.get(name := key.name_in(config), self._read(key, name, config, read_layer))
            for key in present
        }
        for key in self.keys:
            if key not in present:
                if key.missing is not ...:
                    options.setdefault(key.field, key.missing)
                elif any(f.name == key.field and f.default is MISSING for f in fields(self.layer)):
                    config.fail(f"{key.name} is missing")
        return options

    def _read(self, key: Key, name: str, config: Config, read_layer: ReadLayer | None) -> Callable[[Any], Any]:
        value = config.values[name]
        is_layer = isinstance(value, dict) and value.get("class_name") != "function"
        if not key.layers or read_layer is None or not is_layer:
            return _activation_in_file if key.read is activation else key.read
        return lambda value: read_layer(value, f"{config.place}, {name}", as_activation=True)

    def config(self, layer: Layer, write_layer: WriteLayer) -> dict[str, Any]:
        """Keras's config of a layer, without name, dtype and trainable.

        Raises `ValueError` for what the layer has and Keras's has not.
        """
        if self.write is not None:
            return self.write(layer, write_layer)
        config = {}
        for key in self.keys:
            value = getattr(layer, key.field)
            if key.layers and isinstance(value, Layer):
                config[key.name] = write_layer(value, key.name)
                continue
            config[key.name] = key.write(value)
            try:
                key.read(config[key.name])
            except ValueError as error:
                raise ValueError(f"Keras's {key.name} {error}, got {getattr(layer, key.field)!r}") from None
        said = {key.field for key in self.keys} | set(self.call_options.values()) | UNSAID
        for option in fields(layer):
            value = getattr(layer, option.name)
            if option.name not in said and value != option.default:
                raise ValueError(f"Keras's {self.name} has no {option.name}, got {value!r}")
        reason = self.lacks(layer)
        if reason:
            raise ValueError(f"Keras's {self.name} has no {reason}")
        return config


def names_to_paths(names: list[str], folders: Mapping[str, str], copies: Collection[str] = ()) -> dict[str, str]:
    """Each array's path below its layer's place in the file; what `copies` have is passed over in numbering.

    >>> names_to_paths(["kernel", "query/kernel", "query/bias"], {"query": "query_dense"})
    {'kernel': 'vars/0', 'query/kernel': 'query_dense/vars/0', 'query/bias': 'query_dense/vars/1'}
    >>> names_to_paths(["vector_u"], {}, {"vars/0": "layer/kernel"})
    {'vector_u': 'vars/1'}
    """
    counts: dict[str, int] = {}
    paths = {}
    for name in names:
        prefix = name.rpartition("/")[0]
        folder = folders[prefix] if prefix or "" in folders else ""
        number = counts.setdefault(folder, 0)
        while (path := f"{folder}/vars/{number}".lstrip("/")) in copies:
            number += 1
        counts[folder] = number + 1
        paths[name] = path
    return paths
