"""What is learned: the arrays to train on, the model, and what is minimized and counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jconv import Model

from ..data.datasets import Dataset, within
from ..errors import UserError
from ..networks import NETWORKS, variable_length
from ..networks.pretrained import Pretrained
from . import losses

Array = np.ndarray[Any, Any]


class Examples(NamedTuple):
    """Inputs (n, length, channels), standardized, and the n targets that the task's loss takes.

    `lengths` (n,) says how many samples of each input are its own, where not all are. NumPy's arrays, float64, or JAX's
    on a device.
    """

    x: Any
    y: Any
    lengths: Any = None

    def at(self, index: Any) -> Examples:
        """Some of them.

        >>> Examples(np.zeros((5, 3, 1)), np.arange(5)).at([4, 1]).y
        array([4, 1])
        """
        return Examples(*(None if part is None else part[index] for part in self))


class Target(NamedTuple):
    """The mean and deviation that were taken out of the numbers of a regression."""

    mean: float
    deviation: float


class Ahead(NamedTuple):
    """What is forecast: so many samples, of these channels, which count from 0."""

    horizon: int
    channels: tuple[int, ...]


class Task(NamedTuple):
    """All that training, the proof and the pictures need to know of what is learned.

    `kind` is its name in `TASKS`. `test` is None where there is no test set, `validation` where no training series are
    held out. `loss` and `score` map outputs and targets to a scalar, `loss_reference` does it in NumPy; `score_name` is
    the score's word and the head of its column. `classes` is empty where numbers are learned. `baseline` is empty for a
    classification and else the loss, or the score where `baseline_of` says that, of each set that there is, of what
    `baseline_name` says. `scaling` is the mean and deviation of each channel that were taken out, `target` that of a
    regression's targets and `ahead` what is forecast, None for all else. `start` is what a file has of a network that
    is already trained, None for one that begins afresh. With `sequence` there are outputs and targets for each sample,
    and losses and scores also take `lengths`. `draw` is what each step makes of its examples with a key before anything
    else, None where it takes them as they are.
    """

    kind: str
    model: Model
    train: Examples
    test: Examples | None
    loss: Callable[..., jax.Array]
    loss_reference: Callable[..., Any]
    score: Callable[..., jax.Array]
    score_name: str
    classes: tuple[str, ...]
    baseline: tuple[float, ...]
    scaling: tuple[Array, Array]
    start: Pretrained | None = None
    baseline_name: str = ""
    baseline_of: str = "loss"
    target: Target | None = None
    ahead: Ahead | None = None
    validation: Examples | None = None
    sequence: bool = False
    draw: Callable[[jax.Array, Examples], Examples] | None = None

    def drawn(self, examples: Examples, key: jax.Array) -> tuple[Examples, jax.Array]:
        """The examples as a step of that key takes them, and the key of what its layers draw."""
        if self.draw is None:
            return examples, key
        key, own = jax.random.split(key)
        return self.draw(own, examples), key

    def measured(self, measure: Callable[..., Any], output: Any, examples: Examples) -> Any:
        """A loss or score of the outputs for examples."""
        if self.sequence and examples.lengths is not None:
            return measure(output, examples.y, lengths=examples.lengths)
        return measure(output, examples.y)

    def objective(
        self, params: Any, state: Any, examples: Examples, key: jax.Array | None = None
    ) -> tuple[jax.Array, tuple[Any, jax.Array]]:
        """`(value, (state, output))`: the loss, and the penalties of the layers of a network from a file."""
        x, _, lengths = examples
        values, after = variable_length.values(self.model, params, state, x, lengths, training=True, key=key)
        output = self.model.outputs_of(values, x)
        value = self.measured(self.loss, output, examples)
        if self.start is not None:
            training = self.start.training
            value = value + training.penalty(params) + training.activity(values)
        return value, (after, output)

    def objective_reference(self, params: Any, state: Any, examples: Examples) -> Any:
        """The value of `objective` in NumPy."""
        x, _, lengths = examples
        if lengths is None:
            values = self.model.reference_values(params, state, x, training=True)
            output = self.model.outputs_of(values, x)
        else:
            # Nothing reads the values of the other nodes: penalties on outputs are refused.
            values, output = {}, variable_length.reference(self.model, params, state, x, lengths)
        value = self.measured(self.loss_reference, output, examples)
        if self.start is None:
            return value
        return value + self.start.training.penalty.reference(params) + self.start.training.activity.reference(values)


def labels_of(examples: Examples) -> Array:
    """The class numbers of all series or, one after the other, of all samples that are theirs."""
    return examples.y if examples.y.ndim == 1 else examples.y[within(examples.x, examples.lengths)]


def built(network: str | Model, data: Dataset, outputs: int, shape: tuple[int, int]) -> Model:
    """A network of `NETWORKS` for series (length, channels), or one as it is.

    Raises `UserError` where such series are too short for it.
    """
    if not isinstance(network, str):
        return network
    model = NETWORKS[network].build(outputs, shape)
    try:
        model.output_shapes(shape)
    except ValueError as error:
        raise UserError(f"{data.name}: {shape[0]} samples are too few for {network}: {error}") from None
    return model


def output_shape(model: Model, shape: tuple[int, int]) -> tuple[Any, ...]:
    """The shape of what a network gives for one series (length, channels)."""
    return tuple(model.output_shapes(shape)[model.outputs[0]])


def check_lengths(data: Dataset, model: Model) -> None:
    """Raise `UserError` where series are of unequal length and the model takes none such."""
    lengths = [own for own in (data.lengths_train, data.lengths_test) if own is not None]
    if lengths:
        _, length, channels = data.x_train.shape
        variable_length.check(data.name, model, (length, channels), np.unique(np.concatenate(lengths)).tolist())


def with_validation(task: Task, other: Task) -> Task:
    """The task with the test set of another as its validation set."""
    baseline = (task.baseline[0], other.baseline[1], *task.baseline[1:]) if task.baseline else ()
    return task._replace(validation=other.test, baseline=baseline)


def with_loss(task: Task, name: str) -> Task:
    """The task with the loss of a name in `losses.LOSSES`.

    Raises `UserError` for a loss of numbers where classes are told apart, and the other way round.
    """
    loss = losses.LOSSES[name]
    if loss.of_classes != bool(task.classes):
        kind = "classes" if task.classes else "numbers"
        raise UserError(f"--loss {name} is not one for {kind}")
    return task._replace(loss=loss.loss, loss_reference=loss.reference)
