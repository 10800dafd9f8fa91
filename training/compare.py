"""`python -m training.compare RUN RUN ...`: a comparison of runs, as a table, JSON, or a picture of their curves."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .errors import MISTAKE, Parser, UserError, output
from .run import durable, run_folder
from .run.comparison import Run, read, row, text

DESCRIPTION = """\
Compare runs: networks and data, training time, losses and scores.

Each RUN is a run folder of python -m training.fit, for example runs/*, or the folder of python -m training.sweep with
all its runs; runs that have not ended are left out. Losses and scores are computed with the params that were kept. The
best epoch has the lowest training loss, or the lowest validation loss if early stopping used that."""

ENDINGS = (".png", ".svg", ".pdf")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code, 2 for a folder without a run or a picture that cannot be written."""
    options = _parser().parse_args(arguments)
    try:
        runs = [read(folder) for folder in _ended([Path(name) for name in options.runs])]
        if options.picture:
            _draw(runs, options.picture)
        rows = [row(run) for run in runs]
        output(run_folder.as_json({"runs": rows}) if options.json else text(rows))
    except UserError as error:
        print(f"compare: {error}", file=sys.stderr)
        return MISTAKE
    except OSError as error:
        print(f"compare: {error.filename}: cannot be read: {error.strerror}", file=sys.stderr)
        return MISTAKE
    return 0


def _ended(named: Sequence[Path]) -> list[Path]:
    """The folders of the runs. If some of the runs have ended, the others are left out, with a message for each."""
    folders = [folder for name in named for folder in _folders(name)] or list(named)
    unfinished = {folder: words for folder in folders if (words := _why_unfinished(folder))}
    if len(unfinished) == len(folders):
        return folders
    for folder, words in unfinished.items():
        print(f"compare: {folder} is left out: {words}", file=sys.stderr)
    return [folder for folder in folders if folder not in unfinished]


def _why_unfinished(folder: Path) -> str | None:
    """Why a run has no results: it has not ended, or there is only a log because it could not start. Otherwise None."""
    if folder.suffix == ".log" and folder.is_file():
        return "it is a log without a run folder"
    if (folder / run_folder.CONFIG).is_file() and not (folder / run_folder.RESULTS).exists():
        return f"it has no {run_folder.RESULTS}, which a run writes at its end"
    return None


def _folders(folder: Path) -> list[Path]:
    """A run folder itself, the run folders in the folder of a sweep, and nothing for a sweep's `RUN.log`."""
    if folder.suffix == ".log" and folder.is_file() and folder.with_suffix("").is_dir():
        return []
    inside = sorted(file.parent for file in folder.glob(f"*/{run_folder.CONFIG}"))
    return [folder] if (folder / run_folder.CONFIG).exists() or not inside else inside


def _draw(runs: Sequence[Run], path: Path) -> None:
    from .views.curves import curves_of_runs

    for run in runs:
        if not {"epoch", "train_loss", "train_score", "test_loss", "test_score"} <= run.curves.keys():
            raise UserError(f"{run.name}: {run_folder.METRICS} has no epochs to draw, or cannot be read")
    content = curves_of_runs(
        {run.name: run.curves for run in runs}, {run.results["score_name"] for run in runs}, path.suffix[1:].lower()
    )
    with run_folder.writable(path):
        durable.write(path, content)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m training.compare", description=DESCRIPTION)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run folder, or the folder of a sweep")
    words = "draw the curves of training and validation, or test if nothing was held out: .png, .svg or .pdf"
    parser.add_argument("--picture", type=_picture, metavar="FILE", help=words)
    parser.add_argument("--json", action="store_true", help='print {"runs": [...]} instead of the table')
    return parser


def _picture(name: str) -> Path:
    if Path(name).suffix.lower() not in ENDINGS:
        raise argparse.ArgumentTypeError(f"must end in {', '.join(ENDINGS)}, got {name!r}")
    return Path(name)


if __name__ == "__main__":
    raise SystemExit(main())
