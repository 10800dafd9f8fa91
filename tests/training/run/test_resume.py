"""`python -m training.fit --resume`: interrupted runs, and what has changed since they were started."""

import dataclasses
import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jconv import layers
from tests.support import waves
from tests.support.paths import ROOT
from training import fit
from training.errors import UserError
from training.run import checkpoints, interrupt, run_folder

EPOCHS = 6
RUN = ["--data", "a.npz", "--model", "two-layer", "--skip-proof", "--checkpoint-every", "1"]
# Each step draws noise; a resumed run must draw the same noise as one that was not interrupted.
RUN += ["--epochs", str(EPOCHS), "--batch-size", "4", "--augment", "jitter=0.1"]
COMPARED = ("params.npz", "metrics.csv")


def _write_data(folder, scale=1.0, channels=1):
    x = scale * np.sin(np.arange(118) * np.array([0.3, 0.5, 0.7])[:, None])
    np.savez(folder / "a.npz", x_train=np.stack([x] * channels, -1), y_train=np.arange(3) % 2)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A folder with the data, the run `uninterrupted`, and the run `stopped`, which SIGTERM stopped."""
    folder = tmp_path_factory.mktemp("original")
    _write_data(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert fit.main([*RUN, "--out", "uninterrupted"]) == 0
        waves.stop(patch, signal.SIGTERM, 3)
        assert fit.main([*RUN, "--out", "stopped"]) == 143
    return folder


@pytest.fixture
def here(original, tmp_path, monkeypatch):
    """A copy of that folder, the working folder of one test."""
    shutil.copytree(original, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def _assert_as_uninterrupted(run):
    for name in COMPARED:
        assert (Path(run) / name).read_bytes() == (Path("uninterrupted") / name).read_bytes(), name


def _error_of_resuming(capsys, *arguments):
    """The error message of a run that cannot be resumed."""
    capsys.readouterr()
    assert fit.main([*RUN, "--out", "stopped", "--resume", *arguments]) == 2
    line = capsys.readouterr().err
    assert line.startswith("fit: ") and line.count("\n") == 1
    return line[5:-1]


def test_a_stopped_run_is_saved_and_resumes_with_the_same_bits(here, capsys):
    assert len((here / "stopped" / "metrics.csv").read_text().splitlines()) == 3 + 1
    assert {path.name for path in (here / "stopped" / "checkpoints").iterdir()} >= {"2", "3"}
    assert fit.main([*RUN, "--out", "stopped", "--resume"]) == 0
    assert "resumed    after epoch 3 of 6" in capsys.readouterr().out
    _assert_as_uninterrupted("stopped")
    # A run that is complete can be resumed too.
    assert fit.main([*RUN, "--out", "stopped", "--resume"]) == 0
    assert "resumed    after epoch 6 of 6" in capsys.readouterr().out
    _assert_as_uninterrupted("stopped")


def test_a_run_resumes_after_ctrl_c_and_a_damaged_checkpoint(here, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        waves.stop(patch, signal.SIGINT, 2)
        assert fit.main([*RUN, "--out", "run", "--resume"]) == 130
    printed = capsys.readouterr()
    assert "fit: interrupted after epoch 2 of 6; the results so far are saved; --resume continues" in printed.out
    assert "fit: SIGINT: stopping after this epoch; another Ctrl-C stops at once" in printed.err.splitlines()
    shutil.rmtree(here / "run" / "checkpoints" / "2" / "learner")
    assert fit.main([*RUN, "--out", "run", "--resume"]) == 0
    printed = capsys.readouterr()
    assert "resumed    after epoch 1 of 6" in printed.out
    assert printed.err.startswith("fit: the checkpoint of epoch 2 is damaged (")
    _assert_as_uninterrupted("run")


def test_other_options_are_errors_that_name_them(here, capsys):
    needs = "; --resume needs the same options"
    message = _error_of_resuming(capsys, "--epochs", "9", "--seed", "1", "--keep", "best")
    assert (
        message
        == f"stopped was started with --epochs 6 --seed 0 --keep last, not --epochs 9 --seed 1 --keep best{needs}"
    )
    message = _error_of_resuming(capsys, "--x64", "--loss", "absolute-error")
    assert message == f"stopped was started with no --loss no --x64, not --loss absolute-error --x64{needs}"
    message = _error_of_resuming(capsys, "--algorithm", "fastest")
    assert message == f"stopped was started with --algorithm auto, not --algorithm fastest{needs}"
    # Earlier versions recorded no algorithm.
    config = here / "stopped" / "config.json"
    content = json.loads(config.read_text())
    assert content["options"].pop("algorithm") == "auto"
    config.write_text(json.dumps(content))
    # An option with its default value is the same as no option.
    assert fit.main([*RUN, "--out", "stopped", "--resume", "--learning-rate", "0.001", "--optimizer", "adam"]) == 0
    _assert_as_uninterrupted("stopped")


def test_changed_data_are_errors_unless_allowed(here, capsys):
    # The same content elsewhere is the same data.
    shutil.copy("a.npz", "b.npz")
    _write_data(here, scale=2.0)
    message = "a.npz: the data have changed since stopped was started; --allow-changed-data continues with them"
    assert _error_of_resuming(capsys) == message
    _write_data(here, channels=2)
    message = (
        "a.npz: the network for these data has other shapes than when stopped was started; --overwrite starts again"
    )
    assert _error_of_resuming(capsys, "--allow-changed-data") == message
    shutil.copytree("stopped", "moved")
    _write_data(here, scale=2.0)
    assert fit.main([*RUN, "--out", "stopped", "--resume", "--allow-changed-data"]) == 0
    assert "resumed    after epoch 3 of 6" in capsys.readouterr().out
    # The data that the run was started with stay recorded.
    assert Path("stopped/config.json").read_bytes() == Path("moved/config.json").read_bytes()
    assert fit.main([*RUN, "--data", "b.npz", "--out", "moved", "--resume"]) == 0
    _assert_as_uninterrupted("moved")


def test_folders_that_cannot_be_resumed(here, capsys):
    config = here / "stopped" / "config.json"
    config.write_text("{")
    assert (
        _error_of_resuming(capsys)
        == "stopped/config.json: cannot be read, so the run cannot be resumed; --overwrite starts again"
    )
    config.write_text(json.dumps({"model": "fcn"}))
    assert (
        _error_of_resuming(capsys)
        == "stopped/config.json: belongs to a run that wrote no checkpoints; --overwrite replaces it"
    )
    config.unlink()
    assert _error_of_resuming(capsys).startswith("stopped is not empty and not a run folder")


OTHER_CONDITIONS = {
    "jax": ({"versions": {"jax": "0.9"}}, "jax 0.9"),
    "jaxlib": ({"versions": {"jaxlib": "0.9"}}, "jaxlib 0.9"),
    "optax": ({"versions": {"optax": "0.1"}}, "optax 0.1"),
    "orbax": ({"versions": {"orbax-checkpoint": "0.1"}}, "orbax-checkpoint 0.1"),
    "cores": ({"cores": 96}, "cores 96"),
    "hardware": ({"hardware": "A CPU"}, "A CPU"),
    "flags of XLA": ({"xla_flags": "--xla_cpu_enable_fast_math=true"}, "XLA_FLAGS --xla_cpu_enable_fast_math=true"),
    "algorithms": ({"program": "f00"}, "other algorithms"),
}


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("condition", OTHER_CONDITIONS)
def test_other_conditions_need_an_option(here, capsys, condition):
    """These conditions may change the last digits."""
    change, words = OTHER_CONDITIONS[condition]
    config = here / "stopped" / "config.json"
    started = json.loads(config.read_text())
    change = {name: started[name] | value if name == "versions" else value for name, value in change.items()}
    config.write_text(json.dumps(started | change))
    message = _error_of_resuming(capsys)
    assert message.startswith(f"stopped was started with {words}, not ")
    assert message.endswith(": the last digits may differ; --allow-changed-conditions continues")
    assert fit.main([*RUN, "--out", "stopped", "--resume", "--allow-changed-conditions"]) == 0
    assert capsys.readouterr().err.startswith(f"fit: {message.rpartition(';')[0]}\n")
    # The conditions that the run was started with stay recorded.
    assert json.loads(config.read_text()) == started | change


def test_another_algorithm_is_another_program(here, monkeypatch, capsys):
    """The planner's choice depends on more than versions, for example on measurements of jconv.tune."""
    original_apply = layers.Conv1D.apply

    def apply(self, *arguments, **options):
        return original_apply(dataclasses.replace(self, algorithm="einsum"), *arguments, **options)

    monkeypatch.setattr(layers.Conv1D, "apply", apply)
    assert _error_of_resuming(capsys).startswith("stopped was started with other algorithms, not those chosen now: ")


def test_another_process_at_the_same_run_is_an_error(here, capsys):
    with run_folder.locked(here / "stopped"):
        assert _error_of_resuming(capsys) == "stopped: another process works on this run"
    with run_folder.locked(here / "stopped"), pytest.raises(UserError), run_folder.locked(here / "stopped"):
        pass


def test_the_lock_is_taken_before_the_checks(here, capsys, monkeypatch):
    """Otherwise two processes that both find no run would both start one."""
    check = run_folder.check

    def checked(folder, overwrite):
        with pytest.raises(UserError, match="another process works on this run"), run_folder.locked(folder):
            pass
        check(folder, overwrite)

    monkeypatch.setattr(run_folder, "check", checked)
    assert fit.main([*RUN, "--out", "new/run", "--data", "none.npz"]) == 2
    assert capsys.readouterr().err == "fit: none.npz: no such file\n"
    # The folder that was created for the lock is deleted.
    assert not Path("new").exists()


def test_a_folder_that_is_removed_while_another_process_locks_it(tmp_path, monkeypatch):
    """The lock of a deleted folder does not count."""
    flock, run = run_folder.fcntl.flock, tmp_path / "run"

    def after_the_other(handle, how):
        if not seen:
            run.rmdir()
        seen.append(flock(handle, how))

    seen = []
    monkeypatch.setattr(run_folder.fcntl, "flock", after_the_other)
    with run_folder.locked(run):
        assert len(seen) == 2
        monkeypatch.undo()
        with pytest.raises(UserError, match="another process"), run_folder.locked(run):
            pass


def test_failed_saves_are_in_the_results(here, monkeypatch, capsys):
    check = checkpoints.check_space
    full = [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))] * 2

    def check_space(*arguments):
        if full:
            raise full.pop()
        check(*arguments)

    monkeypatch.setattr(checkpoints, "check_space", check_space)
    assert fit.main([*RUN, "--out", "run"]) == 0
    failed = [{"epoch": epoch, "why": "No space left on device"} for epoch in (1, 2)]
    assert json.loads(Path("run/results.json").read_text())["failed_saves"] == failed
    printed = [line for line in capsys.readouterr().err.splitlines() if "could not be written" in line]
    assert [line.partition("the checkpoint of epoch ")[2][0] for line in printed] == ["1", "2"]
    _assert_as_uninterrupted("run")
    assert json.loads(Path("uninterrupted/results.json").read_text())["failed_saves"] == []


def test_a_run_that_diverges_keeps_the_last_good_params(here, capsys):
    assert fit.main([*RUN, "--out", "run", "--learning-rate", "1e30"]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    message = r"fit: the loss .* in step 2, epoch 1: the first to go bad was the output of conv1d, .* in step 2; "
    assert re.fullmatch(message + r"the last good params were kept; try a lower --learning-rate", line)
    params, _ = run_folder.read_params(Path("run"))
    assert np.abs(params["conv1d"]["kernel"]).max() < 1


def test_a_read_only_folder_is_reported(here, monkeypatch, capsys):
    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(run_folder.tempfile, "TemporaryFile", refuse)
        assert _error_of_resuming(capsys) == "stopped: cannot be written to: Read-only file system"
    monkeypatch.setattr(run_folder.os, "replace", refuse)
    assert fit.main([*RUN, "--out", "new"]) == 2
    assert capsys.readouterr().err == "fit: new: cannot be written to: Read-only file system\n"


def test_a_full_disk_at_the_end_is_reported_and_the_run_resumes(here, monkeypatch, capsys):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run_folder, "write_params", full)
    assert fit.main([*RUN, "--out", "stopped", "--resume"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "fit: stopped: cannot be written to: No space left on device"
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert fit.main([*RUN, "--out", "stopped", "--resume"]) == 0
    assert "resumed    after epoch 6 of 6" in capsys.readouterr().out
    _assert_as_uninterrupted("stopped")


@pytest.mark.slow
def test_a_run_that_is_killed_twice_has_the_same_bits(here):
    """Killed while a checkpoint is written, twice; `python -m benchmarks.kills` kills at any time."""
    rng = random.Random(0)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": str(jax.local_device_count())}
    command = [sys.executable, "-m", "training.fit", *RUN, "--out", "run", "--resume"]
    for epoch in (1, 4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        while not (here / "run" / "checkpoints" / str(epoch)).exists() and process.poll() is None:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.wait()
    assert fit.main([*RUN, "--out", "run", "--resume"]) == 0
    _assert_as_uninterrupted("run")


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_stops_at_once(first):
    """Even during a call into C code that would take an hour."""
    code = """
import hashlib
from training.run import interrupt
with interrupt.catching_signals() as interrupted:
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(first)
    message = f"fit: {first.name}: stopping after this epoch; another Ctrl-C stops at once\n"
    assert process.stderr.readline() == message
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    process.communicate()


def test_a_signal_is_recorded_and_the_handlers_are_restored():
    before = signal.getsignal(signal.SIGTERM)
    with interrupt.catching_signals() as interrupted:
        assert interrupted() is None
        signal.raise_signal(signal.SIGTERM)
        assert interrupted() is signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
