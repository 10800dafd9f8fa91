"""Times convolutions of jconv and other libraries: `python -m benchmarks.conv1d`; `--help` describes the options.

    python -m benchmarks.conv1d                                       # every row; tens of minutes on two cores
    python -m benchmarks.conv1d --quick
    python -m benchmarks.conv1d --json run.json --picture run.png
    python -m benchmarks.conv1d --issues                              # the programs of public issues

A side is one of the libraries that are compared. In `convolution/`, `rows.py` has the convolutions, `jax_sides.py`,
`torch_side.py` and `onnx_side.py` the programs, `truth.py` the check of their results, and `measure.py` the measurement
of one row; `shared/timing.py` has the interleaved timing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from training.errors import UserError

from .convolution import measure, options, other_libraries, public_issues, tables
from .convolution.summary import Result, summary
from .shared import allocator, command, machine, markdown
from .shared.machine import cores
from .shared.timing import compute_inline

QUICK_REPEATS, QUICK_BUDGET = 7, 0.25


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return command.exit_code("conv1d", partial(_run, options.parse(arguments)))


def _run(args: argparse.Namespace) -> None:
    options.check_files(args)
    if args.from_json:
        record = options.read_results(args.from_json)
        _print_earlier(record)
    else:
        try:
            record = _measure(args)
        except ArithmeticError as error:
            raise command.Failure(f"wrong result: {error}") from None
    if args.picture:
        _draw(args, record)


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    rows = options.chosen_rows(args)
    keeps_memory = allocator.keep_memory()
    if args.inline:
        compute_inline()
    device = machine.use_device(args.device)
    settings = measure.Repetitions(args.repeats, patience=args.patience)
    if args.quick:
        settings = settings._replace(repeats=min(args.repeats, QUICK_REPEATS), budget=QUICK_BUDGET)
    found, missing = other_libraries.find(args.device, cores())
    where = machine.describe(device) | {"keeps_memory": keeps_memory, "inline": args.inline}
    record: dict[str, Any] = {"where": where, "settings": settings._asdict(), "missing": missing}
    if args.issues:
        _print_opening(record)
        record["issues"] = public_issues.run(settings, args.device)
        _write(args, record)
        return record
    ceilings = machine.ceilings(args.device)
    record |= {"ceilings": ceilings._asdict(), "rows": []}
    _print_opening(record)
    measure.warm_up()
    print(markdown.heading(tables.FIRST_COLUMNS), flush=True)
    for row in rows:
        record["rows"].append(measure.measure(row, found, settings, ceilings))
        print(tables.first_line(record["rows"][-1]), flush=True)
        _write(args, record)
    _print_closing(record)
    return record


def _write(args: argparse.Namespace, record: dict[str, Any]) -> None:
    """Write the results so far, so that an interrupted run keeps its rows."""
    if args.json:
        options.write_results(args.json, record)


def _print_opening(record: dict[str, Any]) -> None:
    where = record["where"]
    versions = machine.versions_line(where["versions"])
    print(f"{where['date']}, on {where['device']}; {where['cpu']}, {where['cores']} cores, {where['system']}")
    kept = "; freed memory is kept" if where.get("keeps_memory") else ""
    kept += "; JAX in the calling thread" if where.get("inline") else ""
    print(f"Python {where['python']}, {versions}; float32{kept}")
    for line in record["missing"]:
        print(line)
    if "ceilings" in record:
        print(
            "Ceilings: {gflops:.0f} GFLOP/s in a matrix product, {gigabytes:.1f} GB/s in a copy".format(
                **record["ceilings"]
            )
        )
    print(flush=True)


def _print_closing(record: dict[str, Any]) -> None:
    gpu = record["where"]["platform"] != "cpu"
    print(f"\n{markdown.heading(tables.second_columns(gpu))}")
    for result in record["rows"]:
        print(tables.second_line(result, gpu))
    print("\nGeometric means of ratios of medians; above 1 jconv is faster:\n", *summary(record["rows"]), sep="\n")


def _print_earlier(record: dict[str, Any]) -> None:
    _print_opening(record)
    if "issues" in record:
        public_issues.show(record["issues"])
        return
    print(markdown.heading(tables.FIRST_COLUMNS))
    rows: list[Result] = record["rows"]
    print(*map(tables.first_line, rows), sep="\n")
    _print_closing(record)


def _draw(args: argparse.Namespace, record: dict[str, Any]) -> None:
    from .convolution import picture

    if not record.get("rows"):
        raise UserError(f"--picture {args.picture}: that run has no rows to draw")
    args.picture.write_bytes(picture.speedups(record))


if __name__ == "__main__":
    sys.exit(main())
