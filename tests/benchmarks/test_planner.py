"""`python -m benchmarks.planner`: random geometries, measurements, learned trees, and the evaluation of choices."""

import csv
import json
from dataclasses import astuple

import numpy as np
import pytest

from benchmarks import planner as command
from benchmarks.shared.timing import Timing
from jconv.algorithms import ALGORITHMS, OPERATIONS
from jconv.geometry import Geometry
from jconv.planner import candidates, tree
from jconv.sizes import Sizes

SMALL = Sizes(Geometry(40, 3, low=1, high=1), 2, 4, 4)


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    """Keeps the memory and thread settings of the process."""
    monkeypatch.setattr(command, "keep_memory", lambda: False)
    monkeypatch.setattr(command, "compute_inline", lambda: None)


def write(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*command.NUMBERS, "operation", *ALGORITHMS])
        writer.writeheader()
        for row in rows:
            numbers = zip(command.NUMBERS, [*row.sizes[1:], *astuple(row.sizes.geometry)], strict=True)
            writer.writerow({**dict(numbers), "operation": row.operation, **row.times})


def test_geometries_are_of_every_kind_and_can_be_drawn_again():
    random, again = np.random.default_rng(5), np.random.default_rng(5)
    drawn = [command.draw(random) for _ in range(300)]
    assert drawn == [command.draw(again) for _ in range(300)]
    groups = {s.geometry.groups for s in drawn}
    assert {1, 2, 32} <= groups and any(s.geometry.groups == s.in_channels > 1 for s in drawn)
    taps = [s.geometry.kernel_size for s in drawn]
    assert {1, 2, 3, 256, 1024} <= set(taps) and np.quantile(taps, 0.9) > 30
    assert {s.geometry.dilation for s in drawn} == {1, 2, 4, 8, 16}
    assert len({s.geometry.stride for s in drawn}) > 5
    assert all(s.geometry.out_length >= 1 and s.multiply_adds for s in drawn)


@pytest.mark.slow
def test_a_table_is_measured_resumed_and_measured_again(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(command, "draw", lambda random: drawn.append(1) or SMALL._replace(batch=len(drawn)))
    table, again = tmp_path / "table.csv", tmp_path / "again.csv"
    assert command.main(["measure", str(table), "--count", "1"]) == 0
    assert command.main(["measure", str(table), "--count", "2"]) == 0
    rows = command.read(table)
    assert [row.operation for row in rows] == [*OPERATIONS, *OPERATIONS]
    first, second = {row.sizes for row in rows[:3]}, {row.sizes for row in rows[3:]}
    assert len(first) == len(second) == 1 and first != second
    for row in rows:
        assert set(row.times) == set(candidates(row.operation, row.sizes)) and min(row.times.values()) > 0
    assert command.main(["measure", str(table), "--minutes", "0"]) == 0 and len(command.read(table)) == 6
    assert command.main(["measure", str(again), "--like", str(table)]) == 0
    assert [row[:2] for row in command.read(again)] == [row[:2] for row in rows]
    slow = [row._replace(times=row.times | dict.fromkeys(set(row.times) - {"lax"}, 1e9)) for row in rows[:3]]
    write(table, slow)
    for option, names in (([], [{"lax"}] * 3), (["--complete"], [set(row.times) for row in slow])):
        again.unlink()
        assert command.main(["measure", str(again), "--like", str(table), *option]) == 0
        assert [set(row.times) for row in command.read(again)] == names


def test_a_short_operation_is_timed_several_times_in_a_row(monkeypatch):
    programs = []

    def medians(calls, first, **options):
        programs.append({name: len(call()) for name, call in calls.items()})
        return {name: Timing(8.0, 9) for name in calls}

    monkeypatch.setattr(command, "medians", medians)
    for short, count in ((1e9, command.IN_A_ROW), (0.0, 1)):
        monkeypatch.setattr(command, "SHORT", short)
        times = command.time_algorithms(command.TimedOperation(SMALL, "forward", {}), ["lax"]).times
        assert programs.pop() == {"lax": count} and times == {"lax": 8.0 / count}


def test_algorithms_that_were_slow_for_similar_geometries_are_seldom_measured():
    random = np.random.default_rng(0)
    times = {"lax": 1.0, "shifts": 1.1, "matmul": 9.0}
    rows = [command.TimedOperation(SMALL._replace(batch=batch), "forward", times) for batch in range(1, 41)]
    row = command.TimedOperation(SMALL, "forward", {})
    assert command.promising_algorithms(row, rows[:39], random) == candidates("forward", SMALL)
    found = [command.promising_algorithms(row, rows, random) for _ in range(200)]
    assert all({"lax", "shifts"} <= set(names) for names in found)
    assert 2 <= sum("matmul" in names for names in found) <= 60


def test_a_learned_tree_chooses_the_fastest_algorithm(tmp_path, monkeypatch):
    rows = []
    for operation in OPERATIONS:
        for batch in range(1, 21):
            for taps in (2, 3, 16, 17):
                sizes = SMALL._replace(batch=batch, geometry=Geometry(40, taps))
                rows.append(command.TimedOperation(sizes, operation, {"lax": 1.0, "shifts": 0.5 if taps < 8 else 2.0}))
    write(tmp_path / "table.csv", rows)
    monkeypatch.setattr(tree, "DATA", tmp_path)
    monkeypatch.setattr(command, "DRAWN", 200)
    assert command.main(["learn", str(tmp_path / "table.csv"), "--processor", "Some Chip", "--cores", "4"]) == 0
    table = json.loads((tmp_path / "some-chip-4.json").read_text(encoding="utf-8"))
    assert (table["processor"], table["cores"]) == ("Some Chip", 4)
    for operation in OPERATIONS:
        for taps in (2, 3, 16, 17):
            leaf = tree.walk(table["trees"][operation], SMALL._replace(geometry=Geometry(40, taps)))
            assert (leaf.ratios.get("shifts", 1) < 0.8) == (taps < 8) and leaf.path


def test_choices_are_judged(tmp_path, monkeypatch, capsys):
    class Chosen:
        algorithm = "shifts"

    monkeypatch.setattr(command, "choose", lambda *args, **options: Chosen)
    first = [
        command.TimedOperation(SMALL, operation, {"lax": 2.0, "shifts": 1.5, "fft": 1.0}) for operation in OPERATIONS
    ]
    again = [row._replace(times={"lax": 3.0, "shifts": 1.5, "fft": 1.0}) for row in first]
    for name, rows in (("first.csv", first), ("again.csv", again)):
        write(tmp_path / name, rows)
    assert command.main(["judge", str(tmp_path / "first.csv"), str(tmp_path / "again.csv")]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert lines[0].startswith("auto: chosen / fastest 1.000 (mean of 3), 90th percentile 1.00")
    assert lines[1].startswith("fastest: chosen / fastest 1.500 (mean of 3), 90th percentile 1.50")
    assert all("lax / chosen 2.000" in line for line in lines)


@pytest.mark.parametrize("text", ["", "batch,length\n1,2\n", "\0"])
def test_a_file_that_is_no_table_is_a_user_error(text, tmp_path, capsys):
    path = tmp_path / "table.csv"
    path.write_text(text + "\n" if text else "operation\nforward\n", encoding="utf-8")
    assert command.main(["learn", str(path), "--processor", "x", "--cores", "1"]) == 2
    assert "table of measured times" in capsys.readouterr().err
    assert command.main(["judge", str(tmp_path / "none.csv"), str(path)]) == 2
