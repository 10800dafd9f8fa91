"""What a run leaves when it ends: the trained network, how well it does, the pictures, and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from ..core import devices, ensemble, loop
from ..core.learner import Learner, Progress, final_learner
from ..data.datasets import sample_mask
from ..networks import pretrained
from ..run import processes
from ..tasks import Examples, Task, mean_overlap
from ..views import embeddings, pictures, pictures_of_samples, pictures_of_series, report
from . import page, run_folder


def save(folder: Path, task: Task, progress: Progress, members: int = 1) -> dict[str, report.Result]:
    """Write all that training left, and return the loss and score of each part of the data.

    Pictures of what one network computes are not drawn of several members.
    """
    learner, rows = final_learner(progress.learner), progress.rows
    # From here on on one device.
    params, state, slots = jax.device_get(learner[:3])
    run_folder.write_metrics(folder, rows, task.score_name)
    run_folder.write_params(folder, params, state)
    if task.pretrained:
        length, channels = task.train.x.shape[1:]
        shape = length if task.train.lengths is None else None, channels
        pretrained.save(folder / run_folder.MODEL, task.model, task.pretrained, params, state, slots, shape)
    every = {"training": task.train, "validation": task.validation, "test": task.test}
    parts = {part: examples for part, examples in every.items() if examples}
    results = {part: _evaluate(task, learner, examples, members) for part, examples in parts.items()}
    if not processes.leads():
        return results
    outputs = {part: result.output for part, result in results.items()}
    drawn = _pictures(task, learner, parts, outputs, alone=members == 1)
    if rows:
        drawn[run_folder.CURVES] = pictures.learning_curves(rows, task)
    for name in run_folder.PICTURES:
        # Where a run was stopped and went on there may be a picture that no longer is true.
        if name in drawn:
            run_folder.write(folder, name, drawn[name])
        else:
            (folder / name).unlink(missing_ok=True)
    return results


def _pictures(
    task: Task, learner: Learner, parts: dict[str, Examples], outputs: dict[str, Any], alone: bool
) -> dict[str, bytes]:
    """The pictures of what the network does, by the names of their files: of the test set where there is one.

    Those of what one network computes inside only where it is `alone`.
    """
    part, examples = list(parts.items())[-1]
    output = outputs[part]
    if task.kind == "classification":
        return _of_classes(task, learner, parts, output, alone)
    if task.kind == "regression":
        return {run_folder.PREDICTIONS: pictures.predicted_over_true(task, examples, output, part)}
    if task.kind == "forecast":
        return {run_folder.PREDICTIONS: pictures.predictions(task, examples, output, part)}
    if task.kind == "denoise":
        return {run_folder.DENOISED: pictures_of_samples.denoised(examples, output, part)}
    own = sample_mask(examples.x, examples.lengths)
    labels, guessed = examples.y[own], output.argmax(-1)[own]
    return {
        run_folder.CONFUSION: pictures.confusion_matrix(labels, guessed, task.classes, part, "samples"),
        run_folder.SEGMENTS: pictures_of_samples.segmented(task, examples, output, part),
    }


def _of_classes(task: Task, learner: Learner, parts: dict[str, Examples], output: Any, alone: bool) -> dict[str, bytes]:
    params, state = learner.params, learner.state
    part, examples = list(parts.items())[-1]
    guessed = output.argmax(-1)
    drawn = {run_folder.CONFUSION: pictures.confusion_matrix(examples.y, guessed, task.classes, part)}
    if alone and pictures.has_activation_maps(task):
        drawn[run_folder.MAPS] = pictures.class_activation_map(task, params, state, examples)
    if (guessed != examples.y).any():
        drawn[run_folder.MISTAKEN] = pictures_of_series.misclassified(task, part, examples, output)
    if not alone:
        return drawn
    points = {part: embeddings.of(task, params, state, examples) for part, examples in parts.items()}
    labels = {part: examples.y for part, examples in parts.items()}
    return drawn | {run_folder.EMBEDDINGS: pictures_of_series.embeddings(points, labels, task.classes)}


def tell(folder: Path, task: Task, outcome: dict[str, Any]) -> None:
    """Write the numbers, and the page that shows all that the folder has."""
    if not processes.leads():
        return
    run_folder.write_json(folder, run_folder.RESULTS, outcome)
    run_folder.write(folder, run_folder.REPORT, page.page(folder, task).encode())


def _evaluate(task: Task, learner: Learner, examples: Examples, members: int) -> report.Result:
    mesh, given = devices.mesh_of(learner), (learner.params, learner.state, loop.to_device(examples, learner))
    output, loss, score = loop.make_evaluation(task, mesh, members)(*given)
    each = ensemble.vmap_members(loop.make_evaluation(task, mesh))(*given)[1:] if members > 1 else ()
    pairs = tuple(zip(*(devices.to_host(values).tolist() for values in each), strict=True))
    output, overlap = devices.to_host(output), None
    if task.kind == "segment":
        own = sample_mask(examples.x, examples.lengths)
        overlap = mean_overlap(examples.y[own], output.argmax(-1)[own])
    return report.Result(float(loss), float(score), output, overlap, pairs)
