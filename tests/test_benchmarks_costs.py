"""`python -m benchmarks.costs`: what it measures, what it says of a file, and what it refuses."""

import csv
import math

import pytest

from benchmarks import costs

DENSE = (2, 40, 4, 8, 3, 1, 1, 1, 2, 0)


@pytest.fixture
def table(monkeypatch, tmp_path):
    """A table of one convolution on two machines, and a process whose settings stay as they are."""
    monkeypatch.setattr(costs, "keep_memory", lambda: False)
    monkeypatch.setattr(costs, "compute_inline", lambda: None)
    path = tmp_path / "table.csv"
    lines = [",".join(costs.COLUMNS)]
    for machine, lax, shifts, fft in ((1, 1.0, 0.5, 9.0), (2, 0.2, 0.6, 9.0)):
        for face in costs.FACES:
            times = {"lax": lax, "shifts": shifts, "fft": fft}
            own = [str(times.get(name, "")) for name in sorted(costs.ALGORITHMS)]
            lines.append(",".join([str(machine), *map(str, DENSE), face, *own]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.setattr(costs, "TABLE", path)
    return path


def test_what_was_among_the_fastest_anywhere_is_timed(table, tmp_path, capsys):
    file = tmp_path / "mine.csv"
    assert costs.main(["--csv", str(file), "--repeats", "1", "--machine", "7"]) == 0
    printed = capsys.readouterr().out.splitlines()
    with file.open(newline="", encoding="utf-8") as lines:
        found = list(csv.DictReader(lines))
    assert [line["face"] for line in found] == list(costs.FACES)
    for row in costs.read(file):
        assert row.machine == 7 and row.numbers == DENSE
        assert {"lax", "shifts", row.chosen} == {name for name, ms in row.times.items() if ms > 0}
    assert printed[1].startswith("3 faces: what is chosen takes ")
    assert costs.main(["--from-csv", str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == printed


def test_each_so_manyth(table, tmp_path):
    file = tmp_path / "mine.csv"
    assert costs.main(["--csv", str(file), "--every", "3", "--repeats", "1"]) == 0
    assert [row.face for row in costs.read(file)] == ["forward"]


def test_the_summary_names_what_loses(monkeypatch):
    rows = [costs.Face(1, DENSE, face, {"lax": 1.0, "shifts": 4.0}) for face in costs.FACES]
    monkeypatch.setattr(costs.Face, "chosen", "shifts")
    lines = costs.summary(rows)
    assert "4.000 times as long as the fastest, and lax 0.25" in lines[0]
    assert lines[2] == "- forward: lax 1.00"
    assert lines[-4:] == [
        "slower than lax by a tenth and 0.1 ms or more: 3",
        *(f"- {DENSE} {face}: shifts 4 ms, lax 1" for face in costs.FACES),
    ]
    monkeypatch.setattr(costs.Face, "chosen", "fft")
    assert costs.summary(rows) == ["no face was timed by what is chosen for it here"]
    assert math.isnan(costs._mean([]))


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--from-csv", "{}/none.csv"], "not a table of measured costs"),
        (["--csv", "{}/no/folder.csv"], "No such file or directory"),
        (["--csv", "{}/table.csv"], "File exists"),
    ],
)
def test_a_mistake_is_one_line(arguments, said, table, tmp_path, capsys):
    assert costs.main([argument.format(tmp_path) for argument in arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and said in line


@pytest.mark.parametrize("arguments", [[], ["--csv", "a", "--every", "0"], ["--csv", "a", "--repeats", "x"]])
def test_options_are_checked(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        costs.main(arguments)
    assert error.value.code == 2
    assert "costs: error: " in capsys.readouterr().err
