"""The state of an optimizer, read from a file's arrays.

A file lists the arrays without saying what they are: the step count, the learning rate if Keras stores it, then the
slots of each array of params, in the order of the model's `trainable_variables`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...model.graph import Tree
from ..files.container import Contents
from ..files.errors import KerasFileError
from ..read.parts import ModelPart
from .optimizer import ParsedOptimizer
from .schedules import Schedule

Array = np.ndarray[Any, Any]
FOLDER, GROUP = "optimizer/", "optimizer_weights"
MAX_STEPS = 2**31


class ArrayReader:
    """Reads the arrays of the optimizer in a file one after another."""

    def __init__(self, contents: Contents) -> None:
        if contents.arrays is None:
            raise KerasFileError("the file has a config but no arrays, so it has no state of an optimizer")
        paths = contents.arrays.paths()
        if contents.by_layer is not None:
            has_state = any(path.startswith(f"{GROUP}/") for path in paths)
            names = contents.by_layer.texts("weight_names", GROUP) if has_state else []
            self._paths = deque(f"{GROUP}/{name}" for name in names)
        else:
            stored = {path for path in paths if path.startswith(FOLDER)}
            self._paths = deque(f"{FOLDER}vars/{number}" for number in range(len(stored)))
            unknown = sorted(stored - set(self._paths))
            if unknown:
                raise KerasFileError(
                    f"the file has an array at {unknown[0]!a}; supported are optimizers with all arrays in "
                    "optimizer/vars, and no loss scaling for float16"
                )
        self._arrays = contents.arrays

    @property
    def remaining(self) -> int:
        """The number of arrays that were not read."""
        return len(self._paths)

    def read(self, shape: tuple[int, ...], what: str) -> Array:
        """The next array. Raises `KerasFileError` unless it has this shape."""
        path = self._paths.popleft()
        array = self._arrays.read(path)
        if array.shape != tuple(shape) or array.dtype.kind == "b":
            raise KerasFileError(
                f"the optimizer's array {path!a} is the {what} and must have numbers of shape {tuple(shape)}, got "
                f"{array.dtype} of shape {array.shape}"
            )
        return array


def trainable_arrays(root: ModelPart) -> list[tuple[str, str, tuple[int, ...]]]:
    """`(key, name, shape)` of each array of params, in the order of Keras's `trainable_variables`."""
    shapes = {leaf.key: leaf.layer.param_shapes(leaf.input_shape) for leaf in root.leaves() if leaf.layer is not None}
    return [(key, name, tuple(shape)) for key, own in shapes.items() for name, shape in own.items()]


def read_step_and_rate(optimizer: ParsedOptimizer, reader: ArrayReader, arrays: int) -> tuple[int, float | Schedule]:
    """The step count and the learning rate; 0 and the config's if there are no arrays.

    `arrays` is the number of arrays of params.
    """
    # Keras 2.0 to 2.2 stored no count for RMSprop and Adagrad.
    lacks_count = optimizer.may_lack_count and reader.remaining == sum(map(len, optimizer.slots)) * arrays
    if not reader.remaining or lacks_count:
        return 0, optimizer.learning_rate
    steps = reader.read((), "step count").item()
    if steps != int(steps) or not 0 <= steps < MAX_STEPS:
        raise KerasFileError(f"the optimizer's step count must be an integer from 0 to 2**31 - 1, got {steps}")
    has_rate = optimizer.stores_rate and reader.remaining
    return int(steps), float(reader.read((), "learning rate")) if has_rate else optimizer.learning_rate


def read_slots(
    optimizer: ParsedOptimizer, reader: ArrayReader, order: Sequence[tuple[str, str, tuple[int, ...]]], params: Tree
) -> dict[str, Tree]:
    """The slots by name, each a tree like params; empty if the file has none because the model was never trained.

    Raises `KerasFileError` for a wrong number of arrays and for wrong shapes.
    """
    expected = sum(map(len, optimizer.slots)) * len(order)
    unused_shape = optimizer.unused_shape if reader.remaining == expected + len(order) else None
    if reader.remaining not in (0, expected) and unused_shape is None:
        raise KerasFileError(
            f"the optimizer has {reader.remaining} arrays after its counts; {optimizer.name} must have {expected} for "
            f"the model's {len(order)} trainable arrays. Were layers frozen after training began?"
        )
    slots: dict[str, Tree] = {}
    if not reader.remaining:
        return slots
    for group in optimizer.slots:
        for key, name, shape in order:
            for slot in group:
                array = reader.read(shape, f"{slot} of {key} {name}")
                if key in params:
                    slots.setdefault(slot, {}).setdefault(key, {})[name] = jnp.asarray(array, params[key][name].dtype)
    if unused_shape is not None:
        for key, name, shape in order:
            reader.read(unused_shape(shape), f"unused array of {key} {name}")
    return slots


def fill_state(state: Any, slots: Mapping[str, Any], steps: int, accumulation: int) -> Any:
    """An initial state with the slots and step counts of a file."""
    if not hasattr(state, "_fields"):
        return tuple(fill_state(part, slots, steps, accumulation) for part in state)
    changes = {name: slots[name] for name in state._fields if name in slots}
    if "count" in state._fields:
        changes["count"] = _count(steps)
    if "inner_opt_state" in state._fields:
        updates, mini_step = divmod(steps, accumulation)
        inner = fill_state(state.inner_opt_state, slots, updates, accumulation)
        changes |= {"mini_step": _count(mini_step), "gradient_step": _count(updates), "inner_opt_state": inner}
    return state._replace(**changes)


def count_steps(state: Any, accumulation: int) -> int:
    """The number of steps in a state, including the steps since the last update; 0 if it has no count."""
    fields = getattr(state, "_fields", ())
    if "inner_opt_state" in fields:
        return int(state.gradient_step) * accumulation + int(state.mini_step)
    if "count" in fields:
        return int(state.count)
    return max((count_steps(part, accumulation) for part in state if isinstance(part, tuple)), default=0)


def _count(steps: int) -> jax.Array:
    return jnp.asarray(steps, jnp.int32)
