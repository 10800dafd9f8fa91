"""A task: the arrays to train on, the model, the loss and the score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jconv import Model
from jconv.keras import Training

from ..arrays import Array
from ..data.datasets import Dataset, sample_mask
from ..errors import UserError
from ..networks import NETWORKS, variable_length
from ..networks.pretrained import Pretrained
from . import losses


class Examples(NamedTuple):
    """Standardized inputs (n, length, channels) and their targets, as the task's loss takes them.

    With `lengths` (n,), the samples of each series after its length are padding. Arrays are NumPy's, with floats in
    float64, or JAX's.
    """

    x: Any
    y: Any
    lengths: Any = None

    def at(self, index: Any) -> Examples:
        """The examples at an index.

        >>> Examples(np.zeros((5, 3, 1)), np.arange(5)).at([4, 1]).y
        array([4, 1])
        """
        return Examples(*(None if part is None else part[index] for part in self))


class TargetScaling(NamedTuple):
    """The mean and standard deviation by which the targets of a regression were standardized."""

    mean: float
    deviation: float


class ForecastTarget(NamedTuple):
    """The number of samples that are forecast, and their channels, counted from 0."""

    horizon: int
    channels: tuple[int, ...]


class Task(NamedTuple):
    """What a network learns: everything that training, the gradient proof and the pictures need.

    Attributes:
        kind: its name in `TASKS`.
        model: the network.
        train: training examples.
        test: test examples, None without a test set.
        loss: maps outputs and targets to a scalar; with `is_per_sample` it also takes `lengths`, like `score`.
        loss_reference: the same in NumPy.
        score: maps outputs and targets to a scalar.
        score_name: the name of the score in tables and files.
        classes: names of the classes; empty unless classes are learned.
        baseline: loss or score of a trivial prediction on each part of the data; empty for a classification.
        scaling: the mean and standard deviation of each channel, by which the inputs were standardized.
        pretrained: a network from a file with its optimizer; None for new params.
        baseline_name: the trivial prediction, in words.
        baseline_of: "loss" or "score".
        target_scaling: how the targets of a regression were standardized.
        forecast_target: the samples and channels that are forecast.
        validation: examples held out of the training set, None without any.
        is_per_sample: whether there are outputs and targets for each sample.
        transform: a random change of the examples in each training step, given a key; None for no change.
        normalize_series: whether each series was standardized by itself, before `scaling`.
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
    pretrained: Pretrained | None = None
    baseline_name: str = ""
    baseline_of: str = "loss"
    target_scaling: TargetScaling | None = None
    forecast_target: ForecastTarget | None = None
    validation: Examples | None = None
    is_per_sample: bool = False
    transform: Callable[[jax.Array, Examples], Examples] | None = None
    normalize_series: bool = False

    @property
    def continued_training(self) -> Training | None:
        """The training options of a pretrained network whose optimizer continues; None for a new optimizer."""
        return self.pretrained.training if self.pretrained and self.pretrained.keeps_optimizer else None

    def transformed(self, examples: Examples, key: jax.Array) -> tuple[Examples, jax.Array]:
        """The examples of a training step after `transform`, and the key for the layers of that step."""
        if self.transform is None:
            return examples, key
        key, own_key = jax.random.split(key)
        return self.transform(own_key, examples), key

    def evaluate_metric(self, metric: Callable[..., Any], output: Any, examples: Examples) -> Any:
        """A loss or score of outputs for examples."""
        if self.is_per_sample and examples.lengths is not None:
            return metric(output, examples.y, lengths=examples.lengths)
        return metric(output, examples.y)

    def objective(
        self, params: Any, state: Any, examples: Examples, key: jax.Array | None = None
    ) -> tuple[jax.Array, tuple[Any, jax.Array]]:
        """`(value, (state, output))`: the loss, with the penalties of a pretrained network's layers."""
        x, _, lengths = examples
        values, after = variable_length.values(self.model, params, state, x, lengths, training=True, key=key)
        output = self.model.outputs_of(values, x)
        value = self.evaluate_metric(self.loss, output, examples)
        if self.pretrained is not None:
            training = self.pretrained.training
            value = value + training.penalty(params) + training.activity(values)
        return value, (after, output)

    def objective_reference(self, params: Any, state: Any, examples: Examples) -> Any:
        """The value of `objective` in NumPy."""
        x, _, lengths = examples
        if lengths is None:
            values = self.model.reference_values(params, state, x, training=True)
            output = self.model.outputs_of(values, x)
        else:
            # Only penalties on outputs read the values of other nodes, and those are refused for variable lengths.
            values, output = {}, variable_length.reference(self.model, params, state, x, lengths)
        value = self.evaluate_metric(self.loss_reference, output, examples)
        if self.pretrained is None:
            return value
        training = self.pretrained.training
        return value + training.penalty.reference(params) + training.activity.reference(values)


def class_labels(examples: Examples) -> Array:
    """The class numbers of all series, or of all samples (without padding) in one array."""
    return examples.y if examples.y.ndim == 1 else examples.y[sample_mask(examples.x, examples.lengths)]


def examples_of(
    data: Dataset, change: Callable[[Examples], Examples] = lambda examples: examples
) -> tuple[Examples, Examples | None]:
    """The training and the test series with their class numbers, after `change`; None without a test set."""
    train = change(Examples(data.x_train, data.y_train, data.lengths_train))
    return train, None if data.x_test is None else change(Examples(data.x_test, data.y_test, data.lengths_test))


def model_for_series(network: str | Model, data: Dataset, outputs: int) -> Model:
    """`build_model` for the complete series.

    Raises `UserError` if the series are too short for the network, or of unequal length and it requires one length.
    """
    _, length, channels = data.x_train.shape
    model = build_model(network, data, outputs, (length, channels))
    lengths = [own for own in (data.lengths_train, data.lengths_test) if own is not None]
    if lengths:
        variable_length.check(data.name, model, (length, channels), np.unique(np.concatenate(lengths)).tolist())
    return model


def build_model(network: str | Model, data: Dataset, outputs: int, shape: tuple[int, int]) -> Model:
    """The network of that name in `NETWORKS` for series (length, channels); a model is returned as it is.

    Raises `UserError` for another name, and for series that are too short for the network.
    """
    if not isinstance(network, str):
        return network
    if network not in NETWORKS:
        raise UserError(f"there is no network {network!r}; there are {', '.join(NETWORKS)}")
    model = NETWORKS[network].build(outputs, shape)
    try:
        model.output_shapes(shape)
    except ValueError as error:
        raise UserError(f"{data.name}: {shape[0]} samples are too few for {network}: {error}") from None
    return model


def output_shape(model: Model, shape: tuple[int, int]) -> tuple[Any, ...]:
    """The shape of a network's output for one series (length, channels)."""
    return tuple(model.output_shapes(shape)[model.outputs[0]])


def with_validation(task: Task, held_out: Task) -> Task:
    """The task with the test set of another task as its validation set."""
    baseline = (task.baseline[0], held_out.baseline[1], *task.baseline[1:]) if task.baseline else ()
    return task._replace(validation=held_out.test, baseline=baseline)


def with_loss(task: Task, name: str) -> Task:
    """The task with a loss of `losses.LOSSES`. Raises `UserError` for a loss that does not fit the targets."""
    loss = losses.LOSSES[name]
    if loss.takes_classes != bool(task.classes):
        kinds = ("numbers", "classes") if task.classes else ("classes", "numbers")
        raise UserError(f"--loss {name} is for targets that are {kinds[0]}, and these are {kinds[1]}")
    return task._replace(loss=loss.loss, loss_reference=loss.reference)
