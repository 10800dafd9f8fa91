"""`python -m training.compare`: the table, JSON and picture of runs, and errors."""

import io
import json
from pathlib import Path

import matplotlib
import matplotlib.image
import numpy as np
import pytest

from training import compare
from training.core.learner import Row
from training.run import comparison, run_folder

ROWS = [Row(1, 1e-3, 0.7, 0.5, None, None), Row(2, 1e-3, 0.6, 0.6, 0.65, 0.55), Row(3, 0.0, 0.5, 0.7, 0.6, 0.6)]


def _run(folder, model="fcn", score="accuracy", status="done", test=(0.25, 0.875), rows=ROWS, task=None):
    run_folder.begin(folder, {"data": "gunpoint", "model": model} | ({"task": task} if task else {}))
    results = {"status": status, "epochs": len(rows), "best_epoch": 3, "score_name": score}
    results |= {"training": {"loss": 0.125, "score": 1.0}, "seconds": {"training": 2.0, "saving": 0.5}}
    results["validation"] = None
    results["test"] = test and {"loss": test[0], "score": test[1]}
    run_folder.write_json(folder, run_folder.RESULTS, results)
    run_folder.write_metrics(folder, rows, score)
    return folder.name


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_table_has_a_line_for_each_run(tmp_path, capsys):
    names = [_run(tmp_path / "a"), _run(tmp_path / "long-name", model="two-layer", test=None)]
    assert compare.main(names) == 0
    assert capsys.readouterr().out.splitlines() == [
        "                                                 training  training    test      test   best",
        "run        data      model      epochs  seconds      loss  accuracy    loss  accuracy  epoch",
        "-" * 92,
        "a          gunpoint  fcn             3      2.5    0.1250    1.0000  0.2500    0.8750      3",
        "long-name  gunpoint  two-layer       3      2.5    0.1250    1.0000                        3",
        "-" * 92,
    ]


def test_a_table_fits_a_terminal():
    """A table has at most 100 characters per line, for any content."""
    names = [f"runs/learning-rate=0.001,model=inception-time,seed={number}" for number in range(2)]
    row = {"status": "interrupted", "data": "PickupGestureWiimoteZ", "model": "inception-time", "task": "forecast"}
    row |= {"epochs": 1500, "seconds": 12345.5, "score": "absolute_error"}
    row |= {f"{part}_{field}": 1234.5 for part in run_folder.PARTS for field in ("loss", "score")}
    row |= {"best_epoch": 1500}
    rows = [{"run": name} | row for name in names]
    rows[1] |= {"task": "denoise", "score": "accuracy"}
    lines = comparison.text(rows).splitlines()
    assert max(map(len, lines)) <= 100
    words = [
        f"  interrupted, PickupGestureWiimoteZ, inception-time, {own}"
        for own in ("forecast, absolute error", "denoise, accuracy")
    ]
    numbers = ["1500", "12345.5", *["1234.5000"] * 6, "1500"]
    for name, own in zip(names, words, strict=True):
        at = lines.index(name)
        assert lines[at + 1] == own and lines[at + 2].split() == numbers
    # With enough width, each run is one line.
    assert [line.split()[0] for line in comparison.text(rows, width=300).splitlines()[2:4]] == names


def test_columns_for_different_scores_and_statuses(tmp_path):
    names = [_run(tmp_path / "a", status="interrupted"), _run(tmp_path / "b", score="absolute_error")]
    rows = [comparison.row(comparison.read(Path(name))) for name in names]
    head, _, first, second, _ = comparison.text(rows, width=150).splitlines()
    assert "task" not in head
    assert head.split()[:2] == ["run", "status"] and "test score" in head
    assert first.split()[1] == "interrupted" and " accuracy " in first and " absolute error " in second


def test_a_run_that_has_not_ended_is_left_out(tmp_path, capsys):
    run_folder.begin(tmp_path / "b", {"data": "gunpoint", "model": "fcn"})
    assert compare.main([_run(tmp_path / "a"), "b", "--json"]) == 0
    out, line = capsys.readouterr()
    assert [row["run"] for row in json.loads(out)["runs"]] == ["a"]
    assert line == "compare: b is left out: it has no results.json, which a run writes at its end\n"


def test_a_column_for_different_tasks(tmp_path, capsys):
    names = [_run(tmp_path / task, task=task, score="absolute_error") for task in ("denoise", "forecast")]
    assert compare.main(names) == 0
    *_, head, _, first, second, _ = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["run", "data", "model", "task"]
    assert [line.split()[3] for line in (first, second)] == ["denoise", "forecast"]


def test_json_has_a_row_for_each_run(tmp_path, capsys):
    assert compare.main([_run(tmp_path / "a"), _run(tmp_path / "b", test=None), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["runs"]
    assert first == {
        "run": "a",
        "status": "done",
        "data": "gunpoint",
        "model": "fcn",
        "task": None,
        "epochs": 3,
        "seconds": 2.5,
        "score": "accuracy",
        "training_loss": 0.125,
        "training_score": 1.0,
        "validation_loss": None,
        "validation_score": None,
        "test_loss": 0.25,
        "test_score": 0.875,
        "best_epoch": 3,
    }
    assert second["test_score"] is None


def test_the_folder_of_a_sweep_is_its_runs(tmp_path, capsys):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "seed=0.log").touch()
    for name in ("a", "s/seed=1", "s/seed=0"):
        _run(tmp_path / name)
    assert compare.main(["a", "s", "--json"]) == 0
    assert [row["run"] for row in json.loads(capsys.readouterr().out)["runs"]] == ["a", "s/seed=0", "s/seed=1"]


def test_compare_draws_a_picture(tmp_path, capsys):
    names = [_run(tmp_path / "a"), _run(tmp_path / "_$b$", score="absolute_error")]
    assert compare.main([*names, "--picture", "curves.png"]) == 0
    image = matplotlib.image.imread(io.BytesIO((tmp_path / "curves.png").read_bytes()))
    assert 0.01 < np.mean(image[..., :3].min(axis=-1) < 0.9) < 0.9
    assert capsys.readouterr().out.count("\n") == 6


def _svg(*names):
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": ""}):
        assert compare.main([*names, "--picture", "curves.svg"]) == 0
    # Matplotlib writes the date.
    return [line for line in Path("curves.svg").read_text().splitlines() if "<dc:date>" not in line]


def test_a_picture_shows_validation_and_not_the_test_set(tmp_path):
    """Runs that are selected by validation are shown without their test curves."""
    rows = [row._replace(validation_loss=0.8 - row.epoch / 10, validation_score=row.epoch / 4) for row in ROWS]
    with_validation = _svg(_run(tmp_path / "a", rows=rows))
    assert not any("test" in line for line in with_validation)
    assert any("validation" in line for line in with_validation)
    other_test = [row._replace(test_loss=0.9, test_score=0.1) for row in rows]
    assert _svg(_run(tmp_path / "a", rows=other_test)) == with_validation
    other = [row._replace(validation_loss=0.9) for row in rows]
    assert _svg(_run(tmp_path / "a", rows=other)) != with_validation
    without = _svg(_run(tmp_path / "b"), _run(tmp_path / "a", rows=rows))
    for words in (">training<", ">validation<", ">test (no validation set: do not choose by it)<"):
        assert any(words in line for line in without)


def test_log_files_of_a_sweep_are_ignored(tmp_path, capsys):
    """As in `compare runs/rates/*`."""
    names = [_run(tmp_path / "rate=0.1,model=fcn"), "rate=0.1,model=fcn.log"]
    (tmp_path / names[1]).touch()
    assert compare.main([*names, "--json"]) == 0
    out, err = capsys.readouterr()
    assert [row["run"] for row in json.loads(out)["runs"]] == names[:1] and err == ""
    # The log of a run that did not start has no folder.
    (tmp_path / "rate=9.log").touch()
    assert compare.main([*names, "rate=9.log", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [row["run"] for row in json.loads(out)["runs"]] == names[:1]
    assert err == "compare: rate=9.log is left out: it is a log without a run folder\n"
    assert compare.main(names[1:]) == 2
    assert capsys.readouterr().err == "compare: rate=0.1,model=fcn.log: a file, not a run folder\n"


def _error_message(capsys, *arguments):
    assert compare.main(list(arguments)) == 2
    out, line = capsys.readouterr()
    assert out == "" and line.count("\n") == 1 and line.startswith("compare: ")
    return line[9:-1]


def test_mistakes_are_one_line_and_exit_code_2(tmp_path, capsys):
    run = _run(tmp_path / "a")
    assert _error_message(capsys, run, "none") == "none: no such folder"
    assert _error_message(capsys, run, "a" * 300).endswith(": cannot be read: File name too long")
    (tmp_path / "seed=0.log").touch()
    assert _error_message(capsys, "seed=0.log") == "seed=0.log: a file, not a run folder"
    (tmp_path / "seed=0.txt").touch()
    assert _error_message(capsys, run, "seed=0.txt") == "seed=0.txt: a file, not a run folder"
    (tmp_path / "empty").mkdir()
    assert _error_message(capsys, "empty") == "empty: not a run folder, it has no config.json"
    wrong = "a/none/x.png: cannot be written to: No such file or directory"
    assert _error_message(capsys, run, "--picture", "a/none/x.png") == wrong
    _run(tmp_path / "short", rows=[])
    words = "short: metrics.csv has no epochs to draw, or cannot be read"
    assert _error_message(capsys, "short", "--picture", "x.png") == words
    (tmp_path / "a" / "results.json").write_text("[]")
    assert _error_message(capsys, run) == "a: results.json is not what this version writes"
    (tmp_path / "a" / "results.json").unlink()
    wrong = "a: results.json is missing or cannot be read; a run writes it when it ends"
    assert _error_message(capsys, run) == wrong


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: RUN"),
        (["a", "--picture", "x.txt"], "argument --picture: must end in .png, .svg, .pdf, got 'x.txt'"),
    ],
)
def test_errors_in_options(arguments, words, capsys):
    with pytest.raises(SystemExit) as stop:
        compare.main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"compare: {words}; --help explains the options\n"
