"""What a run leaves when it ends: the trained network, how well it does, the pictures, and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .. import loop, pretrained
from ..learner import Learner, Reached, best_or_last
from ..tasks import Examples, Task
from ..views import embeddings, page_of_run, pictures, pictures_of_series, report
from . import run_folder


def save(folder: Path, task: Task, reached: Reached) -> dict[str, report.Result]:
    """Write all that training left, and return the loss and score of each part of the data."""
    learner, rows = best_or_last(reached.learner), reached.rows
    params, state, slots = learner[:3]
    run_folder.write_metrics(folder, rows, task.score_name)
    run_folder.write_params(folder, params, state)
    if task.start:
        length, channels = task.train.x.shape[1:]
        shape = length if task.train.lengths is None else None, channels
        pretrained.save(folder / run_folder.MODEL, task.model, task.start, params, state, slots, shape)
    every = {"training": task.train, "validation": task.validation, "test": task.test}
    parts = {part: examples for part, examples in every.items() if examples}
    results = {part: _evaluate(task, learner, examples) for part, examples in parts.items()}
    # The pictures show the test set where there is one.
    part, examples = list(parts.items())[-1]
    output = results[part].output
    drawn = {run_folder.CURVES: pictures.learning_curves(rows, task)} if rows else {}
    if task.classes:
        guessed = output.argmax(-1)
        drawn[run_folder.CONFUSION] = pictures.confusion_matrix(examples.y, guessed, task.classes, part)
        if pictures.has_activation_maps(task):
            drawn[run_folder.MAPS] = pictures.class_activation_map(task, params, state, examples)
        if (guessed != examples.y).any():
            drawn[run_folder.MISTAKEN] = pictures_of_series.misclassified(task, part, examples, output)
        points = {part: embeddings.of(task, params, state, examples) for part, examples in parts.items()}
        labels = {part: examples.y for part, examples in parts.items()}
        drawn[run_folder.EMBEDDINGS] = pictures_of_series.embeddings(points, labels, task.classes)
    elif task.target:
        drawn[run_folder.PREDICTIONS] = pictures.predicted_over_true(task, examples, output, part)
    else:
        drawn[run_folder.PREDICTIONS] = pictures.predictions(examples, output, part)
    for name in run_folder.PICTURES:
        # Where a run was stopped and went on there may be a picture that no longer is true.
        if name in drawn:
            run_folder.write(folder, name, drawn[name])
        else:
            (folder / name).unlink(missing_ok=True)
    return results


def tell(folder: Path, task: Task, outcome: dict[str, Any]) -> None:
    """Write the numbers, and the page that shows all that the folder has."""
    run_folder.write_json(folder, run_folder.RESULTS, outcome)
    run_folder.write(folder, run_folder.REPORT, page_of_run.page(folder, task).encode())


def _evaluate(task: Task, learner: Learner, examples: Examples) -> report.Result:
    output, loss, score = loop.evaluation(task)(learner.params, learner.state, loop.on_device(examples, learner))
    return report.Result(float(loss), float(score), np.asarray(output))
