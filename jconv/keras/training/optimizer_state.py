"""The optimizer's arrays in a file into the state of its optax counterpart.

The file lists them without saying what they are: the count of steps, the learning rate where Keras stores it, then the
slots of each array of params, in the order in which Keras lists the trained arrays of the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...model.graph import Tree
from ..files.container import Contents
from ..files.errors import KerasFileError
from ..read.parts import Part
from .optimizer import Rule

Array = np.ndarray[Any, Any]
FOLDER, GROUP = "optimizer/", "optimizer_weights"
MOST_STEPS = 2**31


class Listed:
    """The optimizer's arrays of a file, read one after another; `count` are left."""

    def __init__(self, contents: Contents) -> None:
        if contents.arrays is None:
            raise KerasFileError("the file has a model and no arrays, and so no optimizer")
        paths = contents.arrays.paths()
        if contents.by_layer is not None:
            held = any(path.startswith(f"{GROUP}/") for path in paths)
            names = contents.by_layer.texts("weight_names", GROUP) if held else []
            self._paths = [f"{GROUP}/{name}" for name in names]
        else:
            stored = {path for path in paths if path.startswith(FOLDER)}
            self._paths = [f"{FOLDER}vars/{number}" for number in range(len(stored))]
            strange = sorted(stored - set(self._paths))
            if strange:
                raise KerasFileError(
                    f"the file has an array at {strange[0]!a}; jconv reads optimizers with arrays at optimizer/vars "
                    "alone, and none that scales the loss of a model in float16"
                )
        self._arrays = contents.arrays
        self._next = 0

    @property
    def count(self) -> int:
        """How many arrays are left."""
        return len(self._paths) - self._next

    def read(self, shape: tuple[int, ...], what: str) -> Array:
        """The next array, which must have this shape. Raises `KerasFileError` for another."""
        path = self._paths[self._next]
        self._next += 1
        array = self._arrays.read(path)
        if array.shape != tuple(shape) or array.dtype.kind == "b":
            raise KerasFileError(
                f"the optimizer's array {path!a} is the {what} and must hold numbers of shape {tuple(shape)}, got "
                f"{array.dtype} of shape {array.shape}"
            )
        return array


def trained_arrays(root: Part) -> list[tuple[str, str, tuple[int, ...]]]:
    """`(key, name, shape)` of every array of params, in the order of Keras's `trainable_variables`."""
    shapes = {leaf.key: leaf.layer.param_shapes(leaf.input_shape) for leaf in root.leaves() if leaf.layer is not None}
    return [(key, name, tuple(shape)) for key, own in shapes.items() for name, shape in own.items()]


def read_counts(rule: Rule, listed: Listed, arrays: int) -> tuple[int, float | None]:
    """The count of steps and, where the rule has no schedule, the learning rate; 0 and the rule's for no arrays.

    `arrays` is the number of arrays of params.
    """
    # Keras 2.0 to 2.2 stored no count for RMSprop and Adagrad.
    missing = rule.may_be_uncounted and listed.count == sum(map(len, rule.slots)) * arrays
    if not listed.count or missing:
        return 0, rule.learning_rate
    steps = listed.read((), "count of steps").item()
    if steps != int(steps) or not 0 <= steps < MOST_STEPS:
        raise KerasFileError(f"the optimizer's count of steps must be a whole number below 2**31, got {steps}")
    if not rule.stores_rate:
        return int(steps), rule.learning_rate
    rate = float(listed.read((), "learning rate")) if listed.count else rule.learning_rate
    if rate is None or not np.isfinite(rate):
        raise KerasFileError(f"the optimizer's learning rate must be a finite number, got {rate}")
    return int(steps), rate


def read_slots(
    rule: Rule, listed: Listed, order: Sequence[tuple[str, str, tuple[int, ...]]], params: Tree
) -> dict[str, Tree]:
    """The slots by name, each a tree as params; empty where the model was never trained and the file has none.

    Raises `KerasFileError` for another number of arrays than the optimizer has for the model, and for other shapes.
    """
    wanted = sum(len(group) for group in rule.slots) * len(order)
    spare = rule.unused if listed.count == wanted + len(order) else None
    if listed.count not in (0, wanted) and spare is None:
        raise KerasFileError(
            f"the optimizer has {listed.count} arrays beside its counts, and {rule.name} has {wanted} for the "
            f"model's {len(order)} trained arrays: were layers frozen after it began?"
        )
    slots: dict[str, Tree] = {}
    if not listed.count:
        return slots
    for group in rule.slots:
        for key, name, shape in order:
            for slot in group:
                array = listed.read(shape, f"{slot} of {key} {name}")
                if key in params:
                    slots.setdefault(slot, {}).setdefault(key, {})[name] = jnp.asarray(array, params[key][name].dtype)
    if spare is not None:
        for key, name, shape in order:
            listed.read(spare(shape), f"array beside {key} {name}, which is not used,")
    return slots


def filled(state: Any, slots: Mapping[str, Any], steps: int, accumulation: int) -> Any:
    """A fresh state with its slots and counts in their places."""
    if not hasattr(state, "_fields"):
        return tuple(filled(part, slots, steps, accumulation) for part in state)
    changes = {name: slots[name] for name in state._fields if name in slots}
    if "count" in state._fields:
        changes["count"] = _count(steps)
    if "inner_opt_state" in state._fields:
        done, rest = divmod(steps, accumulation)
        inner = filled(state.inner_opt_state, slots, done, accumulation)
        changes |= {"mini_step": _count(rest), "gradient_step": _count(done), "inner_opt_state": inner}
    return state._replace(**changes)


def counted(state: Any, accumulation: int) -> int:
    """The count of steps that a state has, which may come with gradients on the way to a step; 0 for one without."""
    fields = getattr(state, "_fields", ())
    if "inner_opt_state" in fields:
        return int(state.gradient_step) * accumulation + int(state.mini_step)
    if "count" in fields:
        return int(state.count)
    return max((counted(part, accumulation) for part in state if isinstance(part, tuple)), default=0)


def _count(steps: int) -> jax.Array:
    return jnp.asarray(steps, jnp.int32)
