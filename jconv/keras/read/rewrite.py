"""Changes to a config before it is read: Keras 2's form into Keras 3's, pruning wrappers, and the user's activations.

Every function changes the config in place. Keras 2 and Keras 3 also differ in the masks of merging layers, which no
config contains; see `builder.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..kinds.activation import hard_sigmoid
from ..kinds.config import objects_in
from ..kinds.kind import CustomActivation, is_lambda

KERAS_1_OPTIONS = frozenset({"nb_filter", "border_mode", "subsample_length", "inner_activation", "W_regularizer"})
# Options that only these classes of Keras 1 had, but custom classes may have too.
KERAS_1_CLASS_OPTIONS = {
    **dict.fromkeys(("Dense", "LSTM", "GRU", "SimpleRNN"), frozenset({"output_dim", "init"})),
    **{"Embedding": frozenset({"init"}), "Dropout": frozenset({"p"}), "BatchNormalization": frozenset({"mode"})},
}
# The wrapper of TensorFlow's model optimization toolkit, and its arrays that the wrapped layer does not have.
PRUNING_WRAPPER = "PruneLowMagnitude"
PRUNED = "pruned"
PRUNING_ARRAYS = ("mask", "threshold", "pruning_step")
ACTIVATION_OPTIONS = ("activation", "recurrent_activation")
# Keras 2's `hard_sigmoid` is clip(0.2 * x + 0.5, 0, 1); Keras 3's has a slope of 1/6.
KERAS_2_SLOPE = 0.2


def is_keras_1(config: dict[str, Any]) -> bool:
    """Whether a layer of a config has an option that only Keras 1 had.

    >>> is_keras_1({"class_name": "Dense", "config": {"output_dim": 3}})
    True
    """
    for value in objects_in(config):
        class_name, options = value.get("class_name"), value.get("config")
        if isinstance(class_name, str) and isinstance(options, dict):
            names = KERAS_1_OPTIONS | KERAS_1_CLASS_OPTIONS.get(class_name, frozenset())
            if not names.isdisjoint(options):
                return True
    return False


def replace_layer_lists(config: dict[str, Any]) -> bool:
    """Replace the list of layers that Keras 2.0 to 2.2.2 wrote as the config of a Sequential model by an object.

    Returns whether there was one, so that the file is known to be from Keras 2.

    >>> config = {"class_name": "Sequential", "config": [{"class_name": "Sequential", "config": []}]}
    >>> replace_layer_lists(config), config["config"]["layers"][0]["config"]
    (True, {'name': 'sequential_1', 'layers': []})
    """
    count = 0
    for value in objects_in(config):
        layers = value.get("config")
        if value.get("class_name") == "Sequential" and isinstance(layers, list):
            # In a Functional model the entry has the name; elsewhere the file has none.
            name = value.get("name", f"sequential_{count}" if count else "sequential")
            value["config"] = {"name": name, "layers": layers}
            count += 1
    return count > 0


def unwrap_pruned(config: dict[str, Any]) -> None:
    """Replace each `PruneLowMagnitude` by the layer that it wraps, under the wrapper's name.

    The wrapper sets small weights to zero in training and otherwise does nothing.

    >>> config = {"class_name": "PruneLowMagnitude", "config": {"name": "a", "layer": {"class_name": "Dense"}}}
    >>> config["config"]["layer"]["config"] = {"name": "b", "units": 1}
    >>> unwrap_pruned(config)
    >>> config
    {'class_name': 'Dense', 'config': {'name': 'a', 'units': 1}, 'pruned': True}
    """
    for value in objects_in(config):
        outer = value.get("config")
        if value.get("class_name") != PRUNING_WRAPPER or not isinstance(outer, dict):
            continue
        inner = outer.get("layer")
        if isinstance(inner, dict) and isinstance(inner.get("config"), dict):
            kept = {key: outer[key] for key in ("name", "trainable", "batch_input_shape") if key in outer}
            value |= {**inner, "config": {**inner["config"], **kept}, PRUNED: True}
            for key in ("module", "registered_name"):
                value.pop(key, None)


def is_pruned(entry: dict[str, Any]) -> bool:
    """Whether `unwrap_pruned` took the layer of an entry out of its wrapper."""
    return entry.get(PRUNED) is True


def upgrade_keras_2(config: dict[str, Any]) -> None:
    """Change a config of Keras 2 into one that means the same in Keras 3.

    >>> config = {"class_name": "GRU", "config": {"recurrent_activation": "hard_sigmoid"}}
    >>> upgrade_keras_2(config)
    >>> config["config"]["recurrent_activation"]["class_name"], config["config"]["reset_after"]
    ('Sequential', False)
    """
    for value in objects_in(config):
        options = value.get("config")
        if not isinstance(options, dict) or not isinstance(value.get("class_name"), str):
            continue
        for option in ACTIVATION_OPTIONS:
            if options.get(option) == "hard_sigmoid":
                options[option] = hard_sigmoid(KERAS_2_SLOPE, option, options.get("dtype", "float32"))
        if value["class_name"] == "Embedding" and options.get("dtype") == "int32":
            # In Keras 2.0.2 the type of the indices; the arrays are in float32.
            del options["dtype"]
        if value["class_name"] == "GRU":
            # Keras before 2.1 did not have the option.
            options.setdefault("reset_after", False)


def replace_activations(config: Any, custom: Mapping[str, Any]) -> None:
    """Replace each activation whose name is in `custom` by a `CustomActivation`.

    >>> config = {"config": {"activation": "<lambda>", "name": "dense"}}
    >>> replace_activations(config, {"<lambda>": "tanh"})
    >>> config["config"]["activation"]
    CustomActivation(activation='tanh')
    """
    for value in objects_in(config) if custom else ():
        for option in ACTIVATION_OPTIONS:
            name = next((name for name in _activation_names(value.get(option)) if name in custom), None)
            if name is not None:
                value[option] = CustomActivation(custom[name])


def _activation_names(value: Any) -> list[str]:
    """The names of an activation in a file: a function's, a class's, or `<lambda>`."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, dict):
        return []
    if is_lambda(value) or value.get("class_name") == "Lambda":
        return ["<lambda>"]
    names = [value.get(key) for key in ("registered_name", "class_name")]
    names += [value.get("config")] if value.get("class_name") == "function" else []
    # A registered class is written as "package>name".
    return [part for name in names if isinstance(name, str) for part in (name, name.partition(">")[2])]
