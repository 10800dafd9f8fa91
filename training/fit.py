"""`python -m training.fit`: prove the gradients, train, evaluate, and leave a run folder with everything in it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jconv

from . import diverged, finetune, loop, proof, protocols
from .data import datasets
from .errors import UserError, tell
from .options import Options, parse
from .run import interrupt, outcome, resume, run_folder
from .tasks import TASKS, Task, classification, forecast, regression, with_loss, with_validation
from .views import report

DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130

EXTRA = (
    'the training command needs tqdm, matplotlib and orbax-checkpoint; install them with: pip install "jconv[train]"'
)


class Finished(NamedTuple):
    """Where training ended, the signal that stopped it, and what is to be said where it diverged.

    `began_after` is the number of epochs that an earlier process had done.
    """

    reached: loop.Reached
    signal: signal.Signals | None = None
    diverged: str | None = None
    began_after: int = 0


class Ended(NamedTuple):
    """The exit code of the command, and what `--json` prints."""

    code: int
    told: dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; see `python -m training.fit --help`."""
    options = parse(arguments)
    words = redirect_stdout(sys.stderr) if options.json else nullcontext()
    try:
        with words, _device(options.device), jax.enable_x64(options.x64):
            code, told = _run(options)
    except UserError as error:
        tell(str(error))
        return MISTAKE
    except KeyboardInterrupt:
        tell("interrupted")
        return INTERRUPTED
    if options.json:
        print(run_folder.as_json(told), end="", flush=True)
    return code


def _run(options: Options) -> Ended:
    began = time.perf_counter()
    _check_extras(options)
    begun = run_folder.begun(options.out) if options.resume else None
    if not options.resume:
        run_folder.check(options.out, options.overwrite)
    data = datasets.load(options.data)
    held = None
    if options.validation:
        data, held = datasets.split(data, options.validation, options.seed, stratified=not _regresses(options, data))
    task = _task(options, data)
    if held is not None:
        task = with_validation(task, _task(options, held))
    plan = plan_for(options, task)
    learner = loop.start(task, plan, _dtype(options))
    opening = report.opening(data, task, options.model, learner.params, held)
    config = _config(options, plan, data, task, learner)
    if begun is not None:
        resume.check(options.out, begun, config, options.allow_changed_data)
    with run_folder.locked(options.out):
        if begun is None:
            run_folder.begin(options.out, config)
        else:
            # So that a folder that is read-only shows now, and data that were allowed once are those of the run.
            with run_folder.writable(options.out):
                run_folder.write_json(options.out, run_folder.CONFIG, config)
        print(opening, flush=True)
        return _run_in_folder(options, task, plan, learner, began)


def _run_in_folder(options: Options, task: Task, plan: loop.Plan, learner: loop.Learner, began: float) -> Ended:
    from .run import results

    worst = None
    if not options.skip_proof:
        worst, proved = _prove(options, task, plan, learner)
        if not proved:
            told = outcome.outcome(options.out, outcome.NOT_PROVED, task, (), {}, worst, {}, 0)
            return Ended(FAILED, told)
    after_proof = time.perf_counter()
    finished = _train(options, task, plan, learner)
    after_training = time.perf_counter()
    with run_folder.writable(options.out):
        found = results.save(options.out, task, finished.reached)
    ended = time.perf_counter()
    seconds = {
        "start and proof": after_proof - began,
        "training": after_training - after_proof,
        "saving": ended - after_training,
    }
    rows = finished.reached.rows
    stopped = len(rows) < plan.epochs and finished.signal
    status = outcome.DIVERGED if finished.diverged else outcome.STOPPED if stopped else outcome.DONE
    told = outcome.outcome(options.out, status, task, rows, found, worst, seconds, finished.began_after)
    with run_folder.writable(options.out):
        results.tell(options.out, task, told)
    print(report.closing(task, found, worst, seconds, options.out), flush=True)
    if finished.diverged:
        tell(f"{finished.diverged}; try a lower --learning-rate")
        return Ended(FAILED, told)
    if stopped:
        saved = "what there is was saved, and --resume goes on"
        print(f"fit: interrupted after epoch {len(rows)} of {plan.epochs}; {saved}", flush=True)
        return Ended(interrupt.EXIT_CODES[stopped], told)
    return Ended(DONE, told)


def _prove(options: Options, task: Task, plan: loop.Plan, learner: loop.Learner) -> tuple[tuple[str, float], bool]:
    """The worst deviation and what it is of, and whether the gradients are proved; all is told."""
    before = run_folder.read_json(options.out, run_folder.GRADIENTS) if options.resume else None
    if before and before.get("passed"):
        worst = before["worst"]["of"], before["worst"]["deviation"]
        print(f"gradients  {report.worst_line(worst)}, when the run began", flush=True)
        return worst, True
    proved = proof.prove(task, learner.params, learner.state, plan.seed)
    with run_folder.writable(options.out):
        run_folder.write_json(options.out, run_folder.GRADIENTS, proof.as_json(proved))
    print(report.proof_line(proved), flush=True)
    return proved.worst(), not proved.failures()


def _regresses(options: Options, data: datasets.Dataset) -> bool:
    return options.task == "regression" or (options.task is None and data.fractional)


def _task(options: Options, data: datasets.Dataset) -> Task:
    named = TASKS.get(options.model)
    regresses = _regresses(options, data)
    if options.task and named is forecast:
        raise UserError(f"--task {options.task} is not one for two-layer, which forecasts")
    if options.protocol is not None:
        protocols.numbers(options.protocol, options.model)
        if regresses:
            raise UserError(f"--protocol {options.protocol} tells classes apart, and {data.name} is for a regression")
        named = partial(classification, network=options.model, by_series=True)
    elif regresses and named not in (None, forecast):
        named = partial(regression, network=options.model)
    if named:
        return with_loss(named(data), options.loss) if options.loss else named(data)
    proved = not options.skip_proof
    asked = {"optimizer": options.optimizer, "loss": options.loss, "regresses": regresses}
    return finetune.task(options.model, data, options.learning_rate, proved, **asked)


def plan_for(options: Options, task: Task) -> loop.Plan:
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
        )
    epochs = options.epochs or epochs
    training = task.start.training if task.start and task.start.goes_on else None
    rate = training.learning_rate if training else options.learning_rate or 1e-3
    assert rate is not None
    return loop.Plan(
        epochs=epochs,
        batch_size=min(options.batch_size or size, examples),
        learning_rate=rate,
        seed=options.seed,
        evaluate_every=-(-epochs // 50),
        optimizer=training.name if training else options.optimizer or "adam",
        keep=options.keep,
    )


def _train(options: Options, task: Task, plan: loop.Plan, start: loop.Learner) -> Finished:
    from .run import checkpoints
    from .views import tensorboard
    from .views.progress import progress

    folder = options.out / run_folder.CHECKPOINTS
    with interrupt.noted() as interrupted, checkpoints.opened(folder, options.checkpoint_every) as kept:
        reached = (kept.restore(start) if options.resume else None) or loop.Reached(start, ())
        began_after = len(reached.rows)
        if options.resume:
            print(f"resumed    after epoch {began_after} of {plan.epochs}", flush=True)

        def from_epoch(most: int) -> loop.Reached:
            start = loop.start(task, plan, _dtype(options))
            return kept.restore(start, most) or loop.Reached(start, ())

        steps, score, events = loop.steps_per_epoch(task, plan), task.score_name, None
        if options.tensorboard:
            events = options.out / run_folder.TENSORBOARD
        with (
            tensorboard.opened(events, score, began_after) as log,
            progress(plan.epochs, steps, score, began_after) as show,
        ):
            rows = reached.rows
            try:
                for after in loop.train(task, plan, reached):
                    reached, rows = after, after.rows
                    show(rows[-1])
                    log(rows[-1])
                    if interrupted():
                        break
                    kept.offer(reached)
            except loop.Diverged as bad:
                found = diverged.find(task, plan, bad, from_epoch)
                return Finished(loop.Reached(found.learner, rows), diverged=found.words, began_after=began_after)
        kept.save(reached, wait=True)
        return Finished(reached, interrupted(), began_after=began_after)


def _dtype(options: Options) -> Any:
    return jnp.float64 if options.x64 else jnp.float32


def _config(
    options: Options, plan: loop.Plan, data: datasets.Dataset, task: Task, learner: loop.Learner
) -> dict[str, Any]:
    mean, deviation = task.scaling
    return {
        **resume.identity(options, plan, data, learner),
        "data": options.data,
        "model": options.model,
        **({"start": task.start.words} if task.start else {}),
        **plan._asdict(),
        "x64": options.x64,
        "validation": options.validation,
        "classes": list(task.classes),
        "series": {"training": len(data.x_train), "test": 0 if data.x_test is None else len(data.x_test)},
        "series_shape": list(data.x_train.shape[1:]),
        "unequal_lengths": data.lengths_train is not None,
        "channel_mean": mean.tolist(),
        "channel_deviation": deviation.tolist(),
        **({"target_mean": task.target.mean, "target_deviation": task.target.deviation} if task.target else {}),
        "layers": [f"{node.name}: {node.layer}" for node in task.model.nodes],
        "platform": next(iter(jnp.zeros(()).devices())).platform,
        "versions": {"jconv": jconv.__version__, "jax": jax.__version__, "numpy": np.__version__},
    }


def _device(kind: str | None) -> Any:
    if kind is None:
        return nullcontext()
    try:
        return jax.default_device(jax.devices(kind)[0])
    except RuntimeError:
        raise UserError(f"--device {kind}: JAX finds no {kind} here") from None


def _check_extras(options: Options) -> None:
    try:
        import matplotlib
        import orbax.checkpoint
        import tqdm
    except ImportError:
        raise UserError(EXTRA) from None
    del matplotlib, orbax, tqdm
    if options.tensorboard:
        from .views import tensorboard

        tensorboard.check()


if __name__ == "__main__":
    raise SystemExit(main())
