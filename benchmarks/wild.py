"""Tests published Keras files: which of them load, have the outputs of Keras, and can be saved again.

    python -m benchmarks.wild            # fetches the files of the manifest, and prints the table
    python -m benchmarks.wild record --keras-2 PYTHON --keras-3 PYTHON

The manifest, `benchmarks/data/wild.csv`, has the source, version and digest of each file. The files are fetched into
the cache. `benchmarks/data/wild_outputs.csv` has a few outputs of Keras for each, which the second command records, for
inputs of seeded random numbers. Outputs are equal if they deviate by at most 1e-5 of their scale. Each file is tried
with limits on time and memory. No code in a file is executed; `record` opens with Keras only files that jconv loads.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from training.errors import UserError

from .published import fetching, manifest, recording
from .published.manifest import Published, Recorded
from .published.stand_ins import STAND_INS, names
from .published.trial import Trial, TrialProcess
from .shared import command, markdown
from .shared.machine import installed_versions

TOLERANCE = 1e-5
COLUMNS = (
    "project",
    "files",
    "loaded",
    "with a stand-in",
    "equal to Keras",
    "saved back",
    "refused",
    "load, ms",
    "forward, ms",
)
EPILOG = """\
examples:
  python -m benchmarks.wild --project spliceai
  python -m benchmarks.wild --files FOLDER --no-fetch --json runs/wild.json

Exit codes: 0 every file does what the manifest expects, 1 a file that could not be fetched or does something else, 2 a
mistake in an option or the manifest."""


class TrialResult(NamedTuple):
    """A file, the result of its trial, and the `problem` that `judge` finds."""

    published: Published
    trial: Trial
    problem: str


def judge(published: Published, trial: Trial) -> str:
    """A line that says what differs from the expectation of the manifest; empty if nothing does."""
    word = published.refused_by
    if trial.is_refused:
        if word is None:
            return f"refused: {trial.error}"
        return "" if word in (trial.error or "") else f"refused, but not by {word!r}: {trial.error}"
    if trial.error is not None:
        return trial.error
    if word is not None:
        return f"loads, but was expected to be refused by {word!r}"
    if published.supplied and not any(name in (trial.unsupplied or "") for name in names(published.supplied)):
        return f"without the stand-in {published.supplied}: {trial.unsupplied or 'loads'}"
    if trial.deviation is not None and not trial.deviation <= TOLERANCE:
        return f"deviates from Keras by {trial.deviation:.1e} of the scale"
    return ""


def table(results: Sequence[TrialResult]) -> str:
    """A Markdown table with a row for each project and one for all."""
    projects: dict[str, list[TrialResult]] = {}
    for result in results:
        projects.setdefault(result.published.project, []).append(result)
    rows = [_row(project, projects[project]) for project in sorted(projects, key=str.lower)]
    return markdown.table(COLUMNS, [*rows, _row(f"**all {len(projects)}**", results, is_total=True)])


def _row(name: str, results: Sequence[TrialResult], is_total: bool = False) -> list[Any]:
    trials = [result.trial for result in results]
    loaded = [trial for trial in trials if trial.load_ms is not None]
    compared = [trial for trial in loaded if trial.deviation is not None]
    equal = sum(trial.deviation <= TOLERANCE for trial in compared if trial.deviation is not None)
    refused = [result for result in results if result.trial.is_refused]
    words = {result.published.refused_by or "not expected" for result in refused}
    why = f": {', '.join(sorted(words))}" if words and not is_total else ""
    return [
        name,
        len(results),
        len(loaded),
        sum(bool(result.published.supplied) for result in results if result.trial.load_ms is not None) or "",
        equal if len(compared) == len(loaded) else f"{equal} of {len(compared)} recorded",
        sum(trial.saved == "" for trial in loaded),
        f"{len(refused)}{why}" if refused else "",
        _median([trial.load_ms for trial in loaded]),
        _median([trial.forward_ms for trial in loaded]),
    ]


def _median(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.median(known):.3g}" if known else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see `python -m benchmarks.wild --help`."""
    return command.exit_code("wild", partial(_run, _parse(arguments)))


def _run(options: argparse.Namespace) -> int:
    files = _chosen_files(options)
    recorded = manifest.read_outputs(options.outputs)
    return (_record if options.command else _census)(options, files, recorded)


def _chosen_files(options: argparse.Namespace) -> list[Published]:
    files = [file for file in manifest.read_manifest(options.manifest) if options.project in file.project]
    if not files:
        raise UserError(f"--project {options.project!r}: no name of a project contains it")
    for file in files:
        if file.supplied and file.supplied not in STAND_INS:
            raise UserError(f"{file.path}: supplied must be one of {', '.join(STAND_INS)}, got {file.supplied!r}")
    return files


def _census(options: argparse.Namespace, files: list[Published], recorded: dict[str, Recorded]) -> int:
    paths, missing = _fetched(options, files)
    results: list[TrialResult] = []
    with TrialProcess() as process:
        for published in files:
            if published.sha256 in missing:
                continue
            trial = process.run(paths[published.sha256], published.supplied, recorded.get(published.sha256))
            results.append(TrialResult(published, trial, judge(published, trial)))
            print(f"{published.project} {published.path}: {_describe(results[-1])}", file=sys.stderr, flush=True)
    if results:
        print(table(results))
    _print_missing(files, missing)
    for published, trial, problem in results:
        if problem:
            print(f"not as expected: {published.project} {published.path}: {problem}")
        elif trial.saved:
            print(f"not saved back: {published.project} {published.path}: {trial.saved}")
    if options.json:
        rows = [{**r.published._asdict(), **r.trial._asdict(), "problem": r.problem} for r in results]
        command.write_json(options.json, {"versions": installed_versions(), "rows": rows})
    return int(bool(missing) or any(result.problem for result in results))


def _describe(result: TrialResult) -> str:
    trial = result.trial
    if result.problem or trial.is_refused:
        return result.problem or "refused as expected"
    deviation = "nothing recorded" if trial.deviation is None else f"deviates by {trial.deviation:.1e}"
    return f"{deviation}, load {trial.load_ms:.0f} ms, forward {trial.forward_ms:.2g} ms"


def _record(options: argparse.Namespace, files: list[Published], recorded: dict[str, Recorded]) -> int:
    paths, missing = _fetched(options, files)
    loaded = []
    with TrialProcess() as process:
        for published in files:
            if published.sha256 in missing or published.refused_by:
                continue
            trial = process.run(paths[published.sha256], published.supplied, None, only_loads=True)
            if trial.inputs is not None:
                loaded.append((published, paths[published.sha256], trial.inputs))
            else:
                print(f"not recorded: {published.project} {published.path}: {trial.error}")
    pythons = {"2": options.keras_2, "3": options.keras_3}
    found, reasons = recording.record(loaded, {version: python for version, python in pythons.items() if python})
    manifest.write_outputs(options.outputs, {**recorded, **found})
    _print_missing(files, missing)
    print(f"recorded {len(found)} files in {options.outputs}")
    for published, _, _ in loaded:
        if published.sha256 in reasons:
            print(f"not recorded: {published.project} {published.path}: {reasons[published.sha256]}")
    return int(bool(missing) or bool(reasons))


def _fetched(options: argparse.Namespace, files: list[Published]) -> tuple[dict[str, Path], dict[str, str]]:
    """The paths of the files, and the reasons for those that are missing, by digest."""
    folder = options.files or fetching.cache_folder()
    missing = fetching.fetch_absent(files, folder, options.no_fetch)
    return {published.sha256: folder / published.sha256 for published in files}, missing


def _print_missing(files: list[Published], missing: dict[str, str]) -> None:
    for published in files:
        if published.sha256 in missing:
            print(f"not fetched: {published.project} {published.path}: {missing[published.sha256]}")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command.parser("wild", __doc__, EPILOG)
    add = parser.add_argument
    add("command", nargs="?", choices=["record"], help="record what Keras computes, instead of comparing with it")
    fetching.add_options(parser)
    add(
        "--outputs",
        type=Path,
        default=manifest.OUTPUTS,
        metavar="FILE",
        help="recorded outputs of Keras; default benchmarks/data/wild_outputs.csv",
    )
    add("--project", default="", metavar="TEXT", help="only projects whose name contains this text")
    add("--json", **command.JSON)
    add("--keras-2", metavar="PYTHON", help="record: a Python with Keras 2 or tf-keras, for files before Keras 3")
    add("--keras-3", metavar="PYTHON", help="record: a Python with Keras 3 and JAX")
    options = parser.parse_args(arguments)
    command.check_folder(parser, options)
    if options.files and not options.files.is_dir():
        parser.error(f"--files {options.files}: there is no such folder")
    if options.command and not (options.keras_2 or options.keras_3):
        parser.error("record needs --keras-2 or --keras-3")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
