"""Reads one layer of a Keras config as a jconv layer.

The Keras class determines the `Kind`, which reads the options. Options common to many Keras classes become
wrappers: `trainable` false is `Frozen`, `data_format` channels first is `ChannelsFirst`, a dtype policy is `InDtype`.
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
from ..files.errors import KerasFileError, error_context
from ..files.limits import MAX_NAME
from ..kinds import KINDS
from ..kinds.activation import hard_sigmoid_slope
from ..kinds.config import Config, as_dict, flag, objects_in, one_of, optional, shortened, text
from ..kinds.convolution import TCN_KIND, TCN_PACKAGE
from ..kinds.kind import OTHER, Kind
from ..layers import NestedModel

# Options of any layer that change neither its outputs nor the gradients of a loss without regularization. Regularizers
# and constraints are read by `keras/training`.
IGNORED = re.compile(
    r"name|trainable|dtype|autocast|seed|build_config|batch_input_shape|input_shape|batch_shape|input_dtype"
    r"|\w*_initializer|\w*_regularizer|\w*_constraint|implementation|time_major|lora_rank|lora_alpha|quantization_config"
)
# Options that must be null, because with them the file has other arrays.
UNSUPPORTED = ("lora_rank", "quantization_config")
DTYPES = ("float32", "float64", "float16", "bfloat16")
# Options that make a layer random in training, unless they are zero.
RANDOM_OPTIONS = ("rate", "stddev", "dropout", "recurrent_dropout")
SEQUENTIAL = "Sequential"
MODELS = ("Functional", "Model", SEQUENTIAL)
# The modules of classes that are part of Keras.
KERAS_MODULE = re.compile(r"(keras|tensorflow\.keras|tensorflow\.python\.keras|tf_keras)(\.|$)")


@dataclass(frozen=True)
class ParsedLayer:
    """A layer of a config: the `base` layer, its kind, and `wrap`, which adds the wrappers.

    A layer object that the user supplies has the kind `OTHER`.
    """

    name: str
    base: Layer
    kind: Kind
    wrap: Callable[[Layer], Layer]
    place: str


def read_entry(value: Any, place: str) -> tuple[str, str, Config, Config]:
    """`(class_name, name, entry, config)` of a layer's entry at `place` in the config."""
    if not isinstance(value, dict):
        raise KerasFileError(f"{place} must be an object that describes a layer, got {shortened(value)}")
    entry = Config(value, place)
    class_name = entry.get("class_name", text)
    inner = entry.get("config", as_dict)
    name = inner.get("name", value.get("name"))
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        entry.fail(f"a layer must have a name of 1 to {MAX_NAME:,} characters, got {shortened(name)}")
    return class_name, name, entry, Config(inner, f"layer {name!a} ({ascii(class_name)[1:-1]}) at {place}")


def read_layer(
    value: Any,
    place: str,
    custom: Mapping[str, Layer | type[Layer]],
    read_model: Callable[[Any, str], Layer],
    has_mixed_types: bool = False,
) -> ParsedLayer:
    """The layer of the entry `value` at `place`; `read_model` reads a model inside a layer.

    With `has_mixed_types`, a layer that computes in float32 is wrapped in `InDtype`, too.

    Raises `KerasFileError` for a class that jconv does not support and the user did not supply, and for unsupported
    options.
    """
    class_name, name, entry, config = read_entry(value, place)
    # A registered class has a name such as Custom>ConvDNA, which Keras 2 writes as the class.
    registered = entry.get("registered_name", optional(text), None) or class_name
    names = (name, class_name, registered, class_name.rpartition(">")[2])
    supplied = next((custom[known] for known in names if known in custom), None)
    if isinstance(supplied, Layer):
        return ParsedLayer(name, supplied, OTHER, lambda layer: layer, config.place)
    kind = _find_kind(class_name, entry, config) if supplied is None else _kind_of_class(supplied, config)

    def read_inner(value: Any, place: str, as_activation: bool = False) -> Layer:
        slope = hard_sigmoid_slope(value) if as_activation else None
        if slope is not None:
            return HardSigmoid(slope)
        if isinstance(value, dict) and value.get("class_name") in MODELS:
            return read_model(value, place)
        parsed = read_layer(value, place, custom, read_model, has_mixed_types)
        return _as_activation(parsed, config) if as_activation else parsed.wrap(parsed.base)

    base = kind.make(config, read_inner)
    wrap = _wrapper(kind, config, has_mixed_types)
    _check_unused_keys(config, allows_null=supplied is not None)
    return ParsedLayer(name, base, kind, wrap, config.place)


def _as_activation(parsed: ParsedLayer, config: Config) -> Layer:
    """The activation of the layer of `config`, without its wrappers, which must be those of that layer."""
    dtype, trainable = dtype_of(config), config.get("trainable", flag, True)
    wrapped = parsed.wrap(parsed.base)
    while wrapped is not parsed.base:
        if isinstance(wrapped, InDtype) and wrapped.dtype != dtype:
            config.fail(f"its activation {parsed.name!a} computes in {wrapped.dtype}, but the layer in {dtype}")
        if isinstance(wrapped, Frozen) and trainable and isinstance(parsed.base, PReLU):
            config.fail(f"its activation {parsed.name!a} has trainable false, but the layer true")
        assert isinstance(wrapped, (ChannelsFirst, Frozen, InDtype))
        wrapped = wrapped.layer
    return parsed.base


def _kind_of_class(supplied: Any, config: Config) -> Kind:
    """The kind of a layer class that the user supplies."""
    kind = next((kind for kind in KINDS.values() if kind.layer is supplied), None)
    return kind or config.fail(
        f"custom_layers must have a jconv layer for it, or the jconv class of a Keras layer, got {supplied!r}"
    )


def _origin(entry: Config) -> tuple[str, str | None]:
    """The module of a class and the name under which it is registered, None for most classes of Keras."""
    return entry.get("module", optional(text), None) or "keras", entry.get("registered_name", optional(text), None)


def is_of_keras(class_name: str, entry: Config) -> bool:
    """Whether a class is part of Keras, and not another one of the same name."""
    module, registered = _origin(entry)
    return KERAS_MODULE.match(module) is not None and registered in (None, class_name)


def _find_kind(class_name: str, entry: Config, config: Config) -> Kind:
    is_from_keras = is_of_keras(class_name, entry)
    if class_name in KINDS and is_from_keras:
        return KINDS[class_name]
    module, registered = _origin(entry)
    is_keras = KERAS_MODULE.match(module) is not None
    own_name = class_name.rpartition(">")[2]
    # The first versions of keras-tcn did not register the class. Those before 3.2 compute something else; they do not
    # have the option.
    is_unregistered_tcn = is_keras and config.has("use_weight_norm")
    is_tcn = class_name != own_name or module.partition(".")[0] == TCN_PACKAGE or is_unregistered_tcn
    if own_name == TCN_KIND.name and is_tcn:
        return TCN_KIND
    advice = "supply a jconv layer for it with custom_layers={name or class: layer, or its class with Keras's options}"
    if re.fullmatch(r"Q[A-Z]\w*", class_name):
        return config.fail(f"is a layer of QKeras, whose quantizers are not supported; {advice}")
    if class_name == "Lambda":
        return config.fail(f"contains Python code, which is never run; {advice}")
    if module.startswith("keras.src.ops.") and is_from_keras:
        return config.fail(f"the function {class_name!a} of keras.ops is not supported; {advice}")
    if is_keras and registered is None:
        return config.fail(f"Keras's layer {class_name!a} is not supported; {advice}")
    own = f"{module!a}.{class_name!a}" if entry.has("module") else ascii(registered or class_name)
    return config.fail(f"is a custom class, {own}, which is not imported; {advice}")


def _wrapper(kind: Kind, config: Config, has_mixed_types: bool) -> Callable[[Layer], Layer]:
    is_frozen = not config.get("trainable", flag, True)
    data_format = optional(one_of("channels_last", "channels_first"))
    is_channels_first = kind.channels_first and config.get("data_format", data_format, None) == "channels_first"
    dtype = dtype_of(config)

    def wrap(layer: Layer) -> Layer:
        layer = Frozen(layer) if is_frozen else layer
        layer = ChannelsFirst(layer) if is_channels_first else layer
        return InDtype(layer, dtype) if dtype != "float32" or has_mixed_types else layer

    return wrap


def dtype_of(config: Config) -> str:
    """The type that a layer computes in, from its `dtype`, which is the name of a type or a policy."""

    def read(value: Any) -> str:
        if isinstance(value, dict):
            if value.get("class_name") not in ("DTypePolicy", "Policy"):
                raise ValueError("must be a type or a DTypePolicy; quantized layers are not supported")
            inner = value.get("config")
            value = inner.get("name") if isinstance(inner, dict) else None
        if value is None:
            return "float32"
        if isinstance(value, str) and value.removeprefix("mixed_") in DTYPES:
            return value.removeprefix("mixed_")
        raise ValueError(f"must be one of {', '.join(DTYPES)}, or one with the prefix mixed_")

    return config.get("dtype", read, "float32")


def has_other_types(config: Config) -> bool:
    """Whether a layer at any depth of a model's config computes in a type other than float32."""
    layers = (value.get("config") for value in objects_in(config.values))
    # An InputLayer has a dtype, but not `trainable`.
    own = (Config(c, config.place) for c in layers if isinstance(c, dict) and "dtype" in c and "trainable" in c)
    return any(dtype_of(layer) != "float32" for layer in own)


def _check_unused_keys(config: Config, allows_null: bool) -> None:
    """Refuse options that were not read. `allows_null` is for a supplied class: its author's options may be null."""
    for key in UNSUPPORTED:
        if config.has(key):
            config.fail(f"{key}={shortened(config.values[key])} is not supported; save the model without it")
    for key in config.unused_keys():
        if not IGNORED.fullmatch(key) and not (allows_null and not config.has(key)):
            config.fail(f"the option {key!a} (value {shortened(config.values[key])}) is not supported")


def called_layer(parsed: ParsedLayer, inputs: tuple[str, ...], options: Mapping[str, Any], mode: bool | None) -> Layer:
    """The layer of one call, with the names of its `inputs` and the `options` of the call.

    `mode` is True if the call is always in training mode, False if never, None if neither is fixed.
    """
    changes: dict[str, Any] = dict(options)
    if inputs and inputs != getattr(parsed.base, "inputs", inputs):
        changes["inputs"] = inputs
    with error_context(parsed.place):
        layer = replace(parsed.base, **changes) if changes else parsed.base
        return parsed.wrap(layer if mode is None or not depends_on_mode(layer) else InMode(layer, mode))


def depends_on_mode(value: Any) -> bool:
    """Whether a layer, or one inside it, computes something else in training mode."""
    if isinstance(value, NestedModel):
        return any(depends_on_mode(node.layer) for node in value.model.nodes)
    if not isinstance(value, Layer):
        return False
    if isinstance(value, (BatchNormalization, SpectralNormalization)):
        return True
    own = {option.name: getattr(value, option.name) for option in fields(value)}
    return any(own.get(name) for name in RANDOM_OPTIONS) or any(depends_on_mode(inner) for inner in own.values())
