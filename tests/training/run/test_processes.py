"""One run in two local processes: the learning curve of one process, resuming, and both end if one ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.support import waves
from tests.support.paths import ROOT
from training import fit

# Each test starts two processes, which import and compile everything.
pytestmark = pytest.mark.slow

RUN = ["--data", "a.npz", "--model", "two-layer", "--skip-proof", "--checkpoint-every", "1"]


def _command(*arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "training.fit", *RUN, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)


def _two(*arguments):
    """Two processes of one run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = ["--processes", "2", "--coordinator", f"127.0.0.1:{port}", *arguments]
    return [_command(*both, "--process-id", str(number)) for number in range(2)]


def _result(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.sin(np.arange(118) * np.array([0.3, 0.5, 0.7, 0.9])[:, None])
    np.savez("a.npz", x_train=x, y_train=np.arange(4) % 2)


def _metrics(run):
    return np.genfromtxt(f"{run}/metrics.csv", delimiter=",", skip_header=1)


def test_two_processes_resume_a_run_with_the_curve_of_one(monkeypatch):
    run = [*RUN, "--epochs", "4"]
    with monkeypatch.context() as patch:
        waves.stop(patch, signal.SIGTERM, 2)
        assert fit.main([*run, "--out", "two", "--devices", "2"]) == 143
    # Several processes use lax where the planner's trees of different processors disagree.
    changed = "--allow-changed-conditions"
    first, second = _two("--epochs", "4", "--out", "two", "--resume", changed, "--json")
    assert fit.main([*run, "--out", "one"]) == 0
    code, out, err = _result(first)
    assert code == 0, err
    results = json.loads(out)
    assert results == json.loads(Path("two/results.json").read_text()) and results["began_after_epoch"] == 2
    code, out, err = _result(second)
    assert (code, out) == (0, "") and "epoch" not in err
    np.testing.assert_allclose(_metrics("two"), _metrics("one"), atol=1e-5, rtol=0)


def test_if_one_process_dies_the_other_ends():
    first, second = _two("--epochs", "100000", "--out", "two")
    while not Path("two/checkpoints/1").exists() and first.poll() is None:
        time.sleep(0.01)
    second.kill()
    code, out, err = _result(first)
    assert code == 1, err
    assert "devices    2 of cpu" in out
    assert re.search(r"^fit: process 0: another process of the run has died \(.*\); --resume continues$", err, re.M), (
        err
    )
    second.communicate()


def test_an_error_of_one_process_ends_the_others():
    Path("two").mkdir()
    Path("two/notes.txt").write_text("mine")
    first, second = _two("--epochs", "4", "--out", "two")
    code, _, err = _result(first)
    assert code == 2 and "fit: two is not empty and not a run folder" in err
    code, _, err = _result(second)
    assert code == 2 and "fit: another process of the run could not start; see its message" in err
