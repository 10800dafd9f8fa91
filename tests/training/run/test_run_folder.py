"""The run folder: atomic files, what may be overwritten, and params that are read back."""

import json
from pathlib import Path

import numpy as np
import pytest

from training.core.learner import Row
from training.errors import UserError
from training.run import durable, run_folder


def _message(folder, overwrite=False):
    with pytest.raises(UserError) as caught:
        run_folder.check(folder, overwrite)
    return str(caught.value)


def test_a_new_or_empty_folder_is_accepted(tmp_path):
    run_folder.check(tmp_path, overwrite=False)
    run_folder.check(tmp_path / "new", overwrite=False)


def test_an_earlier_run_is_replaced_only_with_overwrite(tmp_path):
    run_folder.begin(tmp_path / "a", {"model": "fcn"})
    folder = tmp_path / "a"
    wanted = "choose another --out, --overwrite to replace it, or --resume to continue"
    assert _message(folder) == f"{folder} contains an earlier run; {wanted}"
    run_folder.check(folder, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_never_touched(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("years of work")
    expected = f"{tmp_path} is not empty and not a run folder, it has no config.json; choose another --out"
    assert _message(tmp_path, overwrite) == expected
    file = tmp_path / "thesis.tex"
    assert _message(file, overwrite) == f"{file} is a file; --out must name a folder"


def test_overwriting_removes_the_files_of_a_run_and_nothing_else(tmp_path):
    run_folder.begin(tmp_path, {})
    for name in run_folder.FILES:
        (tmp_path / name).write_text("old")
    for name in (run_folder.CHECKPOINTS, run_folder.TENSORBOARD):
        (tmp_path / name).mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    run_folder.begin(tmp_path, {"seed": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "notes.txt"]
    assert json.loads((tmp_path / "config.json").read_text()) == {"seed": 1}


def test_a_name_that_is_too_long_is_an_error(tmp_path):
    """As of a cell of a sweep over many options."""
    folder = tmp_path / ("a" * 300)
    for use in (lambda: run_folder.config_to_resume(folder), lambda: run_folder.locked(folder).__enter__()):
        with pytest.raises(UserError, match="cannot be written to: File name too long"):
            use()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as caught:
        run_folder.begin(tmp_path / "file" / "run", {})
    assert str(caught.value) == f"{tmp_path / 'file' / 'run'}: cannot be written to: Not a directory"


def test_a_failed_write_leaves_the_old_file_and_no_temporary_file(tmp_path, monkeypatch):
    run_folder.write(tmp_path, "metrics.csv", b"old")

    def fail(*paths):
        raise OSError("disk full")

    monkeypatch.setattr("training.run.run_folder.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        run_folder.write(tmp_path, "metrics.csv", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]
    assert (tmp_path / "metrics.csv").read_bytes() == b"old"


def test_files_are_synced_before_they_are_renamed(tmp_path, monkeypatch):
    """Otherwise a power cut may leave an empty file under the new name."""
    events, fsync, replace = [], durable.os.fsync, durable.os.replace

    def synced(handle):
        fsync(handle)
        events.append(Path(f"/proc/self/fd/{handle}").resolve())

    monkeypatch.setattr(durable.os, "fsync", synced)
    monkeypatch.setattr(durable.os, "replace", lambda *paths: (replace(*paths), events.append("renamed")))
    run_folder.write(tmp_path, "config.json", b"{}")
    assert events == [tmp_path / ".config.json.part", "renamed", tmp_path]
    events.clear()
    (tmp_path / "6" / "inner").mkdir(parents=True)
    (tmp_path / "6" / "inner" / "file").touch()
    durable.sync(tmp_path / "6")
    assert set(events) == {tmp_path / name for name in ("6/inner/file", "6/inner", "6", "")}


def test_begin_keeps_the_folders_of_folds_that_follow(tmp_path):
    """The runs of these folds may hold locks in their folders."""
    run_folder.begin(tmp_path, {})
    for number in (1, 2, 3):
        run_folder.begin(tmp_path / f"fold-{number}", {})
    run_folder.begin(tmp_path, {}, folds=2)
    assert [path.name for path in sorted(tmp_path.glob("fold-*"))] == ["fold-1", "fold-2"]
    assert not any(path.exists() for path in tmp_path.glob("fold-*/*"))


def test_metrics_are_exact_and_empty_where_nothing_was_evaluated(tmp_path):
    rows = [Row(1, 1e-3, 0.1 + 0.2, 0.5, None, None), Row(2, 0.0, 0.25, 1.0, 0.125, 0.75)]
    run_folder.write_metrics(tmp_path, rows, "accuracy")
    assert (tmp_path / "metrics.csv").read_text().splitlines() == [
        "epoch,learning_rate,train_loss,train_accuracy,test_loss,test_accuracy",
        "1,0.001,0.30000000000000004,0.5,,",
        "2,0.0,0.25,1.0,0.125,0.75",
    ]


def test_params_and_state_round_trip(tmp_path):
    params = {"conv1d": {"kernel": np.arange(6.0).reshape(3, 1, 2), "bias": np.zeros(2)}}
    state = {"batch_normalization": {"moving_mean": np.ones(2, np.float32)}}
    run_folder.write_params(tmp_path, params, state)
    for tree, back in zip((params, state), run_folder.read_params(tmp_path), strict=True):
        assert {node: list(own) for node, own in back.items()} == {node: list(own) for node, own in tree.items()}
        for node, own in tree.items():
            for name, array in own.items():
                np.testing.assert_array_equal(back[node][name], array)
                assert back[node][name].dtype == array.dtype


def test_numbers_that_are_not_finite_are_text_in_json(tmp_path):
    run_folder.write_json(tmp_path, "gradients.json", {"deviation": float("nan"), "list": [float("inf"), 1.0]})
    assert json.loads((tmp_path / "gradients.json").read_text()) == {"deviation": "nan", "list": ["inf", 1.0]}
