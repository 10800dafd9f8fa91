"""Writes the results of a run: the trained network, its evaluation, the pictures, and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from ..core import devices, ensemble, loop, stopping
from ..core.learner import Learner, Progress, final_learner
from ..core.plan import Plan
from ..data.datasets import sample_mask
from ..networks import pretrained
from ..run import processes
from ..tasks import Examples, Task, class_labels, mean_overlap
from ..tasks.metrics import calibration, class_scores, probabilities
from ..views import (
    activation_maps,
    class_pictures,
    curves,
    embeddings,
    predictions,
    report,
    sample_pictures,
    series_pictures,
)
from . import page, run_folder


def save(folder: Path, task: Task, plan: Plan, progress: Progress) -> dict[str, report.Result]:
    """Write the trained network and the pictures; returns loss, score and more for each part of the data.

    Pictures of intermediate values of a network are not drawn for an ensemble.
    """
    learner, rows = final_learner(progress.learner), progress.rows
    # Copied to the host, because what follows runs on one device.
    params, state, slots = jax.device_get(learner[:3])
    run_folder.write_metrics(folder, rows, task.score_name)
    run_folder.write_params(folder, params, state)
    if task.pretrained:
        length, channels = task.train.x.shape[1:]
        shape = length if task.train.lengths is None else None, channels
        pretrained.save(folder / run_folder.MODEL, task.model, task.pretrained, params, state, slots, shape)
    every = {"training": task.train, "validation": task.validation, "test": task.test}
    parts = {part: examples for part, examples in every.items() if examples}
    results = {part: _evaluate(task, learner, examples, plan.members) for part, examples in parts.items()}
    if not processes.is_leader():
        return results
    drawn = _pictures(task, learner, parts, results, is_ensemble=plan.members > 1)
    if rows:
        best = stopping.best_epoch(plan, rows)
        drawn[run_folder.CURVES] = curves.learning_curves(rows, task, best, plan.watch)
    for name in run_folder.PICTURES:
        if name in drawn:
            run_folder.write(folder, name, drawn[name])
        else:
            # A picture that was drawn before the run was resumed shows old results.
            (folder / name).unlink(missing_ok=True)
    return results


def _pictures(
    task: Task, learner: Learner, parts: dict[str, Examples], results: dict[str, report.Result], is_ensemble: bool
) -> dict[str, bytes]:
    """The pictures of the last part of the data, the test set if there is one, by the names of their files."""
    part, examples = list(parts.items())[-1]
    result = results[part]
    output = result.output
    if task.kind == "regression":
        return {run_folder.PREDICTIONS: predictions.predicted_over_true(task, examples, output, part)}
    if task.kind == "forecast":
        return {run_folder.PREDICTIONS: predictions.forecasts(task, examples, output, part)}
    if task.kind == "denoise":
        return {run_folder.DENOISED: sample_pictures.denoised(examples, output, part)}
    labels, predicted = class_labels(examples), _valid_output(examples, output).argmax(-1)
    counted = "samples" if task.is_per_sample else "series"
    assert result.calibration is not None
    drawn = {
        run_folder.CONFUSION: class_pictures.confusion_matrix(labels, predicted, task.classes, part, counted),
        run_folder.CALIBRATION: class_pictures.reliability_diagram(result.calibration, part),
    }
    if task.kind == "segment":
        return drawn | {run_folder.SEGMENTS: sample_pictures.segmented(task, examples, output, part)}
    if (predicted != labels).any():
        drawn[run_folder.MISTAKEN] = series_pictures.misclassified(task.train, task.classes, part, examples, output)
    if is_ensemble:
        return drawn
    if activation_maps.has_activation_maps(task):
        drawn[run_folder.MAPS] = activation_maps.class_activation_map(task, learner.params, learner.state, examples)
    points = {part: embeddings.embed(task, learner.params, learner.state, examples) for part, examples in parts.items()}
    labels_by_part = {part: examples.y for part, examples in parts.items()}
    return drawn | {run_folder.EMBEDDINGS: series_pictures.embeddings(points, labels_by_part, task.classes)}


def write_summary(folder: Path, task: Task, outcome: dict[str, Any]) -> None:
    """Write `results.json` and `report.html`."""
    if not processes.is_leader():
        return
    run_folder.write_json(folder, run_folder.RESULTS, outcome)
    run_folder.write(folder, run_folder.REPORT, page.page(folder, task).encode())


def _evaluate(task: Task, learner: Learner, examples: Examples, members: int) -> report.Result:
    mesh = devices.mesh_of(learner)
    arguments = (learner.params, learner.state, loop.to_device(examples, learner))
    output, loss, score = loop.make_evaluation(task, mesh, members)(*arguments)
    each = ensemble.vmap_members(loop.make_evaluation(task, mesh))(*arguments)[1:] if members > 1 else ()
    of_members = tuple(zip(*(devices.to_host(values).tolist() for values in each), strict=True))
    result = report.Result(float(loss), float(score), devices.to_host(output), members=of_members)
    if not task.classes:
        return result
    labels, class_probabilities = class_labels(examples), probabilities(_valid_output(examples, result.output))
    predicted = class_probabilities.argmax(-1)
    return result._replace(
        mean_overlap=mean_overlap(labels, predicted) if task.kind == "segment" else None,
        classes=tuple(class_scores(labels, predicted, class_labels(task.train), task.classes)),
        calibration=calibration(class_probabilities, labels),
    )


def _valid_output(examples: Examples, output: Any) -> Any:
    """Outputs (n, classes) of series unchanged; outputs of samples as one array (samples, classes), without padding."""
    return output[sample_mask(examples.x, examples.lengths)] if output.ndim == 3 else output
