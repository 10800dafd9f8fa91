"""`python -m training.fit --model hydra`: fits `HydraClassifier`, and leaves a run folder for `predict` and `compare`.

A ridge classifier has no epochs, so there are no learning curves, no checkpoints, and no gradients to prove.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..commands.from_options import hold_out
from ..data import datasets
from ..data.datasets import Dataset, Series
from ..errors import UserError, say, tell
from ..options import hydra as hydra_options
from ..options.options import Options
from ..run import outcome, page, resume, run_folder
from ..run.config import environment, fingerprint, series_counts
from ..run.outcome import DONE, Exit
from ..tasks import Examples, examples_of, losses
from ..tasks.metrics import calibration, class_scores
from ..views import class_pictures, html_page, report, series_pictures
from . import hydra_ridge
from .hydra import HydraClassifier
from .hydra_ridge import HydraRidge

PACKAGES = ("jax", "jaxlib", "numpy", "scikit-learn")


def run(options: Options, before: Callable[[bool, str], None] | None = None) -> Exit:
    """A run in its folder; `before(is_new, task)` is called after the checks, before the first write, as `fit` does.

    Raises `UserError` for options that do not apply, and for data that are not classes of series.
    """
    began = time.perf_counter()
    hydra_options.check(options)
    with run_folder.locked(options.out):
        run_folder.check(options.out, options.overwrite or options.resume)
        data, held_out = hold_out(options, datasets.load(options.data, options.channels == "first"))
        datasets.check_classes(data)
        for note in data.notes:
            tell(note)
        config = _config(options, data, held_out)
        earlier = run_folder.config_to_resume(options.out) if options.resume else None
        if earlier is not None:
            resume.check_options(options.out, earlier.get("options", {}), config["options"])
            if earlier.get("fingerprints", config["fingerprints"]) != config["fingerprints"]:
                words = f"the data have changed since {options.out} was started"
                raise UserError(f"{options.data}: {words}; --overwrite starts again")
        if before is not None:
            before(True, "classification")
        run_folder.begin(options.out, config)
        say(report.data_line(data, f"{len(data.classes)} classes", held_out))
        after_start = time.perf_counter()
        model = _fit(data, options.seed)
        say(f"model      hydra, {model.coefficients.shape[1]:,} features")
        after_fit = time.perf_counter()
        parts = _parts(data, held_out)
        results = {part: _evaluate(model, examples, data) for part, examples in parts.items()}
        with run_folder.writable(options.out):
            run_folder.write_params(options.out, hydra_ridge.arrays(model), {})
            _draw(options.out, data, parts, results)
            seconds = {
                "start": after_start - began,
                "features and fit": after_fit - after_start,
                "evaluation and saving": time.perf_counter() - after_fit,
            }
            summary = _summary(options, results, seconds)
            run_folder.write_json(options.out, run_folder.RESULTS, summary)
            run_folder.write(options.out, run_folder.REPORT, _page(options.out, config, summary).encode())
    say(outcome.closing(summary, has_gradients=False))
    return Exit(0, summary)


def _config(options: Options, data: Dataset, held_out: Dataset | None) -> dict[str, Any]:
    plain = data._replace(name="", notes=())
    return {
        "options": hydra_options.recorded(options),
        "fingerprints": {"data": fingerprint(plain if held_out is None else (plain, held_out.x_test))},
        "task": "classification",
        "data": options.data,
        "model": options.model,
        "seed": options.seed,
        "validation": options.validation,
        "classes": list(data.classes),
        "series": series_counts(data, 0 if held_out is None or held_out.x_test is None else len(held_out.x_test)),
        "series_shape": list(data.x_train.shape[1:]),
        "unequal_lengths": data.lengths_train is not None,
        **environment(PACKAGES),
    }


def _fit(data: Dataset, seed: int) -> HydraRidge:
    series = Series(data.x_train, data.lengths_train)
    fitted = HydraClassifier(random_state=seed).fit_series(series, data.y_train)
    ridge = fitted.ridge_
    return HydraRidge(
        fitted.hydra_,
        fitted.scaling_,
        np.atleast_2d(ridge.coef_),
        np.atleast_1d(ridge.intercept_),
        fitted.classes_,
        len(data.classes),
    )


def _parts(data: Dataset, held_out: Dataset | None) -> dict[str, Examples]:
    """The examples of each part of the data, in their own units."""
    training, test = examples_of(data)
    parts = {"training": training, "validation": held_out and examples_of(held_out)[1], "test": test}
    return {part: examples for part, examples in parts.items() if examples}


def _evaluate(model: HydraRidge, examples: Examples, data: Dataset) -> report.Result:
    probabilities, labels = model.probabilities(examples.x, examples.lengths), np.asarray(examples.y)
    predicted = probabilities.argmax(-1)
    return report.Result(
        float(losses.probability_cross_entropy_reference(probabilities, labels)),
        float((predicted == labels).mean()),
        probabilities,
        classes=tuple(class_scores(labels, predicted, data.y_train, data.classes)),
        calibration=calibration(probabilities, labels),
    )


def _draw(folder: Path, data: Dataset, parts: dict[str, Examples], results: dict[str, report.Result]) -> None:
    """Write the pictures of the last part of the data, the test set if there is one."""
    part, examples = list(parts.items())[-1]
    found = results[part]
    labels, predicted = np.asarray(examples.y), found.output.argmax(-1)
    assert found.calibration is not None
    drawn = {
        run_folder.CONFUSION: class_pictures.confusion_matrix(labels, predicted, data.classes, part),
        run_folder.CALIBRATION: class_pictures.reliability_diagram(found.calibration, part),
    }
    if (labels != predicted).any():
        arguments = parts["training"], data.classes, part, examples, found.output
        drawn[run_folder.MISTAKEN] = series_pictures.misclassified(*arguments, unit="value")
    for name, content in drawn.items():
        run_folder.write(folder, name, content)


def _summary(options: Options, results: dict[str, report.Result], seconds: dict[str, float]) -> dict[str, Any]:
    """The content of `results.json`, with the fields of a network's run."""
    return {
        "run": str(options.out),
        "status": DONE,
        "epochs": 0,
        "began_after_epoch": 0,
        "watched": None,
        "best_epoch": None,
        "score_name": "accuracy",
        **{part: outcome.numbers(results.get(part)) for part in run_folder.PARTS},
        "baseline": None,
        "proof": None,
        "seconds": seconds,
        "failed_saves": [],
        "command": options.command,
        "given": options.given,
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _page(folder: Path, config: dict[str, Any], results: dict[str, Any]) -> str:
    """`report.html`."""
    length, channels = config["series_shape"]
    facts = {
        "task": "classification",
        "data": str(config["data"]),
        "series": f"{page.counts(config)}, of {length:,} samples and {channels} channel{'s' if channels > 1 else ''}",
        "classes": f"{len(config['classes'])}: {', '.join(config['classes'])}",
        "model": "Hydra features and a ridge classifier (Dempster, Schmidt and Webb, 2023)",
        "seed": str(config["seed"]),
    }
    took = ", ".join(f"{what} {value:.1f}" for what, value in results["seconds"].items())
    words = f"Seconds: {took}. Probabilities are the softmax of the ridge classifier's scores, which is not calibrated."
    shown = (run_folder.CONFUSION, run_folder.CALIBRATION, run_folder.MISTAKEN)
    pictures = {page.CAPTIONS[name][0]: page.picture(folder / name, page.CAPTIONS[name][1]) for name in shown}
    seconds = sum(results["seconds"].values())
    subtitle = f"{folder.resolve().name}: {results['status']}, {seconds:.1f} seconds, {results['date']}"
    sections = [
        ("Data and model", html_page.facts(facts)),
        ("Command", html_page.code(results["command"])),
        ("Results", page.result_table(results) + html_page.line(words)),
        ("Classes", page.class_table(results)),
        *pictures.items(),
        ("Options that were given", page.given_options(results)),
        ("Hardware and versions", html_page.facts(page.environment(config))),
    ]
    return html_page.page(f"hydra on {config['data']}", subtitle, sections)
