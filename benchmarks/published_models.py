"""SpliceAI and DeepLC, complete: variants and peptides per second, beside Keras.

    python -m benchmarks.published_models        # fetches the packages' networks, some minutes on two cores

SpliceAI's score of a variant is the largest change of the mean of five networks, computed for the reference and the
alternative sequence: of 10,101 bases each, as the package spliceai does by default, or of mixed lengths in one batch
(jconv with `lengths=`, Keras with padding, which SpliceAI's models crop). DeepLC's retention time of a peptide is the
mean of three networks. The files are in the manifest of `benchmarks.wild` and are checked by digest; none is in the
repository. Every side reads them in its own process, outputs must be equal to 1e-5 of their scale, and then the sides
take turns.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.errors import MISTAKE, UserError
from training.options.types import positive, whole

from .networks import JCONV, KERAS, Check, Row, Times, check_equal, installed_sides, measure_rows, versions
from .published import fetching, manifest
from .published.ensembles import EQUAL, MIXED, PEPTIDES, PROGRAMS, PROJECTS, score, variants
from .shared import command, markdown
from .shared.machine import cores
from .trainers.workers import Side, WorkerError

os.environ.setdefault("KERAS_BACKEND", "jax")

SIDES = (
    Side(JCONV, "published.ensemble_sides", "jconv"),
    Side(KERAS, "published.ensemble_sides", "jit", ("keras",)),
    Side("`tf.function`", "published.ensemble_tensorflow", "tensorflow", ("keras", "tensorflow"), "tensorflow"),
)
TOLERANCE = 1e-5
BATCHES = {EQUAL: (1,), MIXED: (4,), PEPTIDES: (1000,)}
"""The batch sizes of each program, in variants or peptides."""

EPILOG = """\
examples:
  python -m benchmarks.published_models --program peptides
  python -m benchmarks.published_models --files FOLDER --no-fetch --json runs/published.json

A side whose package is not installed is left out. Exit codes: 0 done, 1 results that differ, a file that cannot be
fetched or a side of JAX that fails, 2 a mistake in an option."""


def check(scores: dict[Row, list[float]]) -> Check:
    """A `Check` that also keeps the scores of variants."""

    def checked(row: Row, results: dict[str, Any]) -> None:
        check_equal(row, results, TOLERANCE)
        if row.program != PEPTIDES:
            y = results[JCONV][0]
            pairs = zip(variants(row.program, row.batch), y[::2], y[1::2], strict=True)
            scores[row] = [score(*pair) for pair in pairs]

    return checked


def table(found: dict[Row, Times]) -> str:
    """A Markdown table: variants or peptides per second of each side, and jconv's rate relative to the other sides."""
    names = [side.name for side in SIDES if any(side.name in times for times in found.values())]
    heads = ["package", "batch", *(f"{name}, per second" for name in names), *(f"jconv / {n}" for n in names[1:])]
    rows = []
    for row, times in found.items():
        rates = {name: 1e3 * row.batch / float(np.median(ms)) for name, ms in times.items()}
        cells = [f"{rates[name]:.3g}" if name in rates else "" for name in names]
        ratios = [f"{rates[JCONV] / rates[name]:.2f}" if name in rates else "" for name in names[1:]]
        rows.append([row.network, _batch(row), *cells, *ratios])
    return markdown.table(heads, rows)


def _batch(row: Row) -> str:
    if row.program == PEPTIDES:
        return f"{row.batch:,} peptides"
    lengths = [length for variant in variants(row.program, row.batch) for length in variant.lengths]
    bases = f"{min(lengths):,}" if len(set(lengths)) == 1 else f"{min(lengths):,} to {max(lengths):,}"
    return f"{row.batch} variant{'s' * (row.batch > 1)}, {2 * row.batch} sequences of {bases} bases"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see `python -m benchmarks.published_models --help`."""
    options = _parse(arguments)
    found: dict[Row, Times] = {}
    scores: dict[Row, list[float]] = {}
    print(f"{cores()} threads, Python {platform.python_version()}, {versions()}", flush=True)
    try:
        for network, project in PROJECTS.items():
            rows = [Row(network, program, batch) for program, batch in options.rows if PROGRAMS[program] == network]
            if rows:
                with tempfile.TemporaryDirectory() as folder:
                    files = _files(project, options, Path(folder))
                    timing = options.rounds, options.seconds, check(scores)
                    found |= measure_rows(rows, options.sides, files, *timing)
    except (WorkerError, ArithmeticError, fetching.FetchError) as error:
        print(f"published_models: {error}", file=sys.stderr)
        return 1
    except UserError as error:
        print(f"published_models: {error}", file=sys.stderr)
        return MISTAKE
    print("\n" + table(found) + "\n")
    for row, values in scores.items():
        print(f"{_batch(row)}: scores {', '.join(f'{value:.2f}' for value in values)}")
    if options.json:
        rows = [{**row._asdict(), "milliseconds": times} for row, times in found.items()]
        command.write_json(options.json, {"threads": cores(), "versions": versions(), "rows": rows})
    return 0


def _files(project: str, options: argparse.Namespace, folder: Path) -> list[str]:
    """The paths of a project's networks: links in `folder` with their names, by which Keras chooses the format."""
    listed = [published for published in manifest.read_manifest(options.manifest) if published.project == project]
    if not listed:
        raise UserError(f"{options.manifest} has no {project}")
    cache = options.files or fetching.cache_folder()
    absent = [published for published in listed if fetching.find(published, cache) is None]
    if absent and options.no_fetch:
        raise fetching.FetchError(f"{absent[0].path} of {project} is not in {cache}")
    for group in fetching.by_source(absent):
        print(f"fetching {len(group)} files of {project} ({group[0].licence})", file=sys.stderr, flush=True)
        for reason in fetching.fetch(group, cache).values():
            raise fetching.FetchError(reason)
    links = [folder / Path(published.path).name for published in listed]
    for link, published in zip(links, listed, strict=True):
        link.symlink_to((cache / published.sha256).resolve())
    return [str(link) for link in links]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command.parser("published_models", __doc__, EPILOG)
    add = parser.add_argument
    add("--program", choices=list(PROGRAMS), help="only one of the programs")
    add("--batch", type=whole(1), metavar="N", help="variants or peptides in a batch, for every program")
    add("--sides", nargs="+", metavar="TEXT", help="jconv, and the sides whose name contains one of these texts")
    add("--rounds", type=whole(1), default=9, metavar="N", help="turns of each side; default 9")
    add("--seconds", type=positive, default=0.2, metavar="S", help="seconds of a turn, at least one call; default 0.2")
    add("--manifest", type=Path, default=manifest.MANIFEST, metavar="FILE", help="default benchmarks/data/wild.csv")
    add("--files", type=Path, metavar="FOLDER", help="where files are, named by their digest; default: the cache")
    add("--no-fetch", action="store_true", help="use only files that are there")
    add("--json", type=Path, metavar="FILE", help="write all measurements to this file")
    options = parser.parse_args(arguments)
    try:
        options.sides = installed_sides(SIDES, options.sides)
        if options.json and not options.json.parent.is_dir():
            raise UserError(f"--json {options.json}: there is no folder {options.json.parent}")
    except UserError as error:
        parser.error(str(error))
    programs = [options.program] if options.program else list(PROGRAMS)
    batches = {program: (options.batch,) if options.batch else BATCHES[program] for program in programs}
    options.rows = [(program, batch) for program, several in batches.items() for batch in several]
    return options


if __name__ == "__main__":
    raise SystemExit(main())
