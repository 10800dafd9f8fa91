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
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from training.errors import UserError
from training.options.types import whole

from . import networks
from .networks import JCONV, KERAS, Check, NetworkRow, Times, check_equal, measure_rows
from .published import fetching, manifest
from .published.ensembles import EQUAL, MIXED, PEPTIDES, PROGRAMS, PROJECTS, score, variants
from .shared import command, markdown
from .shared.timing import measured_names
from .trainers.workers import Side

os.environ.setdefault("KERAS_BACKEND", "jax")

SIDES = (
    Side(JCONV, "published.ensemble_sides", "jconv"),
    Side(KERAS, "published.ensemble_sides", "jit", ("keras",)),
    Side("`tf.function`", "published.ensemble_sides", "tensorflow", ("keras", "tensorflow"), "tensorflow"),
)
TOLERANCE = 1e-5
BATCHES = {EQUAL: 1, MIXED: 4, PEPTIDES: 1000}
"""The batch size of each program, in variants or peptides."""

EPILOG = """\
examples:
  python -m benchmarks.published_models --program peptides
  python -m benchmarks.published_models --files FOLDER --no-fetch --json runs/published.json

A side whose package is not installed is left out. Exit codes: 0 done, 1 results that differ, a file that cannot be
fetched or a side of JAX that fails, 2 a mistake in an option."""


def check(scores: dict[NetworkRow, list[float]]) -> Check:
    """A `Check` that also keeps the scores of variants."""

    def checked(row: NetworkRow, results: dict[str, Any]) -> None:
        check_equal(row, results, TOLERANCE)
        if row.program != PEPTIDES:
            y = results[JCONV][0]
            pairs = zip(variants(row.program, row.batch), y[::2], y[1::2], strict=True)
            scores[row] = [score(*pair) for pair in pairs]

    return checked


def table(found: dict[NetworkRow, Times]) -> str:
    """A Markdown table: variants or peptides per second of each side, and jconv's rate relative to the other sides."""
    names = measured_names((side.name for side in SIDES), found.values())
    heads = ["package", "batch", *(f"{name}, per second" for name in names), *(f"jconv / {n}" for n in names[1:])]
    rows = []
    for row, times in found.items():
        rates = {name: 1e3 * row.batch / float(np.median(ms)) for name, ms in times.items()}
        cells = [f"{rates[name]:.3g}" if name in rates else "" for name in names]
        ratios = [f"{rates[JCONV] / rates[name]:.2f}" if name in rates else "" for name in names[1:]]
        rows.append([row.network, _batch(row), *cells, *ratios])
    return markdown.table(heads, rows)


def _batch(row: NetworkRow) -> str:
    if row.program == PEPTIDES:
        return f"{row.batch:,} peptides"
    lengths = [length for variant in variants(row.program, row.batch) for length in variant.lengths]
    bases = f"{min(lengths):,}" if len(set(lengths)) == 1 else f"{min(lengths):,} to {max(lengths):,}"
    return f"{row.batch} variant{'s' * (row.batch > 1)}, {2 * row.batch} sequences of {bases} bases"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see `python -m benchmarks.published_models --help`."""
    return command.exit_code("published_models", partial(_compare, _parse(arguments)))


def _compare(options: argparse.Namespace) -> None:
    networks.print_conditions()
    found: dict[NetworkRow, Times] = {}
    scores: dict[NetworkRow, list[float]] = {}
    for network, project in PROJECTS.items():
        rows = [row for row in options.rows if row.network == network]
        if rows:
            with tempfile.TemporaryDirectory() as folder:
                files = _files(project, options, Path(folder))
                timing = options.rounds, options.seconds, check(scores)
                found |= measure_rows(rows, options.sides, files, *timing)
    print("\n" + table(found) + "\n")
    for row, values in scores.items():
        print(f"{_batch(row)}: scores {', '.join(f'{value:.2f}' for value in values)}")
    networks.write(options.json, found)


def _files(project: str, options: argparse.Namespace, folder: Path) -> list[str]:
    """The paths of a project's networks: links in `folder` with their names, by which Keras chooses the format."""
    listed = [published for published in manifest.read_manifest(options.manifest) if published.project == project]
    if not listed:
        raise UserError(f"{options.manifest} has no {project}")
    cache = options.files or fetching.cache_folder()
    missing = fetching.fetch_absent(listed, cache, options.no_fetch)
    for published in listed:
        if published.sha256 in missing:
            raise fetching.FetchError(f"{published.path} of {project}: {missing[published.sha256]}")
    links = [folder / Path(published.path).name for published in listed]
    for link, published in zip(links, listed, strict=True):
        link.symlink_to((cache / published.sha256).resolve())
    return [str(link) for link in links]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = command.parser("published_models", __doc__, EPILOG)
    add = parser.add_argument
    add("--program", choices=list(PROGRAMS), help="only one of the programs")
    add("--batch", type=whole(1), metavar="N", help="variants or peptides in a batch, for every program")
    fetching.add_options(parser)
    options = networks.parse_common(parser, SIDES, arguments)
    programs = [options.program] if options.program else list(PROGRAMS)
    options.rows = [NetworkRow(PROGRAMS[program], program, options.batch or BATCHES[program]) for program in programs]
    return options


if __name__ == "__main__":
    raise SystemExit(main())
