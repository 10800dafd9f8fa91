"""`python -m benchmarks.kills`, with a stand-in for the training command that takes no time."""

import errno
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from benchmarks import kills

STAND_IN = """
import pathlib, sys, time
run = pathlib.Path(sys.argv[1])
(run / "checkpoints" / "7").mkdir(parents=True, exist_ok=True)
if "--resume" not in sys.argv and run.name.startswith("run"):
    time.sleep(60)
(run / "metrics.csv").write_text("the same")
(run / "params.npz").write_text(run.name if sys.argv[2] == "differs" else "the same")
"""


@pytest.mark.parametrize("kind", ["agrees", "differs"])
def test_runs_are_killed_and_compared(kind, monkeypatch, capfd):
    def begin(run, training, work, errors=None):
        return subprocess.Popen([sys.executable, "-c", STAND_IN, str(run), kind, *training])

    monkeypatch.setattr(kills, "_begin", begin)
    assert kills.main(["--kills", "2"]) == (kind == "differs")
    out = capfd.readouterr().out
    assert out.splitlines()[-1] == f"{0 if kind == 'differs' else 2} of 2 ended with the same bits"
    assert ("DIFFERENT: params.npz" in out) == (kind == "differs")


def test_an_interrupt_ends_the_run(monkeypatch, tmp_path):
    """Otherwise it would continue in a deleted folder and keep the tmpfs busy."""
    started = []

    def begin(run, training, work, errors=None):
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
        return started[0]

    monkeypatch.setattr(kills, "_begin", begin)
    with pytest.raises(KeyboardInterrupt), kills._running(tmp_path, [], tmp_path):
        raise KeyboardInterrupt
    assert started[0].poll() is not None


SIZE = 1_000_000


class _Run:
    """A stand-in for the process of a run, which writes a checkpoint and runs until it is killed."""

    def __init__(self, run, errors, loses_checkpoint, resumes):
        self.run, self.errors, self.loses_checkpoint, self.waited = run, errors, loses_checkpoint, 0
        (run / "checkpoints" / "1").mkdir(parents=True, exist_ok=True)
        (run / "checkpoints" / "1" / "arrays").write_bytes(bytes(SIZE))
        if resumes or not run.name.startswith("run"):
            for name in kills.COMPARED:
                (run / name).write_text("the same")

    def kill(self):
        pass

    def wait(self, seconds=None):
        if seconds is None:
            return 0
        self.waited += 1
        if self.waited == 2:
            with pytest.raises(OSError, match="No space left"):
                (self.run / "large").write_bytes(bytes(kills.SPARE_CHECKPOINTS * SIZE))
            self.errors.write(b"fit: the checkpoint of epoch 2 could not be written")
            if self.loses_checkpoint:
                shutil.rmtree(self.run / "checkpoints" / "1")
        raise subprocess.TimeoutExpired("run", seconds)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="a tmpfs is mounted by root")
@pytest.mark.parametrize("loses_checkpoint", [False, True])
def test_runs_with_a_full_disk_are_killed_and_compared(loses_checkpoint, monkeypatch, capfd):
    def begin(run, training, work, errors=None):
        return _Run(run, errors, loses_checkpoint, "--resume" in training)

    monkeypatch.setattr(kills, "_begin", begin)
    assert kills.main(["--kills", "2", "--full-disk"]) == loses_checkpoint
    out = capfd.readouterr().out
    assert out.count("full after epoch   1, 1 writes failed, killed after") == 2
    assert out.splitlines()[-2:] == [
        f"{0 if loses_checkpoint else 2} of 2 ended with the same bits",
        "2 of 2 had writes that failed",
    ]


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="a disk is filled on Linux")
def test_the_disk_is_filled_although_the_run_writes_meanwhile(tmp_path, monkeypatch):
    sizes = []

    def allocate(file, offset, size):
        sizes.append(size)
        if len(sizes) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")

    free = iter([50, 30])
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=next(free), f_frsize=10))
    monkeypatch.setattr(os, "posix_fallocate", allocate)
    kills._fill(tmp_path / "filler", spare=7)
    assert sizes == [493, 293]
