"""The options of `python -m benchmarks.conv1d`, checked before any work, and its JSON file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from training.errors import Parser, UserError
from training.options.types import positive, whole

from ..shared.command import write_json
from .rows import QUICK, ROWS, Row

KIND = "jconv benchmarks.conv1d"
"""The kind of file that `--json` writes and `--from-json` reads, in its key `kind`."""

DESCRIPTION = """\
jconv beside plain jax.lax, PyTorch and ONNX Runtime: forward, with both gradients, in a scan and under vmap.

Every result is checked against the NumPy reference before it is timed. Times are medians of interleaved repetitions in
one process, and ratios are ratios of medians. Libraries that are missing are left out: pip install -e ".[bench]"."""

EPILOG = """\
examples:
  python -m benchmarks.conv1d --quick
  python -m benchmarks.conv1d --rows FCN --inline
  python -m benchmarks.conv1d --json run.json --picture run.png
  python -m benchmarks.conv1d --from-json run.json --picture run.png
  python -m benchmarks.conv1d --issues

exit codes: 0 done, 1 a result that differs from the reference, 2 a mistake in an option or a file, 130 stopped by
Ctrl-C."""


def chosen_rows(args: argparse.Namespace) -> list[Row]:
    """The rows to measure; raise `UserError` if there are none."""
    among = [row for row in ROWS if not args.quick or row.name in QUICK]
    found = [row for row in among if args.rows in row.name]
    if not found:
        raise UserError(f"--rows {args.rows!r}: no name of a row{' of --quick' if args.quick else ''} contains it")
    return found


def check_files(args: argparse.Namespace) -> None:
    """Raise `UserError` for a file that cannot be written, before anything is measured."""
    for option, path in (("--json", args.json), ("--picture", args.picture)):
        if path and not path.parent.is_dir():
            raise UserError(f"{option} {path}: there is no folder {path.parent}")
        if path and path.is_dir():
            raise UserError(f"{option} {path}: is a folder")
    if args.picture:
        if args.picture.suffix != ".png":
            raise UserError(f"--picture {args.picture}: must end in .png")
        if find_spec("matplotlib") is None:
            raise UserError('--picture needs matplotlib; install it with: pip install -e ".[bench]"')
        if args.issues:
            raise UserError("--picture draws the rows, which --issues does not measure")
    if args.from_json and args.json:
        raise UserError("--from-json measures nothing that --json could write")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options in `arguments`, by default in `sys.argv`. An error prints one line and raises `SystemExit(2)`."""
    parser = Parser(prog="python -m benchmarks.conv1d", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("--rows", default="", metavar="TEXT", help="only the rows whose name contains this text")
    add("--quick", action="store_true", help="eight rows and fewer repetitions, about a minute")
    add("--repeats", type=whole(1), default=31, metavar="N", help="the most timings of a program; default 31")
    add(
        "--patience",
        type=positive,
        default=60.0,
        metavar="S",
        help="leave out a program whose call is predicted to take longer than this many seconds; default 60",
    )
    add("--device", choices=["cpu", "gpu"], default="cpu", help="where to measure; default cpu")
    add("--inline", action="store_true", help="JAX computes in the calling thread, as the other libraries do")
    add("--issues", action="store_true", help="measure the programs of public issues instead of the rows")
    add("--json", type=Path, metavar="FILE", help="write all results, updated after each row")
    add("--picture", type=Path, metavar="FILE.png", help="draw the ratios of every row")
    add("--from-json", type=Path, metavar="FILE", help="print and draw an earlier run; measures nothing")
    return parser.parse_args(arguments)


def write_results(path: Path, record: dict[str, Any]) -> None:
    """Write the record of a run; an interruption keeps the earlier file."""
    write_json(path, {"kind": KIND, **record})


def read_results(path: Path) -> dict[str, Any]:
    """The record of an earlier run. Raises `UserError` for another file."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--from-json {path}: {error.strerror or 'cannot be read'}") from None
    except ValueError:
        record = None
    if not isinstance(record, dict) or record.get("kind") != KIND:
        raise UserError(f"--from-json {path}: not a file that --json wrote")
    return record
