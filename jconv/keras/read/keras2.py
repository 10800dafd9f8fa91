"""What Keras 2 meant by its configs where Keras 3 means something else by the same words.

A config whose file says that Keras 2 wrote it is put into Keras 3's words. What differs and has no words in a config,
masks behind layers that merge, is in `values.py`.
"""

from __future__ import annotations

from typing import Any

KERAS_1 = frozenset({"nb_filter", "border_mode", "subsample_length", "inner_activation", "W_regularizer"})
PRUNED = "PruneLowMagnitude"
# Arrays of its that the layer inside does not have.
PRUNING = ("mask", "threshold", "pruning_step")
OPTIONS = ("activation", "recurrent_activation")
# Keras 2's `hard_sigmoid` is clip(0.2 * x + 0.5, 0, 1), Keras 3's has a slope of 1/6.
SLOPE = 0.2
CUT = {"max_value": 1.0, "negative_slope": 0.0, "threshold": 0.0}


def put_lists_in_objects(config: dict[str, Any]) -> bool:
    """Give the Sequential models of a config, whose config Keras 2.0 to 2.2.2 wrote as a list, an object in its place.

    Returns whether there was any, so that the file is of Keras 2 also where it does not say so.

    >>> config = {"class_name": "Sequential", "config": [{"class_name": "Sequential", "config": []}]}
    >>> put_lists_in_objects(config), config["config"]["layers"][0]["config"]
    (True, {'name': 'sequential_1', 'layers': []})
    """
    waiting: list[Any] = [config]
    count = 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += reversed(value)
        elif isinstance(value, dict):
            layers = value.get("config")
            if value.get("class_name") == "Sequential" and isinstance(layers, list):
                # Inside a Functional model the entry has the name; elsewhere the file has none.
                name = value.get("name", f"sequential_{count}" if count else "sequential")
                value["config"] = {"name": name, "layers": layers}
                count += 1
            waiting += reversed(value.values())
    return count > 0


def has_words_of_keras_1(config: dict[str, Any]) -> bool:
    """Whether a layer of a config has an option that only Keras 1 had.

    >>> has_words_of_keras_1({"class_name": "Convolution1D", "config": {"nb_filter": 3}})
    True
    """
    waiting: list[Any] = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            inner = value.get("config")
            if "class_name" in value and isinstance(inner, dict) and not KERAS_1.isdisjoint(inner):
                return True
            waiting += value.values()
    return False


def unwrap_pruned(config: dict[str, Any]) -> None:
    """Put the layer inside each `PruneLowMagnitude` of a config, in place, where that is, under its name.

    The wrapper of TensorFlow's model optimization toolkit sets small weights to zero while it trains, and else does
    nothing.

    >>> config = {"class_name": "PruneLowMagnitude", "config": {"name": "a", "layer": {"class_name": "Dense"}}}
    >>> config["config"]["layer"]["config"] = {"name": "b", "units": 1}
    >>> unwrap_pruned(config)
    >>> config
    {'class_name': 'Dense', 'config': {'name': 'a', 'units': 1}}
    """
    waiting: list[Any] = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            outer = value.get("config")
            inner = outer.get("layer") if value.get("class_name") == PRUNED and isinstance(outer, dict) else None
            if isinstance(inner, dict) and isinstance(inner.get("config"), dict) and isinstance(outer, dict):
                own = {key: outer[key] for key in ("name", "trainable", "batch_input_shape") if key in outer}
                value |= {**inner, "config": {**inner["config"], **own}}
                for key in ("module", "registered_name"):
                    value.pop(key, None)
            waiting += value.values()


def put_in_new_words(config: dict[str, Any]) -> None:
    """Change a config of Keras 2, in place, into one that means the same in Keras 3.

    >>> config = {"class_name": "GRU", "config": {"recurrent_activation": "hard_sigmoid"}}
    >>> put_in_new_words(config)
    >>> config["config"]["recurrent_activation"]["class_name"], config["config"]["reset_after"]
    ('Sequential', False)
    """
    waiting: list[Any] = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            inner = value.get("config")
            if isinstance(inner, dict) and isinstance(value.get("class_name"), str):
                _layer(value["class_name"], inner)


def _layer(class_name: str, config: dict[str, Any]) -> None:
    for option in OPTIONS:
        if config.get(option) == "hard_sigmoid":
            config[option] = hard_sigmoid(SLOPE, option, config.get("dtype", "float32"))
    if class_name == "GRU":
        # Keras before 2.1 had nothing else.
        config.setdefault("reset_after", False)


def hard_sigmoid(slope: float, name: str, dtype: Any) -> dict[str, Any]:
    """clip(slope * x + 0.5, 0, 1) as Keras 3 has it: two layers, in a model that may be an activation."""
    layers = [("Rescaling", {"scale": float(slope), "offset": 0.5}), ("ReLU", CUT)]
    entries = [
        {
            "module": "keras.layers",
            "class_name": class_name,
            "config": {"name": f"{name}_{class_name.lower()}", "dtype": dtype, **options},
            "registered_name": None,
        }
        for class_name, options in layers
    ]
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": name, "layers": entries},
        "registered_name": None,
    }


def slope_of(entry: Any) -> float | None:
    """The slope of a model that is a `hard_sigmoid`, as it is written here or by Keras itself; else None.

    >>> slope_of(hard_sigmoid(0.2, "gate", "float32")), slope_of({"class_name": "Sequential", "config": {}})
    (0.2, None)
    """
    config = entry.get("config") if isinstance(entry, dict) and entry.get("class_name") == "Sequential" else None
    layers = config.get("layers") if isinstance(config, dict) else None
    parts = [part for part in layers if isinstance(part, dict)] if isinstance(layers, list) else []
    found = [(p.get("class_name"), p.get("config")) for p in parts if p.get("class_name") != "InputLayer"]
    if [class_name for class_name, _ in found] != ["Rescaling", "ReLU"]:
        return None
    scaled, cut = (config if isinstance(config, dict) else {} for _, config in found)
    slope = scaled.get("scale")
    same = scaled.get("offset") == 0.5 and all(cut.get(key) == value for key, value in CUT.items())
    return slope if same and isinstance(slope, float) else None
