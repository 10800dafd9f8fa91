"""The data, task, plan and dtype of a run, from its options."""

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

# Options of a single task.
OPTIONS_OF_TASK = {"window": "forecast", "horizon": "forecast", "target_channel": "forecast", "noise": "denoise"}
# Tasks with outputs for each sample.
BY_SAMPLE = ("denoise", "segment")
# Options that cannot change the optimizer of a file.
NOT_FOR_KEPT_OPTIMIZER = ("schedule", "warm_up", "clip", "weight_decay", "ema")


class RunSetup(NamedTuple):
    """The data, the same data with the held-out series as the test set, the task, and the plan."""

    data: datasets.Dataset
    held_out: datasets.Dataset | None
    task: Task
    plan: Plan


def build_run(options: Options, load: Callable[[str, bool], datasets.Dataset] = datasets.load) -> RunSetup:
    """Build everything that the options determine; `load` reads a data set by name. Raises `UserError`."""
    data, held_out = hold_out(options, load(options.data, options.channels == "first"))
    task = task_for(options, data)
    if held_out is not None:
        task = with_validation(task, task_for(options, held_out))
    return RunSetup(data, held_out, task, plan_for(options, task))


def task_for(options: Options, data: datasets.Dataset) -> Task:
    """The task of options and data. Raises `UserError` for options that cannot be combined."""
    task = _task(options, data)
    if options.label_smoothing or options.class_weights:
        is_weighted = options.class_weights is not None and task.classes
        weights = balanced(class_labels(task.train), len(task.classes)) if is_weighted else None
        task = with_cross_entropy(task, options.label_smoothing or 0.0, weights)
    return with_augment(task, augment.parse(options.augment)) if options.augment else task


def _task(options: Options, data: datasets.Dataset) -> Task:
    kind = _kind(options, data)
    for name, only in OPTIONS_OF_TASK.items():
        if getattr(options, name) is not None and kind is not None and kind != only:
            raise UserError(f"--{name.replace('_', '-')} is an option of --task {only}, not of --task {kind}")
    if kind is not None:
        _check_task(options, data, kind)
        task = TASKS[kind](data, options.model, **_task_options(options, kind))
        return with_loss(task, options.loss) if options.loss else task
    if options.members > 1:
        raise UserError(f"--members {options.members} needs a network by name, got the file {options.model}")
    return finetune.task(
        options.model,
        data,
        options.learning_rate,
        not options.skip_proof,
        optimizer=options.optimizer,
        loss=options.loss,
        kind=options.task,
        is_regression=options.task == "regression" or (options.task is None and data.has_fractional_labels),
        task_options={name: _task_options(options, name) for name in TASKS},
    )


def hold_out(options: Options, data: datasets.Dataset) -> tuple[datasets.Dataset, datasets.Dataset | None]:
    """The data without the held-out series, and the same data with these as the test set, None without any."""
    if options.fold:
        return splits.fold(data, *splits.fold_numbers(options.fold), options.seed, _stratified(options, data))
    if options.validation and len(data.x_train) == 1 and _kind(options, data) in ("forecast", None):
        # The end of a single series is held out, so that the windows for validation contain no training samples.
        return splits.end(data, options.validation)
    if options.validation:
        return splits.split(data, options.validation, options.seed, _stratified(options, data))
    return data, None


def plan_for(options: Options, task: Task) -> Plan:
    """The plan of the run, with defaults for options that were not given.

    A default batch size is rounded up to a multiple of the devices. Raises `UserError` for a batch larger than the
    training set, for a batch size or a length that is not a multiple of its devices, and for options that cannot be
    combined.
    """
    plan, batch_devices = _plan_for_one_device(options, task), options.devices // options.shard_length
    length = task.train.x.shape[1]
    if length % options.shard_length:
        raise UserError(f"--shard-length {options.shard_length} does not divide the {length} samples of a series")
    batch_size = -(-plan.batch_size // batch_devices) * batch_devices
    if batch_size == plan.batch_size:
        return plan
    sharing = f", of which {options.shard_length} share a series" if options.shard_length > 1 else ""
    devices = f"--devices {options.devices}{sharing}"
    if options.batch_size is not None:
        raise UserError(f"--batch-size {plan.batch_size} is not a multiple of {devices}")
    if options.protocol is not None:
        message = f"the batch size {plan.batch_size} of --protocol {options.protocol} is not a multiple of {devices}"
        raise UserError(f"{message}; --batch-size replaces it")
    if batch_size * plan.accumulate > len(task.train.x):
        needed = f"{devices} needs {batch_size * plan.accumulate} examples for a step"
        raise UserError(f"{needed}, more than the {len(task.train.x)} training examples")
    return plan._replace(batch_size=batch_size)


def _plan_for_one_device(options: Options, task: Task) -> Plan:
    examples = len(task.train.x)
    last = options.seed * options.members + options.members - 1
    if last > LARGEST:
        message = f"--seed {options.seed} with --members {options.members} uses seeds up to {last}"
        raise UserError(f"{message}; they must be at most {LARGEST}")
    if options.batch_size is not None and options.batch_size > examples:
        raise UserError(f"--batch-size {options.batch_size} is more than the {examples} training examples")
    plan = _with_methods(_plan(options, task), options, task)
    step_examples = plan.batch_size * plan.accumulate
    if step_examples > examples:
        message = f"--accumulate {plan.accumulate} batches of {plan.batch_size} are {step_examples} examples"
        raise UserError(f"{message}, more than the {examples} training examples")
    if plan.warm_up >= plan.epochs:
        raise UserError(f"--warm-up {plan.warm_up} must be less than the {plan.epochs} epochs of the run")
    return plan


def _plan(options: Options, task: Task) -> Plan:
    """The plan with its epochs, batch size, learning rate and optimizer."""
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
            message = f"cannot change the optimizer of {options.model}, which continues; --optimizer replaces it"
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
            raise UserError("--early-stopping keeps the best params, so it cannot be combined with --keep last")
        plan = plan._replace(keep="best", early_stopping=options.early_stopping)
        if task.validation is not None:
            if plan.members > 1:
                message = f"--early-stopping with --validation needs one network, got --members {plan.members}"
                why = "whose best epochs differ; without --validation it uses the training loss"
                raise UserError(f"{message}, {why}")
            plan = plan._replace(watch="validation", evaluate_every=1)
    return plan._replace(accumulate=options.accumulate, precision=_precision(options, task))


def _precision(options: Options, task: Task) -> str | None:
    """The 16-bit float type for the computations of the network, None for the dtype of the params."""
    if options.x64 and options.precision is not None:
        raise UserError(f"--precision {options.precision} cannot be combined with --x64, which trains in float64")
    if options.precision not in SIXTEEN_BIT:
        return None
    typed = next((node for node in task.model.nodes if isinstance(node.layer, InDtype)), None)
    if typed is not None:
        raise UserError(f"--precision {options.precision}: {options.model}: {typed.name!r} has its own dtype")
    return options.precision


def _stratified(options: Options, data: datasets.Dataset) -> bool:
    """Whether each part of the data should have the same class frequencies: if each series has a class."""
    return not (data.has_fractional_labels or data.has_sample_labels or options.task == "regression")


def dtype_for(options: Options) -> Any:
    """The dtype of the params and of training."""
    return jnp.float64 if options.x64 else jnp.float32


def _kind(options: Options, data: datasets.Dataset) -> str | None:
    """The name of the task in `TASKS`, by default from network and labels; None for a network from a file."""
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


def _check_task(options: Options, data: datasets.Dataset, kind: str) -> None:
    """Raise `UserError` if the network or the protocol does not support the task."""
    network, by_sample = NETWORKS[options.model], kind in BY_SAMPLE
    if network.forecasts and kind != "forecast":
        raise UserError(f"--model {options.model} supports only --task forecast, not --task {kind}")
    if network.is_per_sample != by_sample:
        others = (name for name, one in NETWORKS.items() if one.is_per_sample == by_sample and not one.forecasts)
        raise UserError(f"--model {options.model} does not support --task {kind}; use {', '.join(others)}")
    if options.protocol is not None:
        protocols.settings(options.protocol, options.model)
        if kind != "classification":
            raise UserError(f"--protocol {options.protocol} is for classification, and {data.name} is for {kind}")


def _task_options(options: Options, kind: str) -> dict[str, Any]:
    """The options that only this task has, as arguments of its function."""
    if kind == "classification":
        return {"normalize_series": options.protocol is not None}
    if kind == "forecast":
        channel = 1 if options.target_channel is None else options.target_channel
        sizes = {"window": options.window or WINDOW, "horizon": options.horizon or HORIZON}
        return sizes | {"channel": None if channel == "all" else int(channel) - 1}
    return {"noise": NOISE if options.noise is None else options.noise} if kind == "denoise" else {}
