"""From the options of a run: its data, task, plan, and the dtype of its params."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from jconv.layers import InDtype

from ..core import protocols
from ..core.optimizers import OPTIMIZERS
from ..core.plan import Plan
from ..core.precision import SIXTEEN_BIT
from ..data import augment, datasets, splits
from ..errors import UserError
from ..networks import NETWORKS
from ..options.options import Options
from ..options.types import LARGEST
from ..tasks import (
    HORIZON,
    NOISE,
    TASKS,
    WINDOW,
    Task,
    balanced,
    class_labels,
    with_augment,
    with_cross_entropy,
    with_loss,
    with_validation,
)
from . import finetune

# Options that only one task has.
OPTIONS_OF_TASK = {"window": "forecast", "horizon": "forecast", "target_channel": "forecast", "noise": "denoise"}
# Tasks with outputs for each sample.
BY_SAMPLE = ("denoise", "segment")
# Options that cannot be combined with the optimizer of a file.
NOT_FOR_KEPT_OPTIMIZER = ("schedule", "warm_up", "clip", "weight_decay", "ema")


class RunSetup(NamedTuple):
    """The data, the part of them held out for validation, the task and the plan."""

    data: datasets.Dataset
    held_out: datasets.Dataset | None
    task: Task
    plan: Plan


def build_run(options: Options, load: Callable[[str, bool], datasets.Dataset] = datasets.load) -> RunSetup:
    """Everything that options determine; `load` reads data by name. Raises `UserError` for options that are wrong."""
    data, held_out = hold_out(options, load(options.data, options.channels == "first"))
    task = task_for(options, data)
    if held_out is not None:
        task = with_validation(task, task_for(options, held_out))
    return RunSetup(data, held_out, task, plan_for(options, task))


def task_for(options: Options, data: datasets.Dataset) -> Task:
    """The task of options and data. Raises `UserError` for options that cannot be combined."""
    task = _task(options, data)
    if options.label_smoothing or options.class_weights:
        weights = (
            balanced(class_labels(task.train), len(task.classes)) if options.class_weights and task.classes else None
        )
        task = with_cross_entropy(task, options.label_smoothing or 0.0, weights)
    return _augmented(options, task)


def _task(options: Options, data: datasets.Dataset) -> Task:
    kind = _kind(options, data)
    for name, only in OPTIONS_OF_TASK.items():
        if getattr(options, name) is not None and kind is not None and kind != only:
            raise UserError(f"--{name.replace('_', '-')} is one for --task {only}, not for --task {kind}")
    if kind is not None:
        _check_fits(options, data, kind)
        task = TASKS[kind](data, options.model, **_own(options, kind))
        return with_loss(task, options.loss) if options.loss else task
    if options.members > 1:
        raise UserError(f"--members {options.members} are of a network by name, not of {options.model}")
    return finetune.task(
        options.model,
        data,
        options.learning_rate,
        not options.skip_proof,
        optimizer=options.optimizer,
        loss=options.loss,
        kind=options.task,
        is_regression=is_regression(options, data),
        own={name: _own(options, name) for name in TASKS},
    )


def hold_out(options: Options, data: datasets.Dataset) -> tuple[datasets.Dataset, datasets.Dataset | None]:
    """The data without the series held out for validation, and the same data with these as the test set, if any."""
    if options.fold:
        return splits.fold(data, *splits.fold_numbers(options.fold), options.seed, _stratified(options, data))
    if options.validation and len(data.x_train) == 1 and _kind(options, data) in ("forecast", None):
        # The end of a single series; its windows contain no training samples.
        return splits.end(data, options.validation)
    if options.validation:
        return splits.split(data, options.validation, options.seed, _stratified(options, data))
    return data, None


def plan_for(options: Options, task: Task) -> Plan:
    """The plan of the run, with defaults for options that were not given.

    A default batch size is rounded up to a multiple of the devices. Raises `UserError` for a batch larger than the
    training set, for a given batch size or a length that the devices cannot divide evenly, and for options that cannot
    be combined.
    """
    plan, many = _plan_of_one(options, task), options.devices // options.shard_length
    length = task.train.x.shape[1]
    if length % options.shard_length:
        raise UserError(f"--shard-length {options.shard_length} does not divide the {length} samples of a series")
    shared = -(-plan.batch_size // many) * many
    if shared == plan.batch_size:
        return plan
    of_length = f", of which {options.shard_length} share a series" if options.shard_length > 1 else ""
    over = f"--devices {options.devices}{of_length}"
    if options.batch_size is not None:
        raise UserError(f"--batch-size {plan.batch_size} is not a multiple of {over}")
    if options.protocol is not None:
        message = f"--protocol {options.protocol} has a batch of {plan.batch_size}, no multiple of {over}"
        raise UserError(f"{message}; --batch-size takes its place")
    if shared * plan.accumulate > len(task.train.x):
        raise UserError(f"{over} is more than the {len(task.train.x)} training examples can share")
    return plan._replace(batch_size=shared)


def _plan_of_one(options: Options, task: Task) -> Plan:
    examples = len(task.train.x)
    last = options.seed * options.members + options.members - 1
    if last > LARGEST:
        message = f"--seed {options.seed} with --members {options.members} has seeds up to {last}"
        raise UserError(f"{message}; they must be at most {LARGEST}")
    if options.batch_size is not None and options.batch_size > examples:
        raise UserError(f"--batch-size {options.batch_size} is more than the {examples} training examples")
    plan = _with_methods(_plan(options, task), options, task)
    each = plan.batch_size * plan.accumulate
    if each > examples:
        message = f"--accumulate {plan.accumulate} batches of {plan.batch_size} are {each} examples"
        raise UserError(f"{message}, more than the {examples} training examples")
    if plan.warm_up >= plan.epochs:
        raise UserError(f"--warm-up {plan.warm_up} must be less than the {plan.epochs} epochs of the run")
    return plan


def _plan(options: Options, task: Task) -> Plan:
    """The plan of epochs, batches, learning rate and optimizer."""
    examples = len(task.train.x)
    epochs, size = (60, 32) if task.kind == "forecast" else (400, min(max(4, examples // 10), 16))
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
    training = task.pretrained.training if task.pretrained and task.pretrained.keeps_optimizer else None
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
        members=options.members,
    )


def _with_methods(plan: Plan, options: Options, task: Task) -> Plan:
    """The plan with schedule, clipping, decay, averages, early stopping and precision."""
    keeps_optimizer = task.pretrained is not None and task.pretrained.keeps_optimizer
    for name in NOT_FOR_KEPT_OPTIMIZER if keeps_optimizer else ():
        if getattr(options, name) is not None:
            message = f"is not for {options.model}'s own optimizer, which is continued; --optimizer starts a new one"
            raise UserError(f"--{name.replace('_', '-')} {message}")
    if not keeps_optimizer:
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
            if plan.members > 1:
                why = "the best of each would be of another epoch; without --validation the training loss is watched"
                raise UserError(f"--early-stopping by validation is not for --members {plan.members}: {why}")
            plan = plan._replace(watch="validation", evaluate_every=1)
    return plan._replace(accumulate=options.accumulate, precision=_precision(options, task))


def _precision(options: Options, task: Task) -> str | None:
    """The 16-bit float that the network computes in, None for the dtype of the params."""
    if options.x64 and options.precision is not None:
        raise UserError(f"--precision {options.precision} cannot go with --x64, which trains in float64")
    if options.precision not in SIXTEEN_BIT:
        return None
    typed = next((node for node in task.model.nodes if isinstance(node.layer, InDtype)), None)
    if typed is not None:
        raise UserError(f"--precision {options.precision}: {options.model}: {typed.name!r} has a type of its own")
    return options.precision


def is_regression(options: Options, data: datasets.Dataset) -> bool:
    """Whether numbers are learned: with `--task regression`, or if labels have fractions."""
    return options.task == "regression" or (options.task is None and data.has_fractional_labels)


def _stratified(options: Options, data: datasets.Dataset) -> bool:
    """Whether labels are classes of series, so that each part of the data has the same class frequencies."""
    return not (data.has_fractional_labels or data.has_sample_labels or options.task == "regression")


def dtype_for(options: Options) -> Any:
    """The dtype of the params and of training."""
    return jnp.float64 if options.x64 else jnp.float32


def _augmented(options: Options, task: Task) -> Task:
    return with_augment(task, augment.parse(options.augment)) if options.augment else task


def _kind(options: Options, data: datasets.Dataset) -> str | None:
    """The name in `TASKS`: that of `--task`, else by network and labels. None for a network from a file."""
    if options.model not in NETWORKS:
        return None
    network = NETWORKS[options.model]
    if options.task is not None:
        return options.task
    if network.forecasts:
        return "forecast"
    if network.is_per_sample:
        return "segment" if data.has_sample_labels else "denoise"
    return "regression" if data.has_fractional_labels else "classification"


def _check_fits(options: Options, data: datasets.Dataset, kind: str) -> None:
    """Raise `UserError` if the network or the protocol does not fit the task."""
    network, by_sample = NETWORKS[options.model], kind in BY_SAMPLE
    if network.forecasts and kind != "forecast":
        raise UserError(f"--task {kind} is not one for {options.model}, which forecasts")
    if network.is_per_sample != by_sample:
        fit = ", ".join(name for name, one in NETWORKS.items() if one.is_per_sample == by_sample and not one.forecasts)
        raise UserError(f"--task {kind} is not one for {options.model}; it is for {fit}")
    if options.protocol is not None:
        protocols.settings(options.protocol, options.model)
        if kind != "classification":
            raise UserError(f"--protocol {options.protocol} tells classes apart, and {data.name} is for a {kind}")


def _own(options: Options, kind: str) -> dict[str, Any]:
    """The options of this task only, as arguments of its function."""
    if kind == "classification":
        return {"normalize_series": options.protocol is not None}
    if kind == "forecast":
        channel = 1 if options.target_channel is None else options.target_channel
        numbers = {"window": options.window or WINDOW, "horizon": options.horizon or HORIZON}
        return numbers | {"channel": None if channel == "all" else int(channel) - 1}
    return {"noise": NOISE if options.noise is None else options.noise} if kind == "denoise" else {}
