"""The generations of Keras's optimizers: Keras 3, Keras 2 from 2.11 on, and the legacy optimizers of earlier versions.

They differ in the position of epsilon, the names of options, a `decay` of the learning rate, and the order of the
arrays in a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

CUSTOM_PREFIX = "Custom>"
# Options of Keras 2 that do not change results.
EXECUTION_OPTIONS = ("jit_compile", "is_legacy_optimizer")


class OptimizerVersion(Enum):
    """The generation of an optimizer; each value lists its options that do not change results."""

    LEGACY = ("name", "is_legacy_optimizer")
    KERAS_2 = ("name", *EXECUTION_OPTIONS)
    KERAS_3 = ("name",)


def modernize(value: Any, is_keras_2: bool = False) -> tuple[Any, OptimizerVersion]:
    """A serialized optimizer with the names of Keras 3 for its class and learning rate, and its version.

    An optimizer given by name alone has Keras's default options. `is_keras_2` is whether Keras 2 wrote the file.

    >>> value, version = modernize({"class_name": "Custom>Adam", "config": {"jit_compile": False, "lr": 0.1}})
    >>> value["class_name"], value["config"]["learning_rate"], version.name
    ('Adam', 0.1, 'KERAS_2')
    >>> modernize("adam", is_keras_2=True)[1].name
    'KERAS_2'
    """
    if isinstance(value, str):
        # Only `.keras` archives, which Keras 2 writes since 2.12, contain the name that was passed to `compile`.
        return value, OptimizerVersion.KERAS_2 if is_keras_2 else OptimizerVersion.KERAS_3
    if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
        return value, OptimizerVersion.KERAS_3
    config = dict(value["config"])
    version = _version(value, config)
    if version is not OptimizerVersion.KERAS_3:
        if "lr" in config:
            config.setdefault("learning_rate", config.pop("lr"))
        name = value.get("class_name")
        # Keras 2 registers its own classes under this prefix in HDF5 files.
        name = name.removeprefix(CUSTOM_PREFIX) if isinstance(name, str) and "module" not in value else name
        value = {**value, "class_name": name, "config": config}
    return value, version


def _version(value: Mapping[str, Any], config: Mapping[str, Any]) -> OptimizerVersion:
    module = value.get("module")
    if config.get("is_legacy_optimizer") is True or (isinstance(module, str) and module.endswith(".legacy")):
        return OptimizerVersion.LEGACY
    if any(option in config for option in EXECUTION_OPTIONS):
        return OptimizerVersion.KERAS_2
    is_legacy = "use_ema" not in config and ("decay" in config or "lr" in config)
    return OptimizerVersion.LEGACY if is_legacy else OptimizerVersion.KERAS_3
