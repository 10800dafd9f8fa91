"""Folds: each series is held out once, each class is distributed evenly, and each fold has a run."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest

from training import compare, fit
from training.commands.from_options import build_run
from training.core.learner import init_learner
from training.data import datasets
from training.data.splits import fold
from training.options.options import parse
from training.run import results, run_folder
from training.run.config import config

RUN = ["--data", "a.npz", "--model", "mlp", "--epochs", "1", "--skip-proof"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    y = np.arange(10) % 2
    x = np.sin(np.arange(8) * np.where(y, 1.5, 0.5)[:, None] + np.arange(10)[:, None])
    np.savez("a.npz", x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])


@pytest.mark.parametrize("stratified", [True, False])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_each_series_is_held_out_once(stratified, count):
    data = datasets.load("gunpoint")
    parts = [fold(data, number, count, 3, stratified) for number in range(1, count + 1)]
    held = np.concatenate([other.x_test for _, other in parts])
    assert len(held) == 50 and len(np.unique(held, axis=0)) == 50
    for kept, other in parts:
        all_series = np.concatenate([kept.x_train, other.x_test])
        assert len(np.unique(all_series, axis=0)) == 50 and kept.x_test is data.x_test
        assert abs(len(other.x_test) - 50 / count) < 1
        if stratified:
            shares = np.bincount(other.y_test) - np.bincount(data.y_train) / count
            assert (abs(shares) < 1).all()
    again = fold(data, 1, count, 3, stratified)[1]
    np.testing.assert_array_equal(again.x_test, parts[0][1].x_test)
    assert not np.array_equal(fold(data, 1, count, 4, stratified)[1].x_test, again.x_test)


def test_a_class_of_one_series_is_never_held_out():
    data = datasets.load("a.npz")
    alone = data._replace(y_train=np.array([0] * 5 + [1] * 4 + [2], np.int32), classes=("0", "1", "2"))
    for number in (1, 2, 3):
        kept, held = fold(alone, number, 3, 0, True)
        assert (kept.y_train == 2).sum() == 1 and 2 not in held.y_test


def test_changed_validation_series_change_the_fingerprint_of_the_data():
    with np.load("a.npz") as file:
        arrays = dict(file)
    held = fold(datasets.load("a.npz"), 1, 2, 0, True)[1].x_test[0, :, 0]
    arrays["x_train"][(arrays["x_train"] == held).all(1)] *= 2
    np.savez("b.npz", **arrays)
    prints = []
    for name in ("a.npz", "b.npz"):
        options = parse([*RUN, "--data", name, "--fold", "1/2"])
        data, _, task, plan = build_run(options)
        prints.append(config(options, plan, data, task, init_learner(task, plan, np.float32))["fingerprints"])
        assert data.x_train.shape == (5, 8, 1)
    assert prints[0].pop("data") != prints[1].pop("data") and prints[0] == prints[1]


def _create_earlier_runs():
    """Creates a run folder with the files of a run of one network, the runs of folds, and a file of the user."""
    for folder in ("run", "run/fold-1", "run/fold-3", "run/fold-4"):
        run_folder.begin(Path(folder), {})
        Path(folder, run_folder.PARAMS).write_bytes(b"")
    Path("run/fold-4/notes.txt").write_text("mine")
    Path("run/fold-old").mkdir()


@pytest.mark.slow
def test_the_command_runs_and_summarizes_the_folds(capsys):
    _create_earlier_runs()
    overwritten = [*RUN, "--folds", "2", "--out", "run", "--json", "--overwrite"]
    # A user error deletes nothing. A new run of folds deletes the params of the one network.
    assert fit.main([*overwritten, "--batch-size", "9"]) == 2
    assert Path("run/params.npz").is_file() and Path("run/fold-3/params.npz").is_file()
    capsys.readouterr()
    assert fit.main(overwritten) == 0
    assert {str(path) for path in Path("run").iterdir()} == {
        f"run/{name}" for name in (run_folder.CONFIG, run_folder.RESULTS, "fold-1", "fold-2", "fold-4", "fold-old")
    }
    assert [path.name for path in Path("run/fold-4").iterdir()] == ["notes.txt"]
    output = capsys.readouterr()
    results = json.loads(output.out)
    assert output.out == Path("run/results.json").read_text() and results["status"] == "done"
    own = [json.loads(Path(f"run/fold-{number}/results.json").read_text()) for number in (1, 2)]
    assert results["folds"] == own
    scores = [one["validation"]["loss"] for one in own]
    assert results["validation"]["loss"] == pytest.approx(np.mean(scores))
    assert results["deviation"]["validation"]["loss"] == pytest.approx(np.std(scores))
    assert "5 training, 5 validation and 2 test series" in output.err and "deviation" in output.err

    # A single fold is the same run.
    assert fit.main([*RUN, "--fold", "2/2", "--out", "alone"]) == 0
    for name in ("metrics.csv", run_folder.PARAMS):
        assert Path("alone", name).read_bytes() == Path("run/fold-2", name).read_bytes()
    capsys.readouterr()
    assert compare.main(["run", "alone"]) == 0
    table = capsys.readouterr().out
    assert " validation " in table and " accuracy " in table and " task " not in table

    assert fit.main([*RUN, "--folds", "2", "--out", "run"]) == 2
    assert capsys.readouterr().err.startswith("fit: run/fold-1 contains an earlier run; choose another --out")
    # Folds that are done are not run again.
    before = Path("run/fold-1/metrics.csv").read_bytes()
    assert fit.main([*RUN, "--folds", "2", "--out", "run", "--resume"]) == 0
    assert Path("run/fold-1/metrics.csv").read_bytes() == before
    assert json.loads(Path("run/results.json").read_text())["validation"] == results["validation"]
    with run_folder.locked(Path("run")):
        assert fit.main([*RUN, "--folds", "2", "--out", "run", "--resume"]) == 2
    assert capsys.readouterr().err == "fit: run: another process works on this run\n"
    assert fit.main([*RUN, "--folds", "3", "--out", "run", "--resume"]) == 2
    words = "run/fold-1 was started with --fold 1/2, not --fold 1/3; --resume needs the same options"
    assert capsys.readouterr().err == f"fit: {words}\n"
    # A run of one network replaces the folds.
    run_folder.begin(Path("run"), {})
    assert not list(Path("run").glob("fold-[1-3]")) and not Path("run", run_folder.RESULTS).exists()


def test_a_signal_while_a_fold_is_saved_ends_the_folds(monkeypatch, capsys):
    """The fold is saved completely, and no other one starts."""
    save = results.save

    def saved(*arguments):
        signal.raise_signal(signal.SIGTERM)
        return save(*arguments)

    monkeypatch.setattr(results, "save", saved)
    assert fit.main([*RUN, "--folds", "2", "--out", "run"]) == 143
    assert "fit: SIGTERM arrived after the training; everything is saved" in capsys.readouterr().out
    assert json.loads(Path("run/fold-1/results.json").read_text())["status"] == "done"
    # The run of folds counts as interrupted, also if its process is killed in the next fold.
    summary = json.loads(Path("run/results.json").read_text())
    assert summary["status"] == "interrupted" and len(summary["folds"]) == 1 and not Path("run/fold-2").exists()
