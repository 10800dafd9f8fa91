"""Runs that are killed at random moments and resumed, beside one that never was: do they end with the same bits?

    python -m benchmarks.kills               # fifty kills, about a quarter of an hour on two cores

Each trial begins a run in a folder of its own, ends the process by SIGKILL at a moment drawn evenly from the time that
the whole run takes, and lets `--resume` end it. Then `params.npz` and `metrics.csv` must hold, byte for byte, what the
run that was never killed left. A checkpoint is written after every epoch, so that many kills meet one being written.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

DESCRIPTION = "Kill runs at random moments, resume them, and compare what they leave with a run that was never killed."
COMPARED = ("params.npz", "metrics.csv")


class Trial(NamedTuple):
    """When a run was killed, how many epochs were there to go on from, and the files in which it then differed."""

    seconds: float
    epochs: int
    different: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: exit code 0 where every resumed run ended as the one that was never killed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=DESCRIPTION)
    parser.add_argument("--kills", type=int, default=50, metavar="N", help="default 50")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments; default 0")
    parser.add_argument("training", nargs="*", help="options of training.fit after --; default: --epochs 30")
    options = parser.parse_args(arguments)
    chosen = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        training = options.training or ["--epochs", "30"]
        # The first fills the cache of compiled programs, so that the second takes as long as those to be killed.
        _begin(work / "first", training, work).communicate()
        began = time.monotonic()
        if _begin(work / "whole", training, work).wait() != 0:
            print("the run that is not killed fails", file=sys.stderr)
            return 1
        whole = time.monotonic() - began
        print(f"a run takes {whole:.1f} s; {options.kills} are killed", flush=True)
        trials = []
        for number in range(options.kills):
            trials.append(_trial(work, work / f"run{number}", training, chosen.uniform(0, whole)))
            print(f"{number + 1:3}  {_said(trials[-1])}", flush=True)
    failed = sum(bool(trial.different) for trial in trials)
    print(f"{len(trials) - failed} of {len(trials)} ended with the same bits")
    return 1 if failed else 0


def _trial(work: Path, run: Path, training: Sequence[str], seconds: float) -> Trial:
    process = _begin(run, training, work)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    there = [int(path.name) for path in (run / "checkpoints").glob("*") if path.name.isdecimal()]
    resumed = _begin(run, [*training, "--resume"], work)
    if resumed.wait() != 0:
        return Trial(seconds, max(there, default=0), COMPARED)
    different = [name for name in COMPARED if (run / name).read_bytes() != (work / "whole" / name).read_bytes()]
    return Trial(seconds, max(there, default=0), tuple(different))


def _begin(run: Path, training: Sequence[str], work: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "training.fit", "--skip-proof", "--checkpoint-every", "1", "--out", str(run)]
    cache = {"JAX_COMPILATION_CACHE_DIR": str(work / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return subprocess.Popen([*command, *training], stdout=subprocess.DEVNULL, stderr=None, env=os.environ | cache)


def _said(trial: Trial) -> str:
    end = f"DIFFERENT: {', '.join(trial.different)}" if trial.different else "the same"
    return f"killed after {trial.seconds:5.1f} s, resumed after epoch {trial.epochs:3}: {end}"


if __name__ == "__main__":
    raise SystemExit(main())
