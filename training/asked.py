"""What the options of a run come to: its task, the numbers of its plan, the type that it computes in."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax.numpy as jnp

from . import finetune, protocols
from .data import datasets
from .errors import UserError
from .options import Options
from .plan import Plan
from .tasks import TASKS, Task, classification, forecast, regression, with_loss


def task_for(options: Options, data: datasets.Dataset) -> Task:
    """What is learned of the data, with which network. Raises `UserError` for options that do not fit together."""
    named = TASKS.get(options.model)
    of_numbers = regresses(options, data)
    if options.task and named is forecast:
        raise UserError(f"--task {options.task} is not one for two-layer, which forecasts")
    if options.protocol is not None:
        protocols.numbers(options.protocol, options.model)
        if of_numbers:
            raise UserError(f"--protocol {options.protocol} tells classes apart, and {data.name} is for a regression")
        named = partial(classification, network=options.model, by_series=True)
    elif of_numbers and named not in (None, forecast):
        named = partial(regression, network=options.model)
    if named:
        return with_loss(named(data), options.loss) if options.loss else named(data)
    if options.members > 1:
        raise UserError(f"--members {options.members} are of a network by name, not of {options.model}")
    proved = not options.skip_proof
    asked = {"optimizer": options.optimizer, "loss": options.loss, "regresses": of_numbers}
    return finetune.task(options.model, data, options.learning_rate, proved, **asked)


def plan_for(options: Options, task: Task) -> Plan:
    """The numbers of the run, with the model's defaults for those that were not given.

    Raises `UserError` for a batch that the training set cannot fill.
    """
    examples = len(task.train.x)
    forecasts = not task.classes and task.target is None
    epochs, size = (60, 32) if forecasts else (400, min(max(4, examples // 10), 16))
    if options.batch_size is not None and options.batch_size > examples:
        raise UserError(f"--batch-size {options.batch_size} is more than the {examples} training examples")
    if options.protocol is not None:
        return protocols.plan(
            options.protocol,
            options.model,
            examples,
            epochs=options.epochs,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            optimizer=options.optimizer,
            seed=options.seed,
        )._replace(members=options.members)
    epochs = options.epochs or epochs
    training = task.start.training if task.start and task.start.goes_on else None
    rate = training.learning_rate if training else options.learning_rate or 1e-3
    assert rate is not None
    return Plan(
        epochs=epochs,
        batch_size=min(options.batch_size or size, examples),
        learning_rate=rate,
        seed=options.seed,
        evaluate_every=-(-epochs // 50),
        optimizer=training.name if training else options.optimizer or "adam",
        keep=options.keep,
        members=options.members,
    )


def regresses(options: Options, data: datasets.Dataset) -> bool:
    """Whether numbers are learned: as asked, else where labels have fractions."""
    return options.task == "regression" or (options.task is None and data.fractional)


def dtype_for(options: Options) -> Any:
    """The type of params and of all that is computed in training."""
    return jnp.float64 if options.x64 else jnp.float32
