"""The Python API of training: functions of data, task and plan, without files.

A `Task` combines a data set and a network, and a `Plan` has the options of the training loop. `train` returns a
`TrainedModel`, which `evaluate` and `predict` use. The commands `python -m training.fit` and `predict` use the same
functions, and add run folders, checkpoints and the gradient proof.

>>> data = load("gunpoint")
>>> task = classification(data, "fcn")
>>> model = train(task, Plan(epochs=2, batch_size=10, learning_rate=1e-3, seed=0, evaluate_every=2))
>>> [row.epoch for row in model.rows], round(model.rows[-1].train_score) in (0, 1)
([1, 2], True)
>>> evaluate(task, model, task.test).output.shape
(150, 2)
>>> predict(model, data.x_test[:3]).sum(1).round(3).tolist()
[1.0, 1.0, 1.0]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jconv import Model

from .arrays import Array, Tree
from .core import loop
from .core.learner import Learner, Progress, Row, final_learner, init_learner
from .core.loop import Diverged
from .core.optimizers import OPTIMIZERS
from .core.plan import Plan
from .core.precision import PRECISIONS
from .core.schedules import SCHEDULES
from .data.datasets import Dataset, from_arrays, load
from .errors import UserError
from .run import trained
from .tasks import Examples, Task, classification, denoise, forecast, regression, segment, with_augment, with_validation

__all__ = [
    "Dataset",
    "Diverged",
    "Evaluation",
    "Examples",
    "Plan",
    "Row",
    "Task",
    "TrainedModel",
    "UserError",
    "classification",
    "denoise",
    "evaluate",
    "forecast",
    "from_arrays",
    "load",
    "predict",
    "regression",
    "segment",
    "train",
    "with_augment",
    "with_validation",
]


class TrainedModel(NamedTuple):
    """A trained network with its params and state for `network.apply`, and a row for each epoch.

    All arrays are NumPy arrays, so the model can be pickled. If the plan has several `members`, the arrays of `params`
    and `state` have a leading axis. `scaling` is the mean and standard deviation by which `predict` standardizes each
    channel, `described` has everything else that `predict` needs.
    """

    network: Model
    params: Tree
    state: Tree
    rows: tuple[Row, ...]
    scaling: tuple[Array, Array]
    described: trained.Trained


class Evaluation(NamedTuple):
    """Mean loss and score of examples, and the network's outputs for them: logits if classes are learned."""

    loss: float
    score: float
    output: Array


def train(
    task: Task, plan: Plan, *, dtype: Any = jnp.float32, on_epoch: Callable[[Row], None] | None = None
) -> TrainedModel:
    """Train a network.

    Args:
        task: a task, for example from `classification`. The plan says when its test and validation sets are evaluated.
        plan: epochs, batch size, learning rate, seed and methods.
        dtype: the type of the params and of all computations; float64 needs `jax.enable_x64`.
        on_epoch: a function of the row of each epoch, for example to show progress; an exception ends training.

    Returns:
        The model with the params that the plan keeps: of the last epoch, or of the epoch with the lowest loss.

    Raises:
        UserError: for a plan with unknown values, and if a step needs more examples than there are.
        Diverged: if the loss is not finite or explodes.

    >>> task = classification(load("gunpoint"), "lite")
    >>> model = train(task, Plan(1, 25, 1e-3, seed=0, evaluate_every=1))
    >>> model.params["head.1"]["kernel"].shape
    (32, 2)
    """
    _check(task, plan)
    examples, each = len(task.train.x), plan.batch_size * plan.accumulate
    if not 0 < each <= examples:
        raise UserError(f"batch_size {plan.batch_size} times accumulate {plan.accumulate} must be 1 to {examples}")
    progress = Progress(init_learner(task, plan, dtype), ())
    for after in loop.train(task, plan, progress):
        progress = after
        if on_epoch is not None:
            on_epoch(progress.rows[-1])
    learner = final_learner(progress.learner)
    params, state = jax.device_get((learner.params, learner.state))
    return TrainedModel(task.model, params, state, progress.rows, task.scaling, _described(task, plan.members))


def evaluate(task: Task, model: TrainedModel, examples: Examples) -> Evaluation:
    """Loss, score and outputs of a trained model.

    Args:
        task: the task that it was trained on.
        model: what `train` returned.
        examples: `task.train`, `task.validation` or `task.test`, or some of them: `task.test.at([0, 1])`.

    Returns:
        The evaluation; for several members, of their combined outputs.

    >>> task = classification(load("gunpoint"), "lite")
    >>> model = train(task, Plan(1, 25, 1e-3, seed=0, evaluate_every=1))
    >>> evaluate(task, model, task.test.at([0, 1])).output.shape
    (2, 2)
    """
    params, state = jax.tree.map(jnp.asarray, (model.params, model.state))
    on_device = loop.to_device(examples, Learner(params, state, None))
    output, loss, score = loop.make_evaluation(task, members=model.described.members)(params, state, on_device)
    return Evaluation(float(loss), float(score), np.asarray(output))


def predict(model: TrainedModel, x: Any, lengths: Any = None) -> Array:
    """Predict for new series in the units of the data.

    Args:
        model: what `train` returned.
        x: series (n, length, channels), unscaled.
        lengths: the number of samples of each series (n,), if they differ; the samples after them are padding.

    Returns:
        The class probabilities of each series (n, classes), or of each sample (n, length, classes); the values (n,) of
        a regression; the next samples (n, horizon, channels) of a forecast; or the denoised series (n, length,
        channels).

    Raises:
        UserError: if the number of channels differs from training, and for values that are missing, infinite or too
            large.

    >>> data = load("gunpoint")
    >>> model = train(classification(data, "lite"), Plan(1, 25, 1e-3, seed=0, evaluate_every=1))
    >>> predict(model, data.x_test[:5]).shape
    (5, 2)
    """
    x = np.asarray(x)
    channels = model.described.shape[1]
    if x.ndim != 3 or not len(x) or x.shape[2] != channels:
        raise UserError(f"series must be (n, length, {channels}), got shape {x.shape}")
    lengths = None if lengths is None else np.asarray(lengths, np.int32)
    outputs = partial(_outputs, model.network, model.described, model.params, model.state)
    network = model.described._replace(scaling=model.scaling, params=model.params)
    return trained.predict_in_batches(network, outputs, x, lengths)


def _check(task: Task, plan: Plan) -> None:
    """Raise `UserError` for values of a plan that the training loop does not know."""
    known: dict[str, Sequence[Any]] = {
        "optimizer": [*OPTIMIZERS],
        "schedule": [*SCHEDULES],
        "keep": ["last", "best"],
        "watch": ["training", "validation"],
        "precision": [None, *PRECISIONS],
    }
    for name, values in known.items():
        if (value := getattr(plan, name)) not in values:
            raise UserError(f"{name} must be one of {', '.join(map(repr, values))}, got {value!r}")
    for name in ("epochs", "evaluate_every", "members", "accumulate"):
        if (value := getattr(plan, name)) < 1:
            raise UserError(f"{name} must be at least 1, got {value!r}")
    if plan.watch == "validation" and task.validation is None:
        raise UserError("watch 'validation' needs a validation set; with_validation adds one to the task")


def _described(task: Task, members: int) -> trained.Trained:
    """The fields of a task that `trained` reads, without arrays, so that the result is hashable."""
    none: Any = ()
    return trained.Trained(
        name=task.kind,
        kind=task.kind,
        network="",
        outputs=0,
        shape=task.train.x.shape[1:],
        classes=task.classes,
        scaling=none,
        normalize_series=task.normalize_series,
        target=(0.0, 1.0) if task.target_scaling is None else (task.target_scaling.mean, task.target_scaling.deviation),
        ahead=0 if task.forecast_target is None else task.forecast_target.horizon,
        channels=() if task.forecast_target is None else task.forecast_target.channels,
        members=members,
    )


@partial(jax.jit, static_argnums=(0, 1))
def _outputs(network: Model, described: trained.Trained, params: Tree, state: Tree, x: Any, lengths: Any) -> jax.Array:
    return trained.outputs(described._replace(params=params, state=state), network, x, lengths)
