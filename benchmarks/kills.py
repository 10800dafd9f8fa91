"""Kills runs at random moments, resumes them, and compares them bit for bit with a run that was not killed.

    python -m benchmarks.kills               # fifty kills, about a quarter of an hour on two cores
    python -m benchmarks.kills --full-disk   # the same on a disk that fills up, as root on Linux

Each trial starts a run in its own folder, kills the process with SIGKILL at a random moment within the duration of a
complete run, and finishes it with `--resume`. Then `params.npz` and `metrics.csv` must have the same bytes as in the
run that was never killed. A checkpoint is written after every epoch, so many kills happen while one is being written.

With `--full-disk` the runs are on a small tmpfs. At a random moment of a run it is filled, except for a random space of
up to four checkpoints, so that one of the next writes fails in the middle. The process is killed at a random later
moment. Then there must be a checkpoint at least as new as the newest one before the disk was full. Before the run is
resumed, the disk is emptied.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from .shared import command

COMPARED = ("params.npz", "metrics.csv")
DISK = "64m"
# The most checkpoints that a full disk has space for.
SPARE_CHECKPOINTS = 4


class KilledRun(NamedTuple):
    """When a run was killed, the epoch of its newest checkpoint then, and the files that differ after it was resumed.

    `before` is the newest checkpoint when the disk was filled, and `failed` counts the writes that the run
    reported as failed.
    """

    seconds: float
    epochs: int
    different: tuple[str, ...]
    before: int = 0
    failed: int = 0

    @property
    def lost(self) -> bool:
        """Whether the results differ, or the newest checkpoint is older than before the disk was full."""
        return bool(self.different) or self.epochs < self.before


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. The exit code is 0 if all resumed runs have the results of the run that was never killed."""
    parser = command.parser("kills", __doc__)
    parser.add_argument("--kills", type=int, default=50, metavar="N", help="default 50")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the random moments; default 0")
    parser.add_argument("--full-disk", action="store_true", help="fill the disk, a small tmpfs, before each kill")
    parser.add_argument("training", nargs="*", help="options of training.fit after --; default: --epochs 30")
    options = parser.parse_args(arguments)
    chosen = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder, _tmpfs(options.full_disk) as disk:
        work = Path(folder)
        training = options.training or ["--epochs", "30"]
        # The first run fills the compilation cache, so that the second takes as long as the runs that are killed.
        with _running(work / "first", training, work) as process:
            process.wait()
        began = time.monotonic()
        with _running(work / "complete", training, work) as process:
            if process.wait() != 0:
                print("the run that is not killed failed", file=sys.stderr)
                return 1
        duration = time.monotonic() - began
        print(f"a run takes {duration:.1f} s; {options.kills} are killed", flush=True)
        checkpoint = work / "complete" / "checkpoints" / str(_newest(work / "complete"))
        spare = SPARE_CHECKPOINTS * sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file())
        trials = []
        for number in range(options.kills):
            if disk is None:
                trials.append(_trial(work, work / f"run{number}", training, chosen.uniform(0, duration)))
            else:
                filled = chosen.uniform(0, duration)
                moments = filled, chosen.uniform(filled, duration)
                trials.append(_full_disk_trial(work, disk / f"run{number}", training, moments, chosen.randrange(spare)))
            print(f"{number + 1:3}  {_describe(trials[-1])}", flush=True)
    failed = sum(trial.lost for trial in trials)
    print(f"{len(trials) - failed} of {len(trials)} ended with the same bits")
    if disk is not None:
        print(f"{sum(trial.failed > 0 for trial in trials)} of {len(trials)} had writes that failed")
    return 1 if failed else 0


def _trial(work: Path, run: Path, training: Sequence[str], seconds: float) -> KilledRun:
    with _running(run, training, work) as process, suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return _resumed(work, run, training, KilledRun(seconds, _newest(run), ()))


def _fill(filler: Path, spare: int) -> None:
    """Fill the disk of the file `filler` except for `spare` bytes, while the run may be writing to it."""
    with filler.open("wb") as file:
        while True:
            space = os.statvfs(filler.parent)
            if not space.f_bavail:
                return
            try:
                return os.posix_fallocate(file.fileno(), 0, max(1, space.f_bavail * space.f_frsize - spare))
            except OSError as error:
                # If the disk is full, the run has written after `statvfs` was called.
                if error.errno != errno.ENOSPC:
                    raise


def _full_disk_trial(
    work: Path, run: Path, training: Sequence[str], moments: tuple[float, float], spare: int
) -> KilledRun:
    """A trial in which the disk is filled, except for `spare` bytes, at the first of the two moments."""
    filled, killed = moments
    filler, log = run.with_name("filler"), work / "log"
    with log.open("wb") as errors, _running(run, training, work, errors) as process:
        with suppress(subprocess.TimeoutExpired):
            process.wait(filled)
        before = _newest(run)
        _fill(filler, spare)
        with suppress(subprocess.TimeoutExpired):
            process.wait(killed - filled)
    filler.unlink()
    failed = log.read_text(errors="replace").count("could not be written")
    trial = _resumed(work, run, training, KilledRun(killed, _newest(run), (), before, failed))
    shutil.rmtree(run)
    return trial


@contextmanager
def _running(run: Path, training: Sequence[str], work: Path, errors: Any = None) -> Iterator[subprocess.Popen[bytes]]:
    """A run in a process, which is killed at the end of the block if it has not ended."""
    process = _begin(run, training, work, errors)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _newest(run: Path) -> int:
    """The epoch of the newest checkpoint, 0 without any."""
    return max((int(path.name) for path in (run / "checkpoints").glob("*") if path.name.isdecimal()), default=0)


def _resumed(work: Path, run: Path, training: Sequence[str], trial: KilledRun) -> KilledRun:
    """The trial, with the files that differ after the run has been resumed."""
    with _running(run, [*training, "--resume"], work) as process:
        if code := process.wait():
            return trial._replace(different=(f"--resume ended with exit code {code}",))
    different = [name for name in COMPARED if (run / name).read_bytes() != (work / "complete" / name).read_bytes()]
    return trial._replace(different=tuple(different))


@contextmanager
def _tmpfs(is_needed: bool) -> Iterator[Path | None]:
    """A small tmpfs for the block, or None."""
    if not is_needed:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def _begin(run: Path, training: Sequence[str], work: Path, errors: Any = None) -> subprocess.Popen[bytes]:
    fit = [sys.executable, "-m", "training.fit", "--skip-proof", "--checkpoint-every", "1", "--out", str(run)]
    cache = {"JAX_COMPILATION_CACHE_DIR": str(work / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return subprocess.Popen([*fit, *training], stdout=subprocess.DEVNULL, stderr=errors, env=os.environ | cache)


def _describe(trial: KilledRun) -> str:
    end = f"DIFFERENT: {', '.join(trial.different)}" if trial.different else "the same"
    end = f"OLDER CHECKPOINT, {end}" if trial.epochs < trial.before else end
    full = f"full after epoch {trial.before:3}, {trial.failed} writes failed, " if trial.before or trial.failed else ""
    return f"{full}killed after {trial.seconds:5.1f} s, resumed after epoch {trial.epochs:3}: {end}"


if __name__ == "__main__":
    raise SystemExit(main())
