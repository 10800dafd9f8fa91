"""`python -m benchmarks.conv1d` without the other libraries: rows, timer, check, summary, files, and one tiny row."""

from __future__ import annotations

import doctest
import json
from typing import Any

import jax
import numpy as np
import pytest

import jconv
from benchmarks import conv1d
from benchmarks.convolution import gathers, measure, options, other_libraries, picture, public_issues, summary, tables
from benchmarks.convolution.programs import (
    FASTEST,
    FORWARD,
    GRADIENTS,
    JCONV,
    LAX,
    ONNX,
    PROGRAMS,
    SCAN_FORWARD,
    SCAN_GRADIENTS,
    TORCH,
)
from benchmarks.convolution.rows import QUICK, ROWS, Row, operands
from benchmarks.convolution.truth import check, checked_groups, expected, part
from benchmarks.shared import allocator, command, machine, markdown, results, timing
from tests.support.paths import ROOT

TINY = Row("tiny", "grouped", 2, 9, 4, 6, 3, 2, 1, 2, padding="same")
FAST = measure.Repetitions(repeats=2, budget=0.01)


def result(name: str, lax: float, own: float, torch: float | None = None, onnx: float | None = None) -> dict[str, Any]:
    """A made-up result whose gradients take ten times as long as its forward pass."""
    forward = {LAX: lax, JCONV: own} | {side: t for side, t in ((TORCH, torch), (ONNX, onnx)) if t}
    return {
        "row": TINY._replace(name=name)._asdict(),
        "milliseconds": {
            FORWARD: forward,
            GRADIENTS: {LAX: 10 * lax, JCONV: 10 * own},
            SCAN_GRADIENTS: {LAX: None, JCONV: 1.0},
        },
        "algorithms": None,
        "compile_seconds": {LAX: 0.5, JCONV: 0.25},
        "temporary_bytes": {LAX: 2**20, JCONV: None},
        "roofline_share": 0.5,
        "copy_share": 0.25,
    }


# Rows


def test_there_are_at_least_42_rows_with_distinct_names():
    assert len(ROWS) >= 42
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert set(QUICK) <= {row.name for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_rows_are_valid(row):
    x, kernel = jax.ShapeDtypeStruct((row.batch, row.length, row.in_channels), "float32"), row.kernel_shape
    public = jconv.conv1d_transpose if row.transposed else jconv.conv1d
    named: dict[str, Any] = {"padding": row.padding} | ({} if row.transposed else {"groups": row.groups})
    y = jax.eval_shape(
        lambda k, x: public({"kernel": k}, x, **row.geometry, **named), jax.ShapeDtypeStruct(kernel, "float32"), x
    )
    assert y.shape == (row.batch, row.out_length, row.out_channels)
    assert row.flops > 0 and row.bytes > 0


def test_a_row_counts_flops_and_bytes():
    row = Row("a", "dense", 2, 10, 3, 5, 4, padding="valid")
    assert row.out_length == 7
    assert row.flops == 2 * 2 * 7 * 4 * 3 * 5
    assert row.bytes == 4 * (2 * 10 * 3 + 4 * 3 * 5 + 2 * 7 * 5)
    assert row._replace(ensemble=3).bytes == 3 * row.bytes
    assert row._replace(ensemble=3, shared_kernel=True).bytes == 3 * row.bytes - 2 * 4 * 4 * 3 * 5


# Timer


class FakeClock:
    """A clock that only the timed calls advance."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def call(self, name, *seconds):
        every = iter(seconds)

        def run():
            self.log.append(name)
            self.now += next(every, seconds[-1])

        return run

    def timing_clock(self):
        return timing.Clock(lambda: self.now, lambda seconds: self.log.append(f"sleep {1e3 * seconds:g}"))


def test_the_timer_rotates_the_order_and_warms_up_each_call():
    clock = FakeClock()
    calls = {name: clock.call(name, 0.01) for name in "abc"}
    found = timing.medians(calls, dict.fromkeys("abc", 0.01), max_repeats=3, budget=100, clock=clock.timing_clock())
    pairs = [name for name in "abcbcacab" for name in ("sleep 5", name, name)]
    assert clock.log == pairs
    assert found["a"].repeats == 3


def test_the_timer_returns_medians_in_milliseconds():
    clock = FakeClock()
    # Every other call is the untimed one.
    calls = {"a": clock.call("a", 0.1, 0.010, 0.1, 0.030, 0.1, 0.020), "b": clock.call("b", 0.002)}
    found = timing.medians(calls, {"a": 0.01, "b": 0.01}, max_repeats=3, budget=100, clock=clock.timing_clock())
    assert found["a"].milliseconds == pytest.approx(20)
    assert found["b"].milliseconds == pytest.approx(2)


def test_repeats_keep_to_the_budget_and_slow_calls_are_not_repeated():
    counts = timing.repeats_of({"fast": 0.001, "slow": 1.0, "endless": 9.0}, max_repeats=31, budget=3.0)
    assert counts == {"fast": 31, "slow": timing.MIN_REPEATS, "endless": 0}
    clock = FakeClock()
    found = timing.medians({"a": clock.call("a", 9.0)}, {"a": 9.0}, clock=clock.timing_clock())
    assert found["a"] == timing.Timing(9000.0, 1)
    assert clock.log == []


# Truth


def test_the_check_finds_a_wrong_result():
    want = expected(TINY, operands(TINY))
    check((want.y,), (want.y,), "right")
    wrong = want.y.copy()
    wrong[0, 0, 0] += 3e-5 * np.abs(want.y).max()
    with pytest.raises(ArithmeticError, match=r"tiny: forward of lax: off by 3\.0e-05"):
        check((wrong,), (want.y,), "tiny: forward of lax")
    with pytest.raises(ArithmeticError, match="shape"):
        check((want.y[:1],), (want.y,), "short")
    with pytest.raises(ArithmeticError):
        check((want.y * np.nan,), (want.y,), "not a number")


def test_a_side_that_is_wrong_is_named(monkeypatch):
    right = measure.jax_sides.CONVOLUTIONS[JCONV]
    monkeypatch.setitem(
        measure.jax_sides.CONVOLUTIONS, JCONV, lambda row: lambda x, kernel: right(row)(x, kernel * 1.001)
    )
    with pytest.raises(ArithmeticError, match=r"tiny: forward of jconv: off by 1\.0e-03"):
        measure.measure(TINY, {}, FAST, machine.Ceilings(1, 1))


def test_long_kernels_are_checked_on_groups_spread_over_all():
    row = Row("long", "depthwise", 1, 8192, 8, 8, 8192, groups=8)
    assert checked_groups(row).tolist() == [0]
    row = row._replace(kernel_size=700)
    assert checked_groups(row).tolist() == [0, 7]
    assert part(row, np.arange(8)[None]).tolist() == [[0, 7]]


# One tiny row, by lax and jconv alone


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(
    "row", [TINY, Row("tiny transposed", "transposed", 2, 5, 4, 3, 4, 2, padding="valid", transposed=True)]
)
def test_a_row_end_to_end(row):
    found = measure.measure(row, {}, FAST, machine.Ceilings(1, 1))
    assert set(found["milliseconds"]) == set(PROGRAMS)
    for times in found["milliseconds"].values():
        assert set(times) == {LAX, JCONV}
        assert all(time > 0 for time in times.values())
    assert found["scan_steps"] == measure.QUICK_STEPS
    assert found["compile_seconds"][JCONV] > 0 and found["temporary_bytes"][LAX] >= 0
    assert found["roofline_share"] > 0


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("shared", [False, True])
def test_an_ensemble_end_to_end(shared):
    row = Row("several", "ensemble", 1, 8, 2, 3, 3, ensemble=2, shared_kernel=shared)
    found = measure.measure(row, {}, FAST, machine.Ceilings(1, 1))
    assert list(found["milliseconds"]) == list(PROGRAMS[:2] if shared else PROGRAMS[:4])


def test_programs_that_would_take_too_long_are_left_out():
    found = measure.measure(TINY, {}, FAST._replace(patience=1e-9), machine.Ceilings(1, 1))
    assert found["milliseconds"][GRADIENTS] == {LAX: None, JCONV: None}
    assert found["milliseconds"][FORWARD][LAX] > 0


# Tables and summary


def test_the_summary_of_a_made_up_run():
    results = [result("quick", 4.0, 1.0, 0.5, 0.8), result("even", 1.0, 1.0, 2.0), result("lost", 0.5, 1.0)]
    assert summary.ratio(results[0], FORWARD, summary.BEST_OTHER) == 0.5
    assert summary.ratio(results[2], FORWARD, summary.BEST_OTHER) is None
    assert summary.ratio(results[0], SCAN_GRADIENTS, LAX) is None
    text = "\n".join(summary.summary(results))
    assert "forward, lax / jconv: 1.26x over 3 rows; lowest lost 0.50x, even 1.00x, quick 4.00x" in text
    assert "below 0.9x: 1: lost" in text
    assert "forward, best other library / jconv: 1.00x over 2 rows" in text
    assert "below 0.6x: 1: quick" in text
    assert "step of a scan" not in text
    for found, step in zip(results, (1.5, 0.75), strict=False):
        found["milliseconds"][SCAN_FORWARD] = {LAX: 9.0, JCONV: step}
    line = "jconv, forward, step of a scan / call outside: 1.06 over 2 rows; highest quick 1.50, even 0.75"
    assert line in summary.summary(results)[-1]


def test_the_lines_of_the_tables():
    assert tables.first_line(result("a", 4.0, 1.0, 0.5)) == (
        "| a (2, 9, 4, 6, 3, 2, 1, 2) | 0.50x, – | – | 4.00x, 4.00x | 4 / 1 / – / 0.5 / – | 40 / 10 / – / – "
        "| – | – | – |"
    )
    both = result("a", 4.0, 1.0, 2.0)
    both["milliseconds"][FORWARD][FASTEST] = 0.8
    assert tables.first_line(both).startswith(
        "| a (2, 9, 4, 6, 3, 2, 1, 2) | 2.00x, – | 2.50x, – | 4.00x, 4.00x | 4 / 1 / 0.8 / 2 / – |"
    )
    assert "forward, best other library / jconv, fastest: 2.50x" in "\n".join(summary.summary([both]))
    assert tables.second_line(result("a", 4.0, 1.0)) == ("| a | – | – / 1 | – | – | 0.50 / 0.25 | 1.0 / – | 50% |")
    for columns, line in (
        (tables.FIRST_COLUMNS, tables.first_line(result("a", 1, 1))),
        (tables.second_columns(False), tables.second_line(result("a", 1, 1))),
        (tables.second_columns(True), tables.second_line(result("a", 1, 1), gpu=True)),
    ):
        assert markdown.heading(columns).splitlines()[0].count("|") == line.count("|")


@pytest.mark.parametrize("module", [results, summary, tables])
def test_examples_in_docstrings_are_correct(module):
    found = doctest.testmod(module)
    assert found.attempted and not found.failed


# The command


@pytest.fixture
def tiny_row_only(monkeypatch):
    """The command over one tiny row, without other libraries, and without touching the process's default device."""
    monkeypatch.setattr(options, "ROWS", [TINY])
    monkeypatch.setattr(allocator, "keep_memory", lambda: True)
    monkeypatch.setattr(other_libraries, "find", lambda device, cores: ({}, ["PyTorch is left out: a test"]))
    monkeypatch.setattr(machine, "use_device", lambda kind: jax.devices("cpu")[0])
    monkeypatch.setattr(machine, "ceilings", lambda kind: machine.Ceilings(100.0, 10.0))
    monkeypatch.setattr(measure, "measure", lambda row, *_: result(row.name, 2.0, 1.0, 3.0))


def test_a_run_is_written_and_redrawn(tiny_row_only, tmp_path, capsys):
    file, png = tmp_path / "run.json", tmp_path / "run.png"
    assert conv1d.main(["--json", str(file)]) == command.DONE
    measured = capsys.readouterr().out
    assert "PyTorch is left out: a test" in measured
    assert "; float32; freed memory is kept\n" in measured
    assert "| tiny (2, 9, 4, 6, 3, 2, 1, 2) | 3.00x, – | – | 2.00x, 2.00x | 2 / 1 / – / 3 / – |" in measured
    record = json.loads(file.read_text())
    assert record["rows"][0]["milliseconds"][FORWARD][LAX] == 2.0
    assert record["where"]["versions"]["jax"] == jax.__version__
    assert record["where"]["cpu"] and record["where"]["date"]
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]

    assert conv1d.main(["--from-json", str(file), "--picture", str(png)]) == command.DONE
    assert capsys.readouterr().out == measured
    assert png.read_bytes().startswith(b"\x89PNG")


def test_inline_computes_in_the_calling_thread(tiny_row_only, monkeypatch, tmp_path, capsys):
    file, updates = tmp_path / "run.json", []
    monkeypatch.setattr(conv1d, "compute_inline", lambda: updates.append("inline"))
    assert conv1d.main(["--json", str(file)]) == command.DONE and not updates
    assert conv1d.main(["--inline", "--json", str(file)]) == command.DONE and updates == ["inline"]
    assert "; freed memory is kept; JAX in the calling thread\n" in capsys.readouterr().out
    assert json.loads(file.read_text())["where"]["inline"]


def test_freed_memory_is_kept_where_the_allocator_has_the_option(monkeypatch):
    calls = []

    class Library:
        def mallopt(self, option, value):
            calls.append((option, value))
            return 1

    monkeypatch.setattr(allocator.sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: Library())
    assert allocator.keep_memory()
    assert calls == [(-1, 2**30), (-3, 2**30)]
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())  # another C library
    assert not allocator.keep_memory()
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not allocator.keep_memory()


def test_a_picture_of_a_run_without_other_libraries():
    where = {"cpu": "a", "cores": 2, "device": "cpu", "versions": {}, "date": "2026-01-01"}
    rows = [result("a", 2.0, 1.0), result("b", 1.0, 3.0)]
    assert picture.speedups({"where": where, "rows": rows}).startswith(b"\x89PNG")


def test_issues_are_written_and_shown(tiny_row_only, tmp_path, capsys, monkeypatch):
    found = {"link": "a/b 1", "program": "p", "unit": "ms", "values": {LAX: 4.0, JCONV: 2.0, "Flax": 3.0}}
    monkeypatch.setattr(public_issues, "run", lambda *_: public_issues.show([found]) or [found])
    file = tmp_path / "run.json"
    assert conv1d.main(["--issues", "--json", str(file)]) == command.DONE
    out = capsys.readouterr().out
    assert "| a/b 1 | p | 4 ms | 2 ms | 2.00x | Flax 3 ms |" in out
    assert conv1d.main(["--from-json", str(file)]) == command.DONE
    assert capsys.readouterr().out == out
    assert conv1d.main(["--from-json", str(file), "--picture", str(tmp_path / "a.png")]) == command.MISTAKE


def test_a_wrong_result_ends_the_run(tiny_row_only, capsys, monkeypatch):
    def wrong(*_):
        raise ArithmeticError("tiny: forward of jconv: off by 1")

    monkeypatch.setattr(measure, "measure", wrong)
    assert conv1d.main([]) == command.FAILED
    assert capsys.readouterr().err == "conv1d: wrong result: tiny: forward of jconv: off by 1\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "no such row"], "--rows 'no such row': no name of a row contains it"),
        (["--repeats", "0"], "argument --repeats: must be a whole number of at least 1, got '0'"),
        (["--patience", "soon"], "argument --patience: must be a number above zero, got 'soon'"),
        (["--device", "abacus"], "argument --device: invalid choice"),
        (["--json", "no/such/folder/a.json"], "there is no folder no/such/folder"),
        (["--picture", "a.pdf"], "--picture a.pdf: must end in .png"),
        (["--picture", "a.png", "--issues"], "--issues does not measure"),
        (["--from-json", "missing.json"], "--from-json missing.json: No such file or directory"),
        (["--from-json", "pyproject.toml"], "not a file that --json wrote"),
        (["--from-json", "a.json", "--json", "b.json"], "--from-json measures nothing"),
    ],
)
def test_mistakes_are_one_line(tiny_row_only, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(ROOT)
    try:
        code = conv1d.main(arguments)
    except SystemExit as stop:
        code = stop.code
    err = capsys.readouterr().err
    assert code == command.MISTAKE
    assert err.startswith("conv1d: ") and err.count("\n") == 1
    assert message in err


def test_a_missing_device_is_a_user_error(capsys, monkeypatch):
    def nothing(kind):
        raise RuntimeError(f"no {kind}")

    monkeypatch.setattr(jax, "devices", nothing)
    assert conv1d.main(["--device", "gpu"]) == command.MISTAKE
    assert capsys.readouterr().err == "conv1d: --device gpu: JAX finds no gpu here\n"


def test_jconv_gathers_no_batch():
    """See openxla/xla issue 47945. It runs on the eight simulated devices of the tests."""
    assert gathers.count(JCONV) == 0
