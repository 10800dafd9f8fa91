"""One layer of a config into a jconv layer: the kind by its class, then what every Keras layer has in common.

The common part is made of layers around the layer: `trainable` false is `Frozen`, `data_format` channels first is
`ChannelsFirst`, and a dtype policy is `InDtype`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ...layers import (
    BatchNormalization,
    ChannelsFirst,
    Frozen,
    HardSigmoid,
    InDtype,
    InMode,
    Layer,
    PReLU,
    SpectralNormalization,
)
from ..files.errors import KerasFileError, spoken_at
from ..kinds import KINDS
from ..kinds.config import Config, as_dict, flag, one_of, optional, shortened, text
from ..kinds.kind import Kind
from ..kinds.tcn import KIND as TCN
from ..kinds.tcn import PACKAGE
from .keras2 import slope_of
from .nested import Nested

# Options of any layer that change neither outputs nor the gradients of a plain loss; regularizers are read elsewhere.
HARMLESS = re.compile(
    r"name|trainable|dtype|autocast|seed|build_config|batch_input_shape|input_shape|batch_shape|input_dtype"
    r"|\w*_initializer|\w*_regularizer|\w*_constraint|implementation|time_major|lora_rank|lora_alpha|quantization_config"
)
# Of these, what must have no value, since the arrays of the file are then not the layer's own.
ABSENT = ("lora_rank", "quantization_config")
DTYPES = ("float32", "float64", "float16", "bfloat16")
# Options by which a layer draws in training, unless they are zero.
DRAWING = ("rate", "stddev", "dropout", "recurrent_dropout")
MODELS = ("Functional", "Model", "Sequential")


@dataclass(frozen=True)
class Read:
    """A layer as read: `base` before what every layer has in common, `wrap` that puts it around, and its kind."""

    name: str
    class_name: str
    base: Layer
    kind: Kind | None
    wrap: Callable[[Layer], Layer]
    place: str


def entry_of(value: Any, place: str) -> tuple[str, str, Config, Config]:
    """`(class_name, name, entry, config)` of a layer's dict, at `place` in the config."""
    if not isinstance(value, dict):
        raise KerasFileError(f"{place} must be an object that describes a layer, got {shortened(value)}")
    entry = Config(value, place)
    class_name = entry.get("class_name", text)
    inner = entry.get("config", as_dict)
    name = inner.get("name", value.get("name"))
    if not isinstance(name, str) or not name:
        entry.fail(f"a layer must have a name, got {shortened(name)}")
    return class_name, name, entry, Config(inner, f"layer {name!a} ({ascii(class_name)[1:-1]}) at {place}")


def read_layer(
    value: Any,
    place: str,
    custom: Mapping[str, Layer | type[Layer]],
    read_model: Callable[[Any, str], Layer],
    policy: str | None = None,
) -> Read:
    """The layer that `value`, an entry of a config at `place`, describes; `read_model` reads a model inside a layer.

    `policy`, where there is one, is the model's: layers are then given their own type even where it is float32.

    Raises `KerasFileError` for a class that jconv does not know and the user did not supply, and for options that it
    does not have.
    """
    class_name, name, entry, config = entry_of(value, place)
    # Keras 2 writes a registered class as Custom>ConvDNA.
    supplied = custom.get(name, custom.get(class_name, custom.get(class_name.rpartition(">")[2])))
    if isinstance(supplied, Layer):
        return Read(name, class_name, supplied, None, lambda layer: layer, config.place)
    kind = _kind(class_name, entry, config) if supplied is None else _kind_of(supplied, config)

    def inner(value: Any, place: str, as_activation: bool = False) -> Layer:
        slope = slope_of(value) if as_activation else None
        if slope is not None:
            return HardSigmoid(slope)
        if isinstance(value, dict) and value.get("class_name") in MODELS:
            return read_model(value, place)
        found = read_layer(value, place, custom, read_model, policy)
        return _activation(found, config) if as_activation else found.wrap(found.base)

    base = kind.make(config, inner)
    wrap = _common(kind, config, policy)
    _check_rest(config)
    return Read(name, class_name, base, kind, wrap, config.place)


def _activation(found: Read, config: Config) -> Layer:
    """A layer that is the activation of the one of `config`, without what the two have in common."""
    dtype, trainable = dtype_of(config), config.get("trainable", flag, True)
    wrapped = found.wrap(found.base)
    while wrapped is not found.base:
        if isinstance(wrapped, InDtype) and wrapped.dtype != dtype:
            config.fail(f"its activation {found.name!a} computes in {wrapped.dtype}, and the layer in {dtype}")
        if isinstance(wrapped, Frozen) and trainable and isinstance(found.base, PReLU):
            config.fail(f"its activation {found.name!a} has trainable false, and the layer true")
        assert isinstance(wrapped, (ChannelsFirst, Frozen, InDtype))
        wrapped = wrapped.layer
    return found.base


def _kind_of(supplied: Any, config: Config) -> Kind:
    """The kind of a layer's class that the user supplied for another name of it."""
    for kind in KINDS.values():
        if kind.layer is supplied:
            return kind
    return config.fail(
        f"custom_layers must have a layer of jconv's for it, or the class of one that Keras has, got {supplied!r}"
    )


def _kind(class_name: str, entry: Config, config: Config) -> Kind:
    module = entry.get("module", optional(text), None) or "keras"
    registered = entry.get("registered_name", optional(text), None)
    ours = re.match(r"(keras|tensorflow\.keras|tensorflow\.python\.keras|tf_keras)(\.|$)", module) is not None
    if ours and class_name in KINDS and (registered is None or registered == class_name):
        return KINDS[class_name]
    own = class_name.rpartition(">")[2]
    if own == TCN.name and (class_name != own or module.partition(".")[0] == PACKAGE):
        return TCN
    advice = "supply a jconv layer for it with custom_layers={name or class: layer, or its class with Keras's options}"
    if re.fullmatch(r"Q[A-Z]\w*", class_name):
        return config.fail(f"is a layer of QKeras, whose quantizers jconv does not have; {advice}")
    if class_name == "Lambda":
        return config.fail(f"holds Python code, which is never run; {advice}")
    if ours and registered is None:
        return config.fail(f"Keras's layer {class_name!a} is not one that jconv has; {advice}")
    return config.fail(f"is a class of its own, {module!a}.{class_name!a}, which is not imported; {advice}")


def _common(kind: Kind, config: Config, policy: str | None) -> Callable[[Layer], Layer]:
    frozen = not config.get("trainable", flag, True)
    first = False
    if kind.channels_first:
        formats = one_of("channels_last", "channels_first")
        first = config.get("data_format", optional(formats), None) == "channels_first"
    dtype = dtype_of(config)
    # One that is float32 says so only among others: a softmax in float32 after layers in bfloat16.
    given = dtype if dtype != "float32" or policy is not None else None

    def wrap(layer: Layer) -> Layer:
        layer = Frozen(layer) if frozen else layer
        layer = ChannelsFirst(layer) if first else layer
        return InDtype(layer, given) if given else layer

    return wrap


def dtype_of(config: Config) -> str:
    """The type that a layer computes in, from its `dtype`: a name or a policy."""

    def read(value: Any) -> str:
        if isinstance(value, dict):
            if value.get("class_name") not in ("DTypePolicy", "Policy"):
                raise ValueError("must be a type or a DTypePolicy; quantized layers are not read")
            inner = value.get("config")
            value = inner.get("name") if isinstance(inner, dict) else None
        if value is None:
            return "float32"
        if isinstance(value, str) and value.removeprefix("mixed_") in DTYPES:
            return value.removeprefix("mixed_")
        raise ValueError(f"must be one of {', '.join(DTYPES)} or mixed_ before one")

    return config.get("dtype", read, "float32")


def policy_of(config: Config) -> str | None:
    """The first type other than float32 that a layer has, at any depth; None where all compute in float32."""
    waiting: list[Any] = [config.values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            inner = value.get("config")
            # An InputLayer has a type and nothing to train.
            if isinstance(inner, dict) and "dtype" in inner and "trainable" in inner:
                dtype = dtype_of(Config(inner, config.place))
                if dtype != "float32":
                    return dtype
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return None


def _check_rest(config: Config) -> None:
    for key in ABSENT:
        if config.has(key):
            config.fail(f"{key}={shortened(config.values[key])} is not read; save the model without it")
    for key in config.unasked():
        if not HARMLESS.fullmatch(key):
            config.fail(f"the option {key!a} (at {shortened(config.values[key])}) is not one that jconv has")


def with_inputs(read: Read, inputs: tuple[str, ...], options: Mapping[str, Any], training: bool | None = None) -> Layer:
    """The layer as it is called: with the names of its `inputs` and the options of the call.

    `training` says whether it is always in training, or never; None where that is said elsewhere.
    """
    changes: dict[str, Any] = dict(options)
    if inputs and inputs != getattr(read.base, "inputs", inputs):
        changes["inputs"] = inputs
    with spoken_at(read.place):
        layer = replace(read.base, **changes) if changes else read.base
        return read.wrap(layer if training is None or not heeds_training(layer) else InMode(layer, training))


def heeds_training(value: Any) -> bool:
    """Whether a layer, or one in it, computes something else in training."""
    if isinstance(value, Nested):
        return any(heeds_training(node.layer) for node in value.model.nodes)
    if not isinstance(value, Layer):
        return False
    if isinstance(value, (BatchNormalization, SpectralNormalization)):
        return True
    own = {option.name: getattr(value, option.name) for option in fields(value)}
    return any(own.get(name) for name in DRAWING) or any(heeds_training(inner) for inner in own.values())
