"""`python -m training.fit`: prove the gradients, train, evaluate, and leave a run folder with everything in it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jconv

from . import datasets, finetune, interrupt, loop, pretrained, proof, report, run_folder
from .errors import UserError
from .options import Options, parse
from .tasks import TASKS, Examples, Task, with_loss

DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130

EXTRA = 'the training command needs tqdm and matplotlib; install them with: pip install "jconv[train]"'


class Finished(NamedTuple):
    """What training left: the last learner and a row an epoch."""

    learner: loop.Learner
    rows: list[loop.Row]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; see `python -m training.fit --help`."""
    options = parse(arguments)
    try:
        with _device(options.device), jax.enable_x64(options.x64):
            return _run(options)
    except UserError as error:
        print(f"fit: {error}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("fit: interrupted", file=sys.stderr)
        return INTERRUPTED


def _run(options: Options) -> int:
    began = time.perf_counter()
    _check_extras()
    run_folder.check(options.out, options.overwrite)
    data = datasets.load(options.data)
    task = _task(options, data)
    plan = plan_for(options, task)
    learner = loop.start(task, plan, jnp.float64 if options.x64 else jnp.float32)
    print(report.opening(data, task, options.model, learner.params), flush=True)
    run_folder.begin(options.out, _config(options, plan, data, task))

    proved = None
    if not options.skip_proof:
        proved = proof.prove(task, learner.params, learner.state, plan.seed)
        run_folder.write_json(options.out, run_folder.GRADIENTS, proof.as_json(proved))
        print(report.proof_line(proved), flush=True)
        if proved.failures():
            return FAILED
    after_proof = time.perf_counter()

    finished = _train(task, plan, learner)
    after_training = time.perf_counter()
    if not math.isfinite(finished.rows[-1].train_loss):
        run_folder.write_metrics(options.out, finished.rows, task.score_name)
        epoch = len(finished.rows)
        print(f"fit: the loss is not finite after epoch {epoch}; try a lower --learning-rate", file=sys.stderr)
        return FAILED
    results = _save(options, task, finished)
    ended = time.perf_counter()
    seconds = {
        "start and proof": after_proof - began,
        "training": after_training - after_proof,
        "saving": ended - after_training,
    }
    print(report.closing(task, results, proved, seconds, options.out))
    done = len(finished.rows)
    if done < plan.epochs:
        print(f"fit: interrupted after epoch {done} of {plan.epochs}; what there is was saved", flush=True)
        return INTERRUPTED
    return DONE


def _task(options: Options, data: datasets.Dataset) -> Task:
    named = TASKS.get(options.model)
    if named:
        return with_loss(named(data), options.loss) if options.loss else named(data)
    proved = not options.skip_proof
    asked = {"optimizer": options.optimizer, "loss": options.loss}
    return finetune.task(options.model, data, options.learning_rate, proved, **asked)


def plan_for(options: Options, task: Task) -> loop.Plan:
    """The numbers of the run, with the model's defaults for those that were not given.

    Raises `UserError` for a batch that the training set cannot fill.
    """
    examples = len(task.train.x)
    epochs, size = (400, min(max(4, examples // 10), 16)) if task.classes else (60, 32)
    if options.batch_size is not None and options.batch_size > examples:
        raise UserError(f"--batch-size {options.batch_size} is more than the {examples} training examples")
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
    )


def _train(task: Task, plan: loop.Plan, learner: loop.Learner) -> Finished:
    from .progress import progress

    rows = []
    with interrupt.noted() as interrupted, progress(plan.epochs, task.score_name) as show:
        for epoch in loop.train(task, plan, learner):
            learner, row = epoch
            rows.append(row)
            show(row)
            if interrupted() or not math.isfinite(row.train_loss):
                break
    return Finished(learner, rows)


def _save(options: Options, task: Task, finished: Finished) -> dict[str, report.Result]:
    """Write all that training left, and return the loss and score of each part of the data."""
    from . import pictures

    folder, (params, state, slots) = options.out, finished.learner
    run_folder.write_metrics(folder, finished.rows, task.score_name)
    run_folder.write_params(folder, params, state)
    if task.start:
        shape = task.train.x.shape[1:]
        pretrained.save(folder / run_folder.MODEL, task.model, task.start, params, state, slots, shape)
    parts = {"training": task.train} | ({"test": task.test} if task.test else {})
    results = {part: _evaluate(task, finished.learner, examples) for part, examples in parts.items()}
    # The pictures show the test set where there is one.
    part, examples = list(parts.items())[-1]
    output = results[part].output
    drawn = {"learning_curves.png": pictures.learning_curves(finished.rows, task)}
    if task.classes:
        drawn["confusion_matrix.png"] = pictures.confusion_matrix(examples.y, output.argmax(-1), task.classes, part)
        if pictures.has_activation_maps(task):
            drawn["class_activation_map.png"] = pictures.class_activation_map(task, params, state, examples)
    else:
        drawn["predictions.png"] = pictures.predictions(examples, output, part)
    for name, content in drawn.items():
        run_folder.write(folder, name, content)
    return results


def _evaluate(task: Task, learner: loop.Learner, examples: Examples) -> report.Result:
    output, loss, score = loop.evaluation(task)(learner.params, learner.state, *loop.on_device(examples, learner))
    return report.Result(float(loss), float(score), np.asarray(output))


def _config(options: Options, plan: loop.Plan, data: datasets.Dataset, task: Task) -> dict[str, Any]:
    mean, deviation = task.scaling
    return {
        "data": options.data,
        "model": options.model,
        **({"start": task.start.words} if task.start else {}),
        **plan._asdict(),
        "x64": options.x64,
        "classes": list(task.classes),
        "series": {"training": len(data.x_train), "test": 0 if data.x_test is None else len(data.x_test)},
        "series_shape": list(data.x_train.shape[1:]),
        "channel_mean": mean.tolist(),
        "channel_deviation": deviation.tolist(),
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


def _check_extras() -> None:
    try:
        import matplotlib
        import tqdm
    except ImportError:
        raise UserError(EXTRA) from None
    del matplotlib, tqdm


if __name__ == "__main__":
    raise SystemExit(main())
