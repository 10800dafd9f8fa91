"""What a run leaves when it ends: the files of the trained network, the pictures, and how well it does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from . import loop, pictures, pretrained, report, run_folder
from .tasks import Examples, Task


def save(folder: Path, task: Task, reached: loop.Reached) -> dict[str, report.Result]:
    """Write all that training left, and return the loss and score of each part of the data."""
    learner, rows = loop.kept(reached.learner), reached.rows
    params, state, slots, _ = learner
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
    drawn = {"learning_curves.png": pictures.learning_curves(rows, task)} if rows else {}
    if task.classes:
        drawn["confusion_matrix.png"] = pictures.confusion_matrix(examples.y, output.argmax(-1), task.classes, part)
        if pictures.has_activation_maps(task):
            drawn["class_activation_map.png"] = pictures.class_activation_map(task, params, state, examples)
    elif task.target:
        drawn["predictions.png"] = pictures.predicted_over_true(task, examples, output, part)
    else:
        drawn["predictions.png"] = pictures.predictions(examples, output, part)
    for name, content in drawn.items():
        run_folder.write(folder, name, content)
    return results


def _evaluate(task: Task, learner: loop.Learner, examples: Examples) -> report.Result:
    output, loss, score = loop.evaluation(task)(learner.params, learner.state, loop.on_device(examples, learner))
    return report.Result(float(loss), float(score), np.asarray(output))
