"""`python -m benchmarks.kills`, with a stand-in for the training command that takes no time."""

import subprocess
import sys

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
    def begin(run, training, work):
        return subprocess.Popen([sys.executable, "-c", STAND_IN, str(run), kind, *training])

    monkeypatch.setattr(kills, "_begin", begin)
    assert kills.main(["--kills", "2"]) == (kind == "differs")
    out = capfd.readouterr().out
    assert out.splitlines()[-1] == f"{0 if kind == 'differs' else 2} of 2 ended with the same bits"
    assert ("DIFFERENT: params.npz" in out) == (kind == "differs")
