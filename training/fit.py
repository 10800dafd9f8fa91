"""`python -m training.fit`: prove the gradients, train, evaluate, and write all results to a run folder."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext, redirect_stdout
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

import jconv

from .commands import folds
from .commands.from_options import build_run, dtype_for
from .core import devices, diverged, ensemble, loop, stopping
from .core.learner import Learner, Progress, Row, init_learner
from .core.plan import Plan, steps_per_epoch
from .errors import MISTAKE, UserError, output, require, say, tell
from .options.options import HYDRA, Options, parse
from .proof import proof
from .run import durable, interrupt, outcome, processes, resume, run_folder
from .run.config import config, recorded_options
from .run.outcome import Exit
from .tasks import Task
from .views import report, tensorboard, tracker

DONE, FAILED, INTERRUPTED = 0, 1, 130

EXTRA = (
    "training needs tqdm, matplotlib and orbax-checkpoint: "
    'pip install "tqdm>=4.66" "matplotlib>=3.10" "orbax-checkpoint>=0.12,<0.13"'
)
HYDRA_EXTRA = '--model hydra needs scikit-learn and matplotlib: pip install "scikit-learn>=1.6,<2" "matplotlib>=3.10"'


class TrainingResult(NamedTuple):
    """The result of the training loop.

    `progress` is the state at its end, `signal` the signal that stopped it, `diverged` the message if it diverged,
    `began_after` the number of epochs that earlier processes completed, and `failed_saves` the list of the checkpoints
    that could not be written, which is complete when the checkpoints are closed.
    """

    progress: Progress
    signal: signal.Signals | None = None
    diverged: str | None = None
    began_after: int = 0
    failed_saves: Sequence[dict[str, Any]] = ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; see `python -m training.fit --help`."""
    options = parse(arguments)
    devices.set_cpu_devices(options.devices // (options.processes or 1))
    try:
        with (
            processes.joined(options) as group,
            redirect_stdout(sys.stderr) if options.json else nullcontext(),
            _device(options.device),
            jax.enable_x64(options.x64),
            jconv.default_algorithm(options.algorithm),
        ):
            run = partial(_run, group=group)
            code, summary = folds.run(group.options, run) if options.folds else run(group.options)
    except UserError as error:
        tell(str(error))
        return MISTAKE
    except KeyboardInterrupt:
        tell("interrupted")
        return INTERRUPTED
    if options.json and processes.is_leader():
        try:
            output(run_folder.as_json(summary))
        except UserError as error:
            tell(str(error))
            return MISTAKE
    return code


def _run(options: Options, before: Callable[[bool, str], None] | None = None, *, group: processes.ProcessGroup) -> Exit:
    """Lock the run folder and run in it. `before(is_new, task)` is called after the checks, before the first write."""
    if options.model == HYDRA:
        require(HYDRA_EXTRA, "matplotlib", "sklearn")
        from .estimators import hydra_run

        return hydra_run.run(options, before)
    began = time.perf_counter()
    require(EXTRA, "matplotlib", "orbax.checkpoint", "tqdm")
    if options.tensorboard:
        require(tensorboard.EXTRA, "tensorboardX")
    if options.tracker:
        require(tracker.EXTRA, "mlflow")
    mesh = devices.make_mesh(options.devices, options.shard_length, options.device)
    # Locked before the checks, so that no other process can change the folder between them and the end of the run.
    with run_folder.locked(options.out):
        task, plan, learner = _begin(options, before, mesh)
        return _run_in_folder(options, group, task, plan, learner, began)


def _begin(
    options: Options, before: Callable[[bool, str], None] | None, mesh: Mesh | None
) -> tuple[Task, Plan, Learner]:
    """Check the options and the locked folder, and write or keep `config.json`: the task, plan and initial learner."""
    earlier = run_folder.config_to_resume(options.out, options.resume, options.overwrite)
    data, held_out, task, plan = build_run(options)
    for note in data.notes:
        tell(note)
    learner = devices.replicate(init_learner(task, plan, dtype_for(options)), mesh)
    opening = report.start_summary(data, task, options.model, learner.params, held_out, plan.members)
    configuration = config(options, plan, data, task, learner)
    if earlier is not None:
        resume.check(options.out, earlier, configuration, options.allow_changed_data, options.allow_changed_conditions)
    if before is not None:
        before(earlier is None, task.kind)
    if earlier is None:
        run_folder.begin(options.out, configuration)
    else:
        run_folder.check_writable(options.out)
    say(opening)
    if mesh is not None:
        say(f"devices    {devices.describe(mesh)}, {plan.batch_size} examples a batch")
    return task, plan, learner


def _run_in_folder(
    options: Options, group: processes.ProcessGroup, task: Task, plan: Plan, learner: Learner, began: float
) -> Exit:
    from .run import results

    worst = None
    if not options.skip_proof:
        worst, proved = _prove(options, task, plan, learner)
        if not proved:
            summary = outcome.outcome(options.out, outcome.NOT_PROVED, task, plan, (), {}, worst, {}, 0)
            return Exit(FAILED, summary)
    group.begin()
    after_proof = time.perf_counter()
    with interrupt.catching_signals() as interrupted:
        finished = _train(options, task, plan, learner, interrupted)
        after_training = time.perf_counter()
        with run_folder.writable(options.out):
            found = results.save(options.out, task, plan, finished.progress)
        seconds = {
            "start and proof": after_proof - began,
            "training": after_training - after_proof,
            "saving": time.perf_counter() - after_training,
        }
        rows = finished.progress.rows
        early = len(rows) < plan.epochs and stopping.should_stop(plan, rows)
        stopped = not early and len(rows) < plan.epochs and finished.signal is not None
        status = outcome.DIVERGED if finished.diverged else outcome.STOPPED if stopped else outcome.DONE
        summary = outcome.outcome(options.out, status, task, plan, rows, found, worst, seconds, finished.began_after)
        summary |= {
            "failed_saves": finished.failed_saves,
            "command": options.command,
            "given": options.given,
            "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        with run_folder.writable(options.out):
            results.write_summary(options.out, task, summary)
        if options.tracker:
            tracker.finish(options.out / run_folder.TRACKER, status)
        received = processes.any_signal(interrupted())
    if early:
        say(report.early_stopping_line(plan, rows))
    say(outcome.closing(summary))
    if finished.diverged:
        tell(f"{finished.diverged}; try a lower --learning-rate")
    if stopped:
        saved = "the results so far are saved; --resume continues"
        say(f"fit: interrupted after epoch {len(rows)} of {plan.epochs}; {saved}")
    elif received:
        say(f"fit: {signal.Signals(received).name} arrived after the training; everything is saved")
    code = interrupt.EXIT_CODES[signal.Signals(received)] if received else DONE
    return Exit(FAILED if finished.diverged else code, summary)


def _prove(options: Options, task: Task, plan: Plan, learner: Learner) -> tuple[dict[str, Any], bool]:
    """Run the gradient proof, or take its result from the run to resume: the worst deviation, and whether it passed."""
    earlier = run_folder.read_json(options.out, run_folder.GRADIENTS) if options.resume else None
    if earlier and earlier.get("passed"):
        say(f"gradients  {report.worst_line(**earlier['worst'])}, when the run began")
        return earlier["worst"], True
    # The first model of an ensemble is enough: the others differ only in the values of their params.
    one = learner if plan.members == 1 else ensemble.select_member(learner, 0)
    proved = proof.prove(task, one.params, one.state, plan.seed)
    content = proof.as_json(proved)
    with run_folder.writable(options.out):
        run_folder.write_json(options.out, run_folder.GRADIENTS, content)
    say(report.proof_line(proved))
    return content["worst"], content["passed"]


def _train(
    options: Options, task: Task, plan: Plan, start: Learner, interrupted: Callable[[], signal.Signals | None]
) -> TrainingResult:
    from .run import checkpoints
    from .views.progress import progress_display

    with checkpoints.opened(options.out / run_folder.CHECKPOINTS, options.checkpoint_every) as kept:
        restored = processes.broadcast_progress(kept.restore(start), start) if options.resume else None
        progress = restored or Progress(start, ())
        began_after = len(progress.rows)
        result = TrainingResult(progress, began_after=began_after, failed_saves=kept.failed)
        if options.resume:
            say(f"resumed    after epoch {began_after} of {plan.epochs}")

        def progress_at(max_epochs: int) -> Progress:
            """The newest checkpoint after at most that many epochs, else the initial state."""
            first = devices.replicate(init_learner(task, plan, dtype_for(options)), devices.mesh_of(start))
            return processes.broadcast_progress(kept.restore(first, max_epochs), first) or Progress(first, ())

        score = task.score_name
        with ExitStack() as stack:
            logs: list[Callable[[Row], None]] = []
            if options.tensorboard:
                events = options.out / run_folder.TENSORBOARD
                opened = tensorboard.opened(events, score, began_after, task.validation is not None)
                logs.append(stack.enter_context(opened))
            if options.tracker:
                record = options.out / run_folder.TRACKER
                opened = tracker.opened(record, recorded_options(options, plan), score, durable.write)
                logs.append(stack.enter_context(opened))
            show = stack.enter_context(progress_display(plan.epochs, steps_per_epoch(task, plan), score, began_after))
            try:
                for after in loop.train(task, plan, progress):
                    result = result._replace(progress=after)
                    for log in (show, *logs):
                        log(after.rows[-1])
                    stop = processes.any_signal(interrupted())
                    if stop:
                        result = result._replace(signal=signal.Signals(stop))
                        break
                    kept.offer(after)
            except loop.Diverged as bad:
                found = diverged.locate(task, plan, bad, progress_at)
                last = Progress(found.learner, result.progress.rows)
                return result._replace(progress=last, diverged=found.message)
        kept.save(result.progress, wait=True)
        return result


def _device(kind: str | None) -> Any:
    if kind is None:
        return nullcontext()
    try:
        return jax.default_device(jax.local_devices(backend=kind)[0])
    except RuntimeError:
        raise UserError(f"--device {kind}: JAX finds no {kind} here") from None


if __name__ == "__main__":
    raise SystemExit(main())
