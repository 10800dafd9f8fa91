"""What training continues with: an optimizer and its state, the losses and the penalties."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import optax

from ...model.graph import Model, Tree
from ..write.config import WrittenModel
from .compiled_loss import CompiledLoss
from .optimizer import ParsedOptimizer
from .optimizer_state import count_steps
from .regularizers import ActivityPenalty, WeightPenalty
from .schedules import Schedule
from .write import CompileConfig, write_training


@dataclass(frozen=True)
class Training:
    """Everything needed to continue training; see `load_training`.

    Attributes:
      model: the model, as `load` returns it.
      name: the name of Keras's optimizer.
      optimizer: the optimizer, for the params that `load` returns.
      state: the state of the optimizer.
      loss: the function `loss(y, target)`, the mean over a batch of the losses that the model was compiled with. `y` is
        what `model.apply` returns; `target` has the same form, or contains class indices. None if not supported.
      why_no_loss: the reason if `loss` is None.
      penalty: `penalty(params)` is the sum of the regularizers of weights.
      activity: `activity(values)` is the sum of the regularizers of outputs, given what `model.values` returns. Like
        `loss` and `penalty`, it has a method `reference` that computes the same in NumPy.
      schedule: the learning rate as a function of the number of steps; None for an optimizer of yours.
      rule: the optimizer's config, parsed; None for an optimizer of yours.
      compiled: what `save` writes of the file's compile config.

    To write a file with which Keras continues, pass `dataclasses.replace(training, state=...)` to `save`.
    """

    model: Model
    name: str
    optimizer: optax.GradientTransformation
    state: Any
    loss: CompiledLoss | None
    why_no_loss: str | None
    penalty: WeightPenalty
    activity: ActivityPenalty
    schedule: Schedule | None
    rule: ParsedOptimizer | None
    compiled: CompileConfig

    @property
    def steps(self) -> int:
        """The number of steps done, according to `state`; 0 for an optimizer of yours."""
        return 0 if self.rule is None else count_steps(self.state, self.rule.accumulation)

    @property
    def learning_rate(self) -> float | None:
        """The learning rate of the next step; None for an optimizer of yours."""
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
        """The function that training minimizes, for a batch: `(value, (y, new state))`.

        The value is the sum of `loss`, `penalty` and `activity`. The arguments are those of `Model.apply`, and a `loss`
        that replaces the file's. Raises `ValueError` if there is no loss, and the errors of `Model.apply`.
        """
        loss = loss or self.loss
        if loss is None:
            raise ValueError(f"loss must be given: {self.why_no_loss}")
        values, new_state = self.model.values(params, state, x, training=True, key=key)
        y = self.model.outputs_of(values, x)
        return loss(y, target) + self.penalty(params) + self.activity(values), (y, new_state)

    def objective_reference(
        self,
        params: Mapping[str, Any],
        state: Mapping[str, Any],
        x: Any,
        target: Any,
        *,
        loss: Callable[[Any, Any], Any] | None = None,
    ) -> Any:
        """The value of `objective` in NumPy, in float64, or in complex128 if an argument is complex.

        `loss`, a function of NumPy arrays, replaces the file's. Raises the same errors as `objective`.
        """
        loss = loss or (None if self.loss is None else self.loss.reference)
        if loss is None:
            raise ValueError(f"loss must be given: {self.why_no_loss}")
        values = self.model.reference_values(params, state, x, training=True)
        penalties = self.penalty.reference(params) + self.activity.reference(values)
        return loss(self.model.outputs_of(values, x), target) + penalties

    def write_into(self, written: WrittenModel) -> tuple[dict[str, Any], dict[str, str]]:
        """Add the training to the config of a written model, for `save`.

        Returns the optimizer's arrays by path and their names by folder. Raises `KerasFileError` if Keras 3 does not
        have the optimizer, or the state does not fit it.
        """
        return write_training(written, self)
