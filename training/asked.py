"""What the options of a run come to: its task, the numbers of its plan, the type that it computes in."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from . import finetune, protocols
from .data import augment, datasets, splits
from .errors import UserError
from .networks import NETWORKS
from .options import Options
from .plan import Plan
from .tasks import HORIZON, NOISE, TASKS, WINDOW, Task, with_augment, with_loss

# Options that only one task has.
OWN = {"window": "forecast", "horizon": "forecast", "target_channel": "forecast", "noise": "denoise"}
# Tasks whose networks give numbers for each sample.
BY_SAMPLE = ("denoise", "segment")


def task_for(options: Options, data: datasets.Dataset) -> Task:
    """What is learned of the data, with which network. Raises `UserError` for options that do not fit together."""
    kind = _kind(options, data)
    for name, only in OWN.items():
        if getattr(options, name) is not None and kind is not None and kind != only:
            raise UserError(f"--{name.replace('_', '-')} is one for --task {only}, not for --task {kind}")
    if kind is not None:
        _check_fits(options, data, kind)
        task = TASKS[kind](data, options.model, **_own(options, kind))
        return _augmented(options, with_loss(task, options.loss) if options.loss else task)
    if options.members > 1:
        raise UserError(f"--members {options.members} are of a network by name, not of {options.model}")
    task = finetune.task(
        options.model,
        data,
        options.learning_rate,
        not options.skip_proof,
        optimizer=options.optimizer,
        loss=options.loss,
        kind=options.task,
        regresses=regresses(options, data),
        own={name: _own(options, name) for name in TASKS},
    )
    return _augmented(options, task)


def held_out(options: Options, data: datasets.Dataset) -> tuple[datasets.Dataset, datasets.Dataset | None]:
    """The data that are trained on, and the same with what is held out for validation as their test set, if any is."""
    if options.fold:
        return splits.fold(data, *splits.fold_numbers(options.fold), options.seed, _stratified(options, data))
    if options.validation:
        return splits.split(data, options.validation, options.seed, _stratified(options, data))
    return data, None


def plan_for(options: Options, task: Task) -> Plan:
    """The numbers of the run, with the model's defaults for those that were not given.

    Raises `UserError` for a batch that the training set cannot fill.
    """
    examples = len(task.train.x)
    epochs, size = (60, 32) if task.kind == "forecast" else (400, min(max(4, examples // 10), 16))
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


def _stratified(options: Options, data: datasets.Dataset) -> bool:
    """Whether labels are classes of series, of which each part of the data is to have its share."""
    return not (data.fractional or data.by_sample or options.task == "regression")


def dtype_for(options: Options) -> Any:
    """The type of params and of all that is computed in training."""
    return jnp.float64 if options.x64 else jnp.float32


def _augmented(options: Options, task: Task) -> Task:
    return with_augment(task, augment.parse(options.augment)) if options.augment else task


def _kind(options: Options, data: datasets.Dataset) -> str | None:
    """The name in `TASKS`: as asked, else as network and labels say. None for a network from a file, which says it."""
    if options.model not in NETWORKS:
        return None
    network = NETWORKS[options.model]
    if options.task is not None:
        return options.task
    if network.forecasts:
        return "forecast"
    if network.sequence:
        return "segment" if data.by_sample else "denoise"
    return "regression" if data.fractional else "classification"


def _check_fits(options: Options, data: datasets.Dataset, kind: str) -> None:
    """Raise `UserError` where the network, or the protocol, is not one for the task."""
    network, by_sample = NETWORKS[options.model], kind in BY_SAMPLE
    if network.forecasts and kind != "forecast":
        raise UserError(f"--task {kind} is not one for {options.model}, which forecasts")
    if network.sequence != by_sample:
        fit = ", ".join(name for name, one in NETWORKS.items() if one.sequence == by_sample and not one.forecasts)
        raise UserError(f"--task {kind} is not one for {options.model}; it is for {fit}")
    if options.protocol is not None:
        protocols.numbers(options.protocol, options.model)
        if kind != "classification":
            raise UserError(f"--protocol {options.protocol} tells classes apart, and {data.name} is for a {kind}")


def _own(options: Options, kind: str) -> dict[str, Any]:
    """The options that only this task has, as its function takes them."""
    if kind == "classification":
        return {"by_series": options.protocol is not None}
    if kind == "forecast":
        channel = 1 if options.target_channel is None else options.target_channel
        numbers = {"window": options.window or WINDOW, "horizon": options.horizon or HORIZON}
        return numbers | {"channel": None if channel == "all" else int(channel) - 1}
    return {"noise": NOISE if options.noise is None else options.noise} if kind == "denoise" else {}
