"""What the options of a run come to: its task, the numbers of its plan, the type that it computes in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp

from jconv.layers import InDtype

from . import finetune, protocols
from .data import datasets
from .errors import UserError
from .optimizers import OPTIMIZERS
from .options import Options
from .plan import Plan
from .precision import HALF
from .tasks import (
    TASKS,
    Task,
    balanced,
    classification,
    forecast,
    regression,
    with_cross_entropy,
    with_loss,
    with_validation,
)

# What a file's own optimizer has, or has not, by itself; and averages, which its state would not be of.
OF_FRESH = ("schedule", "warm_up", "clip", "weight_decay", "ema")


class Asked(NamedTuple):
    """The data, those of them that are held out for validation, what is learned, and the numbers of the run."""

    data: datasets.Dataset
    held: datasets.Dataset | None
    task: Task
    plan: Plan


def asked(options: Options, load: Callable[[str], datasets.Dataset] = datasets.load) -> Asked:
    """What options come to; `load` reads data by their name. Raises `UserError` for whatever is wrong with them."""
    data, held = load(options.data), None
    if options.validation:
        data, held = datasets.split(data, options.validation, options.seed, stratified=not regresses(options, data))
    task = task_for(options, data)
    if held is not None:
        task = with_validation(task, task_for(options, held))
    return Asked(data, held, task, plan_for(options, task))


def task_for(options: Options, data: datasets.Dataset) -> Task:
    """What is learned of the data, with which network. Raises `UserError` for options that do not fit together."""
    task = _task(options, data)
    if not options.label_smoothing and options.class_weights is None:
        return task
    weights = balanced(task.train.y, len(task.classes)) if options.class_weights and task.classes else None
    return with_cross_entropy(task, options.label_smoothing or 0.0, weights)


def _task(options: Options, data: datasets.Dataset) -> Task:
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
    proved = not options.skip_proof
    asked = {"optimizer": options.optimizer, "loss": options.loss, "regresses": of_numbers}
    return finetune.task(options.model, data, options.learning_rate, proved, **asked)


def plan_for(options: Options, task: Task) -> Plan:
    """The numbers of the run, with the model's defaults for those that were not given.

    Raises `UserError` for a batch that the training set cannot fill, and for options that do not fit together.
    """
    examples = len(task.train.x)
    if options.batch_size is not None and options.batch_size > examples:
        raise UserError(f"--batch-size {options.batch_size} is more than the {examples} training examples")
    plan = _with_methods(_plan(options, task), options, task)
    each = plan.batch_size * plan.accumulate
    if each > examples:
        words = f"--accumulate {plan.accumulate} batches of {plan.batch_size} are {each} examples"
        raise UserError(f"{words}, more than the {examples} training examples")
    if plan.warm_up >= plan.epochs:
        raise UserError(f"--warm-up {plan.warm_up} must be less than the {plan.epochs} epochs of the run")
    return plan


def _plan(options: Options, task: Task) -> Plan:
    """How long, in which batches, at which rate, by which optimizer."""
    examples = len(task.train.x)
    forecasts = not task.classes and task.target is None
    epochs, size = (60, 32) if forecasts else (400, min(max(4, examples // 10), 16))
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
        )
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
        keep=options.keep or "last",
    )


def _with_methods(plan: Plan, options: Options, task: Task) -> Plan:
    """The plan with the methods that were asked for."""
    goes_on = task.start is not None and task.start.goes_on
    for name in OF_FRESH if goes_on else ():
        if getattr(options, name) is not None:
            words = f"is not for {options.model}'s own optimizer, which goes on; --optimizer begins one afresh"
            raise UserError(f"--{name.replace('_', '-')} {words}")
    if not goes_on:
        decay = options.weight_decay
        plan = plan._replace(
            schedule=options.schedule or plan.schedule,
            warm_up=options.warm_up or 0,
            clip=options.clip,
            weight_decay=OPTIMIZERS[plan.optimizer].weight_decay if decay is None else decay,
            ema=options.ema,
        )
    if options.early_stopping is not None:
        if options.keep == "last":
            raise UserError("--early-stopping keeps the best params; --keep last cannot go with it")
        plan = plan._replace(keep="best", early_stopping=options.early_stopping)
        if task.validation is not None:
            plan = plan._replace(watch="validation", evaluate_every=1)
    return plan._replace(accumulate=options.accumulate, precision=_precision(options, task))


def _precision(options: Options, task: Task) -> str | None:
    """The half type that the network computes in, None for the type of the params."""
    if options.x64 and options.precision is not None:
        raise UserError(f"--precision {options.precision} cannot go with --x64, which trains in float64")
    if options.precision not in HALF:
        return None
    typed = next((node for node in task.model.nodes if isinstance(node.layer, InDtype)), None)
    if typed is not None:
        raise UserError(f"--precision {options.precision}: {options.model}: {typed.name!r} has a type of its own")
    return options.precision


def regresses(options: Options, data: datasets.Dataset) -> bool:
    """Whether numbers are learned: as asked, else where labels have fractions."""
    return options.task == "regression" or (options.task is None and data.fractional)


def dtype_for(options: Options) -> Any:
    """The type of params and of all that is computed in training."""
    return jnp.float64 if options.x64 else jnp.float32
