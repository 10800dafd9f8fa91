"""`report.html`: all that a run's folder has, on one page that can be mailed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ..tasks import Task
from ..views import html_page, report
from . import run_folder

CAPTIONS = {
    run_folder.CURVES: ("Curves", "Loss and score after each epoch."),
    run_folder.CONFUSION: ("Confusion matrix", "How many of each class were taken for each class."),
    run_folder.MAPS: (
        "Class activation maps",
        "Where in time the network sees the class of a series: red speaks for it, blue against.",
    ),
    run_folder.MISTAKEN: (
        "Misclassified series",
        "Those that are most wrong, with the mean training series of their class and of the guess.",
    ),
    run_folder.EMBEDDINGS: (
        "Embeddings",
        "What the last layer reads of each series, in the two directions in which the training series differ most.",
    ),
    run_folder.DENOISED: (
        "Denoised series",
        "Six series spread over the set: with noise, without, and what the network made of the noisy one.",
    ),
    run_folder.SEGMENTS: (
        "Segments",
        "Six series spread over the set, over the true class of each sample and the guess.",
    ),
    run_folder.PREDICTIONS: (
        "Predictions",
        "What was predicted: of a forecast after what was read, of a regression over what is true.",
    ),
}


def page(folder: Path, task: Task) -> str:
    """The page of a run that has written its numbers and pictures to `folder`."""
    config, results = (run_folder.read_json(folder, name) or {} for name in (run_folder.CONFIG, run_folder.RESULTS))
    seconds = sum(results["seconds"].values())
    title = f"{config['model']} on {config['data']}"
    epochs = f"{results['epochs']} of {config['epochs']} epochs"
    under = f"{folder.resolve().name}: {results['status']}, {epochs}, {seconds:.1f} seconds"
    pictures = {head: _picture(folder / name, caption) for name, (head, caption) in CAPTIONS.items()}
    mistaken = CAPTIONS[run_folder.MISTAKEN][0]
    if task.kind == "classification" and not pictures[mistaken]:
        pictures[mistaken] = html_page.line("None.")
    options = {**config["options"], **{name: config[name] for name in ("evaluate_every", "schedule")}}
    versions = {**config["versions"], "platform": config["platform"]}
    prints = {f"{name} fingerprint": value for name, value in config["fingerprints"].items() if value}
    sections = [
        ("What was trained on what", html_page.facts(_facts(config, task))),
        ("Results", _results(results, task) + html_page.line(_proof(results)) + html_page.line(_went(results))),
        *pictures.items(),
        ("Layers", _layers(folder, task)),
        ("Options", html_page.facts({_spaced(name): _said(value) for name, value in options.items()})),
        ("Versions", html_page.facts({_spaced(name): _said(value) for name, value in (versions | prints).items()})),
    ]
    return html_page.page(title, under, sections)


def _picture(path: Path, caption: str) -> str:
    return html_page.picture(path.read_bytes(), caption) if path.is_file() else ""


def _facts(config: dict[str, Any], task: Task) -> dict[str, str]:
    length, channels = config["series_shape"]
    counts = " and ".join(f"{count:,} {part}" for part, count in config["series"].items() if count)
    found = {
        "task": _learned(task),
        "data": str(config["data"]),
        "series": f"{counts}, of {length:,} samples and {channels} channel{'s' if channels > 1 else ''}",
    }
    if task.classes:
        found["classes"] = f"{len(task.classes)}: {', '.join(task.classes)}"
    found["model"] = str(config["model"])
    if "start" in config:
        found["start"] = str(config["start"])
    shown = zip(config["channel_mean"][:8], config["channel_deviation"][:8], strict=True)
    scaling = ", ".join(f"{mean:.4g} and {deviation:.4g}" for mean, deviation in shown)
    found["channel mean and deviation"] = scaling + (", …" if channels > 8 else "")
    return found


def _learned(task: Task) -> str:
    if task.forecast_target is None:
        return task.kind
    channels = ", ".join(str(channel + 1) for channel in task.forecast_target.channels)
    return f"forecast of {task.forecast_target.horizon} samples of channel {channels} from {task.train.x.shape[1]}"


def _results(results: dict[str, Any], task: Task) -> str:
    parts = [part for part in run_folder.PARTS if results[part]]
    rows = [[what, *(_number(results[part][field]) for part in parts)] for what, field in _measures(results)]
    score = _spaced(results["score_name"])
    for number, each in enumerate(zip(*(results[part].get("members", ()) for part in parts), strict=True), 1):
        rows.append([f"{score} of member {number}", *(_number(own["score"]) for own in each)])
    if task.baseline:
        of = "loss" if task.baseline_of == "loss" else _spaced(results["score_name"])
        rows.append([f"{task.baseline_name}, {of}", *map(_number, task.baseline)])
    return html_page.table(["", *parts], rows, numbers=parts)


def _measures(results: dict[str, Any]) -> list[tuple[str, str]]:
    overlap = any("mean_overlap" in (results[part] or {}) for part in run_folder.PARTS)
    more = [("mean overlap (intersection over union)", "mean_overlap")] if overlap else []
    return [("loss", "loss"), (_spaced(results["score_name"]), "score"), *more]


def _proof(results: dict[str, Any]) -> str:
    proof = results["proof"]
    if proof is None:
        return "The gradients were not proved: --skip-proof."
    words = report.worst_line((proof["of"], float(proof["deviation"])))
    return f"Gradients proved before training: {words}."


def _went(results: dict[str, Any]) -> str:
    seconds = ", ".join(f"{what} {value:.1f}" for what, value in results["seconds"].items())
    before = results["began_after_epoch"]
    resumed = f" This is what was done after epoch {before}, where it was resumed." if before else ""
    best = results["best_epoch"]
    lowest = "" if best is None else f"The {results['watched']} loss was lowest in epoch {best}. "
    return f"{lowest}Seconds: {seconds}.{resumed}"


def _layers(folder: Path, task: Task) -> str:
    params, state = run_folder.read_params(folder)
    shapes = task.model.output_shapes(tuple(task.train.x.shape[1:]))
    counted: set[str] = set()
    rows = []
    for node in task.model.nodes:
        arrays = [*params.get(node.key, {}).values(), *state.get(node.key, {}).values()]
        count = "shared" if arrays and node.key in counted else f"{sum(array.size for array in arrays):,}"
        counted.add(node.key)
        rows.append([node.name, str(node.layer), ", ".join(node.inputs), str(shapes[node.name]), count])
    return html_page.table(["node", "layer", "reads", "output", "params"], rows, numbers=["params"])


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) and math.isfinite(value) else str(value)


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "not given"
    return value if isinstance(value, str) else json.dumps(value)
