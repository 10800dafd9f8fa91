"""How training goes on: an optimizer with its state, and what it minimizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import optax

from ...model.graph import Model, Tree
from ..write.config import Written
from .activity import Activity
from .compiled import Compiled
from .compiled_loss import CompiledLoss
from .optimizer import Rule
from .optimizer_state import counted
from .regularizers import Penalty
from .schedules import Schedule
from .write import write_training


@dataclass(frozen=True)
class Training:
    """How to go on training; see `load_training`.

    `optimizer` and its `state` are for the params that `load` returns, as it returns `model`. `objective` is what is
    minimized, the sum of three: `loss(y, target)` is the mean over a batch of what the model was compiled with, `y` as
    `model.apply` returns it and `target` likewise: class numbers, numbers, or for several outputs a dict by name. It is
    None where jconv cannot have it, and `why_no_loss` then says why. `penalty(params)` is the sum of the regularizers
    of weights and `activity(values)` that of outputs, of what `model.values` gives; zero without any, and both have a
    `reference`, the same in NumPy.

    `schedule` is the learning rate as a function of the count of steps done, and `name` that of Keras's optimizer. With
    an optimizer of the user's own, `schedule` and the `rule` that the file has are None.

    `save(..., training=)` writes it for Keras to go on, from `dataclasses.replace(training, state=slots)` after some
    steps; `compiled` is what it needs of the file.
    """

    model: Model
    name: str
    optimizer: optax.GradientTransformation
    state: Any
    loss: CompiledLoss | None
    why_no_loss: str | None
    penalty: Penalty
    activity: Activity
    schedule: Schedule | None
    rule: Rule | None
    compiled: Compiled

    @property
    def steps(self) -> int:
        """The steps done, by the `state`; 0 for an optimizer of the user's own."""
        return 0 if self.rule is None else counted(self.state, self.rule.accumulation)

    @property
    def learning_rate(self) -> float | None:
        """The learning rate of the next step; None for an optimizer of the user's own."""
        return None if self.schedule is None else float(self.schedule(self.steps))

    def objective(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        target: Any,
        *,
        key: jax.Array | None = None,
        loss: Callable[[Any, Any], jax.Array] | None = None,
    ) -> tuple[jax.Array, tuple[Any, Tree]]:
        """`(value, (y, state))`: what training minimizes, a scalar, of a batch; arguments as `Model.apply` has them.

        `loss` takes the place of the file's. Raises `ValueError` where there is neither, and what `apply` raises.
        """
        loss = loss or self.loss
        if loss is None:
            raise ValueError(f"loss must be given: {self.why_no_loss}")
        values, after = self.model.values(params, state, x, training=True, key=key)
        y = self.model.outputs_of(values, x)
        return loss(y, target) + self.penalty(params) + self.activity(values), (y, after)

    def objective_reference(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        target: Any,
        *,
        loss: Callable[[Any, Any], Any] | None = None,
    ) -> Any:
        """The value of `objective` in NumPy, in float64, or complex128 where an argument is complex.

        `loss`, in NumPy too, takes the place of the file's. Raises as `objective` does.
        """
        loss = loss or (None if self.loss is None else self.loss.reference)
        if loss is None:
            raise ValueError(f"loss must be given: {self.why_no_loss}")
        values = self.model.reference_values(params, state, x, training=True)
        total = self.penalty.reference(params) + self.activity.reference(values)
        return loss(self.model.outputs_of(values, x), target) + total

    def write_into(self, written: Written) -> tuple[dict[str, Any], dict[str, str]]:
        """Add the training to a written model's config, for `save`.

        Returns the optimizer's arrays by path, and names by folder. Raises `KerasFileError` where Keras 3 cannot have
        the optimizer or its state.
        """
        return write_training(written, self)
