"""`report.html`: everything in a run's folder on one page that can be mailed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..tasks import Task
from ..views import html_page, report
from . import outcome, run_folder

CAPTIONS = {
    run_folder.CURVES: ("Curves", "Loss and score after each epoch, smoothed over the raw values, and learning rate."),
    run_folder.CONFUSION: ("Confusion matrix", "How many of each true class were predicted as each class."),
    run_folder.CALIBRATION: (
        "Calibration",
        "How often predictions are correct, by their probability. Above the dashed line the network is less certain "
        "than it could be, below the line it is too certain.",
    ),
    run_folder.MAPS: (
        "Class activation maps",
        "Where in time the network sees the true class of a series. The mean of a map over time, plus the bias, is the "
        "logit of the class.",
    ),
    run_folder.MISTAKEN: (
        "Misclassified series",
        "The series misclassified by the largest margin, with the mean training series of their class and of the "
        "predicted class.",
    ),
    run_folder.EMBEDDINGS: (
        "Embeddings",
        "The input of the last layer for each series, projected on the two directions in which the training series "
        "vary most.",
    ),
    run_folder.DENOISED: ("Denoised series", "Six series spread over the set: noisy, clean, and denoised."),
    run_folder.SEGMENTS: (
        "Segments",
        "Six series spread over the set, above the true and the predicted class of each sample.",
    ),
    run_folder.PREDICTIONS: ("Predictions", "Forecasts after their input, or predictions over true values."),
}
BY_CHANCE = (
    "F1 by chance is the F1 of predictions drawn at random with the class frequencies of the training set. The "
    "precision of a class that was never predicted, and the recall of a class without examples, are not defined."
)


def page(folder: Path, task: Task) -> str:
    """The page of a run whose results and pictures are in `folder`."""
    config, results = (run_folder.read_json(folder, name) or {} for name in (run_folder.CONFIG, run_folder.RESULTS))
    seconds = sum(results["seconds"].values())
    title = f"{config['model']} on {config['data']}"
    epochs = f"{results['epochs']} of {config['epochs']} epochs"
    subtitle = f"{folder.resolve().name}: {results['status']}, {epochs}, {seconds:.1f} seconds, {results['date']}"
    pictures = {head: picture(folder / name, caption) for name, (head, caption) in CAPTIONS.items()}
    mistaken = CAPTIONS[run_folder.MISTAKEN][0]
    if task.kind == "classification" and not pictures[mistaken]:
        pictures[mistaken] = html_page.line("None.")
    layers, sizes = _layers(folder, task)
    sections = [
        ("Data and model", html_page.facts(_facts(config, task) | sizes)),
        ("Command", html_page.code(results["command"])),
        (
            "Results",
            result_table(results) + html_page.line(_proof(results)) + html_page.line(_epochs_and_seconds(results)),
        ),
        ("Classes", class_table(results)),
        *pictures.items(),
        ("Layers", layers),
        ("Options that were given", given_options(results)),
        ("Hardware and versions", html_page.facts(environment(config))),
    ]
    return html_page.page(title, subtitle, sections)


def given_options(results: dict[str, Any]) -> str:
    """The options of the command line with their values."""
    given = {name: "yes" if value is True else str(value) for name, value in results["given"].items()}
    return html_page.facts(given) or html_page.line("None.")


def picture(path: Path, caption: str) -> str:
    """A picture of the run folder with its caption; empty if the run has none."""
    return html_page.picture(path.read_bytes(), caption) if path.is_file() else ""


def _facts(config: dict[str, Any], task: Task) -> dict[str, str]:
    length, channels = config["series_shape"]
    facts = {
        "task": _target(task),
        "data": str(config["data"]),
        "series": f"{counts(config)}, of {length:,} samples and {channels} channel{'s' if channels > 1 else ''}",
    }
    if task.classes:
        facts["classes"] = f"{len(task.classes)}: {', '.join(task.classes)}"
    facts["model"] = str(config["model"])
    if "start" in config:
        facts["start"] = str(config["start"])
    if "optimizer" in config:
        facts["training"] = (
            f"up to {config['epochs']} epochs, batches of {config['batch_size']}, {config['optimizer']} at "
            f"{config['learning_rate']:g}, {config['schedule']} schedule, {config['keep']} params kept, "
            f"seed {config['seed']}"
        )
    shown = zip(config["channel_mean"][:8], config["channel_deviation"][:8], strict=True)
    scaling = ", ".join(f"{mean:.4g} and {deviation:.4g}" for mean, deviation in shown)
    facts["channel mean and standard deviation"] = scaling + (", …" if channels > 8 else "")
    return facts


def counts(config: dict[str, Any]) -> str:
    """How many series each part of the data has.

    >>> counts({"series": {"training": 40, "validation": 10, "test": 0}})
    '40 training and 10 validation'
    """
    *others, last = [f"{count:,} {part}" for part, count in config["series"].items() if count]
    return f"{', '.join(others)} and {last}" if others else last


def environment(config: dict[str, Any]) -> dict[str, str]:
    """The hardware, platform, XLA flags, versions and fingerprints of a run, by name."""
    facts = {name: config[name] for name in ("hardware", "cores", "platform") if name in config}
    if config.get("xla_flags"):
        facts["XLA_FLAGS"] = config["xla_flags"]
    facts |= config["versions"]
    facts |= {f"{name} fingerprint": value for name, value in config["fingerprints"].items() if value}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in facts.items()}


def _target(task: Task) -> str:
    if task.forecast_target is None:
        return task.kind
    channels = ", ".join(str(channel + 1) for channel in task.forecast_target.channels)
    return f"forecast of {task.forecast_target.horizon} samples of channel {channels} from {task.train.x.shape[1]}"


def result_table(results: dict[str, Any]) -> str:
    """Loss, score and more of each part of the data, with a baseline for each part."""
    parts = [part for part in run_folder.PARTS if results[part]]
    rows = outcome.result_rows(results, "mean overlap (intersection over union)")
    if all("calibration" in results[part] for part in parts):
        errors = (outcome.number_text(results[part]["calibration"]["error"]) for part in parts)
        rows.append(["expected calibration error", *errors])
    return html_page.table(["", *parts], rows, numbers=parts)


def class_table(results: dict[str, Any]) -> str:
    """Precision, recall and F1 of each class on the last part of the data, and their means."""
    part = next(part for part in reversed(run_folder.PARTS) if results[part])
    classes = results[part].get("classes")
    if not classes:
        return ""
    fields = ("precision", "recall", "f1", "chance_f1")
    rows = [[own["name"], f"{own['examples']:,}", *(_fraction(own[field]) for field in fields)] for own in classes]
    means = [[own[field] for own in classes if own[field] is not None] for field in fields]
    total = f"{sum(own['examples'] for own in classes):,}"
    rows.append(["mean of the classes", total, *(_fraction(sum(own) / len(own) if own else None) for own in means)])
    heads = [f"{part} set", "count", "precision", "recall", "F1", "F1 by chance"]
    return html_page.table(heads, rows, numbers=heads[1:]) + html_page.line(BY_CHANCE)


def _proof(results: dict[str, Any]) -> str:
    proof = results["proof"]
    if proof is None:
        return "The gradients were not proved: --skip-proof."
    return f"Gradients proved before training: {report.worst_line(**proof)}."


def _epochs_and_seconds(results: dict[str, Any]) -> str:
    before = results["began_after_epoch"]
    resumed = f" The seconds are those after epoch {before}, where the run was resumed." if before else ""
    best = results["best_epoch"]
    lowest = "" if best is None else f"The {results['watched']} loss was lowest in epoch {best}. "
    return f"{lowest}Seconds: {outcome.stages(results)}.{resumed}"


def _layers(folder: Path, task: Task) -> tuple[str, dict[str, str]]:
    """A table of the layers, and the number of params and FLOPs in all."""
    params, state = run_folder.read_params(folder)
    shape = tuple(task.train.x.shape[1:])
    shapes = {task.model.inputs[0]: shape, **task.model.output_shapes(shape)}
    counted: set[str] = set()
    rows, size, operations = [], 0, 0
    for node in task.model.nodes:
        arrays = [*params.get(node.key, {}).values(), *state.get(node.key, {}).values()]
        count, is_shared = sum(array.size for array in arrays), bool(arrays) and node.key in counted
        flops = node.layer.flops(node.select(shapes))
        size, operations = size + count * (not is_shared), operations + flops
        counted.add(node.key)
        words = "shared" if is_shared else f"{count:,}"
        rows.append([node.name, str(node.layer), ", ".join(node.inputs), str(shapes[node.name]), words, f"{flops:,}"])
    table = html_page.table(
        ["node", "layer", "reads", "output", "params", "FLOPs"],
        rows,
        numbers=["params", "FLOPs"],
        nowrap=["output"],
        is_stacked=True,
    )
    return table, {"parameters and state": f"{size:,}", "FLOPs": f"{operations:,} for one series, forward"}


def _fraction(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
