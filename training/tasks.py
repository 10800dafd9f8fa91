"""A data set and a kind of network, joined: the arrays to train on, the model, and what is minimized and counted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jconv import Model

from . import losses, unequal
from .data.datasets import Dataset, check_classes, standardize, z_normalized
from .errors import UserError
from .networks import NETWORKS, two_layer
from .pretrained import Pretrained

Array = np.ndarray[Any, Any]

WINDOW = 100
HORIZON = 16


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


class Task(NamedTuple):
    """All that training, the proof and the pictures need to know of what is learned.

    `test` is None where there is no test set, `validation` where no training series are held out. `loss` and `score`
    map outputs and targets to a scalar, `loss_reference` does it in NumPy; `score_name` is the score's word and the
    head of its column. `classes` is empty where numbers are learned. `baseline` is empty for a classification and else
    the loss, of each set that there is, of what `baseline_name` says. `scaling` is the mean and deviation of each
    channel that were taken out, `target` that of a regression's targets, None for all else. `start` is what a file has
    of a network that is already trained, None for one that begins afresh.
    """

    model: Model
    train: Examples
    test: Examples | None
    loss: Callable[[jax.Array, jax.Array], jax.Array]
    loss_reference: Callable[[Array, Array], Any]
    score: Callable[[jax.Array, jax.Array], jax.Array]
    score_name: str
    classes: tuple[str, ...]
    baseline: tuple[float, ...]
    scaling: tuple[Array, Array]
    start: Pretrained | None = None
    baseline_name: str = "last sample repeated"
    target: Target | None = None
    validation: Examples | None = None

    def objective(
        self, params: Any, state: Any, examples: Examples, key: jax.Array | None = None
    ) -> tuple[jax.Array, tuple[Any, jax.Array]]:
        """`(value, (state, output))`: the loss, and the penalties of the layers of a network from a file."""
        x, y, lengths = examples
        values, after = unequal.values(self.model, params, state, x, lengths, training=True, key=key)
        output = self.model.outputs_of(values, x)
        value = self.loss(output, y)
        if self.start is not None:
            training = self.start.training
            value = value + training.penalty(params) + training.activity(values)
        return value, (after, output)

    def objective_reference(self, params: Any, state: Any, examples: Examples) -> Any:
        """The value of `objective` in NumPy."""
        x, y, lengths = examples
        if lengths is None:
            values = self.model.reference_values(params, state, x, training=True)
            output = self.model.outputs_of(values, x)
        else:
            # Nothing reads the values of the other nodes: penalties on outputs are refused.
            values, output = {}, unequal.reference(self.model, params, state, x, lengths)
        value = self.loss_reference(output, y)
        if self.start is None:
            return value
        return value + self.start.training.penalty.reference(params) + self.start.training.activity.reference(values)


def classification(data: Dataset, network: str = "fcn", by_series: bool = False) -> Task:
    """Tell the classes apart with a network of `NETWORKS`.

    Channels are standardized by the training set, or with `by_series` each series by itself before. Raises `UserError`
    for fewer than two classes, one that only the test set has, and series of unequal length where the network takes
    none.
    """
    check_classes(data)
    data, *scaling = standardize(z_normalized(data) if by_series else data)
    _, length, channels = data.x_train.shape
    model = NETWORKS[network].build(len(data.classes), (length, channels))
    check_lengths(data, model)
    return Task(
        model,
        Examples(data.x_train, data.y_train, data.lengths_train),
        None if data.x_test is None else Examples(data.x_test, data.y_test, data.lengths_test),
        loss=losses.cross_entropy,
        loss_reference=losses.cross_entropy_reference,
        score=losses.accuracy,
        score_name="accuracy",
        classes=data.classes,
        baseline=(),
        scaling=(scaling[0], scaling[1]),
    )


def regression(data: Dataset, network: str = "fcn") -> Task:
    """Learn the number that is each series's label with a network of `NETWORKS`.

    Channels and targets are standardized by the training set; the score is the mean absolute error in the target's own
    unit, the baseline the mean of the training targets. Raises `UserError` for labels that are no numbers or all the
    same, and series of unequal length where the network takes none.
    """
    own = data.targets_train
    if own is None:
        raise UserError(f"{data.name}: --task regression needs labels that are finite numbers")
    if np.ptp(own) == 0:
        raise UserError(f"{data.name}: all training targets are {own[0]:g}; there is nothing to learn")
    target = Target(float(own.mean()), float(own.std()))
    data, *scaling = standardize(data)
    _, length, channels = data.x_train.shape
    model = NETWORKS[network].build(1, (length, channels))
    check_lengths(data, model)
    both = ((data.x_train, own, data.lengths_train), (data.x_test, data.targets_test, data.lengths_test))
    train, test = (
        None if x is None or y is None else Examples(x, (y[:, None] - target.mean) / target.deviation, lengths)
        for x, y, lengths in both
    )
    assert train is not None
    return Task(
        model,
        train,
        test,
        loss=losses.squared_error,
        loss_reference=losses.squared_error_reference,
        score=lambda output, y: target.deviation * losses.absolute_error(output, y),
        score_name="absolute_error",
        classes=(),
        baseline=tuple(float(np.mean(examples.y**2)) for examples in (train, test) if examples),
        scaling=(scaling[0], scaling[1]),
        baseline_name="training mean",
        target=target,
    )


def check_lengths(data: Dataset, model: Model) -> None:
    """Raise `UserError` where series are of unequal length and the model takes none such."""
    lengths = [own for own in (data.lengths_train, data.lengths_test) if own is not None]
    if lengths:
        _, length, channels = data.x_train.shape
        unequal.check(data.name, model, (length, channels), int(np.concatenate(lengths).min()))


def forecast(data: Dataset) -> Task:
    """Regress the next 16 samples of the first channel on the 100 before them, with the two-layer network.

    Every window of every series is an example: inputs (n, 100, channels), targets (n, 1, 16). Labels are not used.
    Raises `UserError` where the training set, or the test set, has no series of 116 samples.
    """
    for x, lengths in ((data.x_train, data.lengths_train), (data.x_test, data.lengths_test)):
        longest = WINDOW + HORIZON if x is None else x.shape[1] if lengths is None else int(lengths.max())
        if longest < WINDOW + HORIZON:
            raise UserError(
                f"{data.name}: the two-layer model forecasts {HORIZON} samples from {WINDOW}, so series need at least "
                f"{WINDOW + HORIZON} samples; these have {'' if lengths is None else 'up to '}{longest}"
            )
    data, *scaling = standardize(data)
    train = windows(data.x_train, data.lengths_train)
    test = None if data.x_test is None else windows(data.x_test, data.lengths_test)
    return Task(
        two_layer(),
        train,
        test,
        loss=losses.squared_error,
        loss_reference=losses.squared_error_reference,
        score=losses.absolute_error,
        score_name="absolute_error",
        classes=(),
        baseline=tuple(_persistence(examples) for examples in (train, test) if examples),
        scaling=(scaling[0], scaling[1]),
    )


TASKS: dict[str, Callable[[Dataset], Task]] = {
    **{name: partial(classification, network=name) for name, kind in NETWORKS.items() if not kind.sequence},
    "two-layer": forecast,
}


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


def balanced(labels: Array, classes: int) -> Array:
    """The weight of each class (classes,): n / (classes * its count), so that each counts for as much as another.

    A class that is not there has weight 0.

    >>> balanced(np.array([0, 0, 0, 1]), 2)
    array([0.66666667, 2.        ])
    """
    counts = np.bincount(labels, minlength=classes)
    return np.where(counts, len(labels) / (classes * np.maximum(counts, 1)), 0.0)


def with_cross_entropy(task: Task, smoothing: float = 0.0, weights: Array | None = None) -> Task:
    """The task with its cross-entropy smoothed, and with weights (classes,) of the classes.

    Raises `UserError` where something else is minimized.
    """
    if task.loss not in (losses.cross_entropy, losses.probability_cross_entropy):
        option = "--label-smoothing" if smoothing else "--class-weights"
        instead = "; --loss cross-entropy takes its place" if task.classes else ""
        raise UserError(f"{option} is for cross-entropy, and another loss is minimized{instead}")
    own: Any = {"smoothing": smoothing, "weights": weights}
    return task._replace(loss=partial(task.loss, **own), loss_reference=partial(task.loss_reference, **own))


def windows(x: Array, lengths: Array | None = None) -> Examples:
    """Series (n, length, channels) to windows (m, 100, channels) and what follows each, (m, 1, 16).

    With `lengths` (n,), those of each series's own samples.

    >>> x, y, _ = windows(np.arange(120.0).reshape(1, 120, 1))
    >>> x.shape, y.shape, x[1, -1, 0], y[1, 0, 0]
    ((5, 100, 1), (5, 1, 16), np.float64(100.0), np.float64(101.0))
    """
    both = np.lib.stride_tricks.sliding_window_view(x, WINDOW + HORIZON, axis=1)
    if lengths is None:
        both = both.reshape(-1, x.shape[-1], WINDOW + HORIZON)
    else:
        both = both[np.arange(both.shape[1]) + WINDOW + HORIZON <= lengths[:, None]]
    return Examples(both[:, :, :WINDOW].swapaxes(1, 2), both[:, :1, WINDOW:])


def _persistence(examples: Examples) -> float:
    """The squared error of the forecast that nothing will change: what a model must beat."""
    return float(losses.squared_error_reference(examples.x[:, -1:, :1], examples.y))
