"""`python -m benchmarks.estimators` and `benchmarks.hydra`: their tables."""

import doctest
import json

import pytest

from benchmarks import estimators, hydra


def test_example_of_the_table():
    assert doctest.testmod(hydra).attempted > 0 == doctest.testmod(hydra).failed


def test_the_command_writes_every_measurement(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(estimators, "_in_process", lambda python, side, *_: [1.0 if side == "jconv" else 5.0, 0.75])
    file = tmp_path / "numbers.json"
    assert estimators.main(["--sets", "Some", "Other", "--networks", "FCN", "--json", str(file)]) == 0
    rows = json.loads(file.read_text())["rows"]
    assert [row["data"] for row in rows] == ["Some", "Other"] and rows[0]["aeon"] == [5.0, 0.75]
    assert capsys.readouterr().out.count("| FCN | 1.0 s | 5.0 s | 5.0 | 0.750 | 0.750 |") == 2


@pytest.mark.filterwarnings("ignore")
def test_hydra_of_jconv_is_measured():
    pytest.importorskip("aeon")
    sides = {hydra.OURS: hydra._sides()[hydra.OURS]}
    cell = hydra.measure("UnitTest", sides, seeds=1, rounds=1)
    assert cell.accuracy[hydra.OURS][0] > 0.7 and cell.first.keys() == cell.fit.keys() == {hydra.OURS}
