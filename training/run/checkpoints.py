"""Checkpoints of a run, written by Orbax to `checkpoints` in its folder: resumed runs have bitwise the same results.

A checkpoint is a folder named by its number of epochs. Orbax writes it in a thread under a temporary name and renames
it, so it is complete or absent; a digest of its content detects later damage. The last two are kept, because the newest
may be damaged; so is the one with the lowest training loss. Others are removed only when the newer ones are synced to
the disk.
"""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jax
import numpy as np
import orbax.checkpoint as ocp

from ..core import devices
from ..core.learner import Learner, Progress, Row
from ..errors import UserError, first_line, tell
from ..options.types import Interval
from ..run import processes
from . import durable
from .config import fingerprint

KEPT = 2
# Checkpoints by time are postponed if writing them would take more than this fraction of the time.
MAX_FRACTION = 0.01
WRONG_CONTENT = ("DATA_LOSS", "OUT_OF_RANGE", "NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION")
"""Tensorstore's status codes for wrong content."""


class Checkpoints:
    """The checkpoints of one run; use it through `opened`, which closes it."""

    def __init__(self, folder: Path, every: Interval) -> None:
        self.folder, self.every = folder.absolute(), every
        self._checkpointer = _checkpointer()
        self._losses: dict[int, float] = {}
        self._epoch, self._time, self._cost = 0, time.monotonic(), 0.0
        # Epoch and reason of each checkpoint that could not be written.
        self.failed: list[dict[str, Any]] = []
        # The epoch of the checkpoint that may not be finished yet, and those that are synced to the disk.
        self._pending, self._synced = 0, set[int]()
        self._remove_unfinished()

    def offer(self, progress: Progress) -> None:
        """Start writing a checkpoint if one is due."""
        epochs, seconds = len(progress.rows) - self._epoch, time.monotonic() - self._time
        if self.every.epochs is not None:
            due = epochs >= self.every.epochs
        else:
            due = seconds >= max(self.every.seconds or 0.0, self._cost / MAX_FRACTION)
        if due:
            self.save(progress)

    def save(self, progress: Progress, wait: bool = False) -> None:
        """Start writing a checkpoint; with `wait`, also finish it. A failure is printed, and training continues."""
        if not processes.is_leader():
            return
        began = time.monotonic()
        self._epoch, self._time = len(progress.rows), began
        # Errors of the previous checkpoint, in the background, appear here.
        self._finish()
        with self._failures_reported(self._epoch):
            self._write(progress)
            self._pending = self._epoch
        if wait:
            self._finish()
        self._cost = time.monotonic() - began

    def restore(self, start: Learner, max_epochs: int | None = None) -> Progress | None:
        """The newest progress of at most `max_epochs` epochs that can be read, with arrays placed as in `start`.

        A checkpoint with wrong content or format is reported and renamed. None if no checkpoint can be read. Raises
        `UserError`, and changes nothing, if one cannot be read for another reason, such as too little memory.
        """
        epochs = [epoch for epoch in self.epochs() if max_epochs is None or epoch <= max_epochs]
        for epoch in reversed(epochs):
            try:
                progress = self._read(epoch, start)
            except Exception as error:
                if not _is_damage(error):
                    reason = f"cannot be read: {_short_message(error)}; nothing was changed, and --resume tries again"
                    raise UserError(f"{self.folder / str(epoch)}: {reason}") from None
                instead = "starting again" if epoch == epochs[0] else "going back to the one before"
                tell(f"the checkpoint of epoch {epoch} is damaged ({_short_message(error)}); {instead}")
                shutil.rmtree(self._damaged(epoch), ignore_errors=True)
                (self.folder / str(epoch)).rename(self._damaged(epoch))
                continue
            self._epoch = epoch
            return progress
        return None

    def epochs(self) -> list[int]:
        """The epochs that have checkpoints, in order."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdecimal())

    def close(self) -> None:
        """Wait for the checkpoint that is being written."""
        self._finish()
        self._checkpointer.close()

    def _finish(self) -> None:
        """Wait for the checkpoint that is being written, sync it, and remove the checkpoints that it replaces."""
        with self._failures_reported(self._pending):
            self._checkpointer.wait_until_finished()
            for epoch in self.epochs():
                if epoch not in self._synced:
                    durable.sync(self.folder / str(epoch))
                    self._synced.add(epoch)
            self._prune()

    def _write(self, progress: Progress) -> None:
        # Copies, since the buffers are donated to the next epoch.
        learner = jax.tree.map(lambda array: np.array(array), progress.learner)
        epoch, text = len(progress.rows), json.dumps(progress.rows)
        path = self.folder / str(epoch)
        if path.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        check_space(self.folder, len(text) + sum(array.nbytes for array in jax.tree.leaves(learner)))
        items: Any = {
            "learner": ocp.args.StandardSave(_named(learner)),
            "run": ocp.args.JsonSave({"rows": text, "digest": _digest(learner, text)}),
        }
        self._checkpointer.save(path, args=ocp.args.Composite(**items))
        if epoch:
            self._losses[epoch] = progress.rows[-1].train_loss

    def _read(self, epoch: int, start: Learner) -> Progress:
        template = jax.tree.map(lambda array: np.empty(array.shape, array.dtype), start)
        items: Any = {"learner": ocp.args.StandardRestore(_named(template)), "run": ocp.args.JsonRestore()}
        found = self._checkpointer.restore(self.folder / str(epoch), args=ocp.args.Composite(**items))
        text = found.run["rows"]
        learner = jax.tree.unflatten(jax.tree.structure(start), [found.learner[name] for name in _named(start)])
        if found.run["digest"] != _digest(learner, text):
            raise _ContentChanged("its content has changed")
        rows = tuple(Row(*row) for row in json.loads(text))
        for row in rows:
            self._losses[row.epoch] = row.train_loss
        return Progress(devices.place_like(learner, start), rows)

    def _prune(self) -> None:
        epochs = self.epochs()
        best = min(epochs, key=lambda epoch: self._losses.get(epoch, np.inf), default=None)
        for epoch in epochs[:-KEPT]:
            if epoch != best:
                shutil.rmtree(self.folder / str(epoch))
        # Damaged checkpoints of epochs that the run has repeated.
        for path in self.folder.glob(self._damaged("*").name):
            if len(epochs) >= KEPT and int(path.stem) <= epochs[-KEPT]:
                shutil.rmtree(path)

    def _damaged(self, epoch: int | str) -> Path:
        return self.folder / f"{epoch}.damaged"

    @contextmanager
    def _failures_reported(self, epoch: int) -> Iterator[None]:
        """Print and record an exception in the block for `epoch`, and replace the failed checkpointer."""
        why = None
        try:
            yield
        except Exception as error:
            why = _short_message(error)
        if why is None:
            return
        self._checkpointer = _checkpointer()
        # The failed checkpointer warns when it is collected; `_quiet` suppresses the warnings now, but not later.
        gc.collect()
        self._remove_unfinished()
        self.failed.append({"epoch": epoch, "why": why})
        tell(f"{self.folder}: the checkpoint of epoch {epoch} could not be written: {why}; training continues")

    def _remove_unfinished(self) -> None:
        """Remove the unfinished checkpoints of failed writes and of processes that were killed."""
        for path in self.folder.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(path, ignore_errors=True)


class _ContentChanged(ValueError):
    """The content of a checkpoint does not have the recorded digest."""


def _is_damage(error: BaseException) -> bool:
    """Whether a checkpoint cannot be read because of its content: missing files, or files that Orbax did not write.

    Other causes are temporary: too little memory, too many open files, permissions, a disk that does not respond.
    """
    if isinstance(error, OSError):
        return isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
    if not isinstance(error, ValueError | KeyError | TypeError | EOFError):
        return False
    # Tensorstore's errors begin with a status.
    status = re.match(r"([A-Z_]{4,}): ", str(error))
    if status and status[1] not in WRONG_CONTENT:
        return False
    cause = error.__cause__
    return cause is None or isinstance(cause, StopIteration) or _is_damage(cause)


def check_space(folder: Path, size: int) -> None:
    """Raise `OSError` unless `size` bytes can be written. Orbax's own error is less clear."""
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)


@contextmanager
def opened(folder: Path, every: Interval) -> Iterator[Checkpoints]:
    """The checkpoints in `folder`, which need not exist; the end of the block waits for unfinished ones."""
    checkpoints = Checkpoints(folder, every)
    with _quiet():
        try:
            yield checkpoints
        finally:
            checkpoints.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the messages of Orbax's threads about failures, which are reported here in one line."""
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.CRITICAL)
    # Permanently: the remains of a failed write may be collected much later.
    if not isinstance(sys.unraisablehook, _Unraisable):
        sys.unraisablehook = _Unraisable(sys.unraisablehook)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
            yield
    finally:
        log.setLevel(level)


class _Unraisable(NamedTuple):
    """A `sys.unraisablehook` that ignores the exceptions of closed event loops and passes all others to `hook`."""

    hook: Callable[[Any], object]

    def __call__(self, found: Any) -> None:
        if str(found.exc_value) != "Event loop is closed":
            self.hook(found)


def _checkpointer() -> ocp.AsyncCheckpointer:
    if jax.process_count() == 1:
        return ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler())
    # Only the first of several processes writes and reads.
    index = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(index, active_processes={index}, barrier_sync_key_prefix=f"fit{index}")
    handler = ocp.CompositeCheckpointHandler(
        composite_options=ocp.CompositeOptions(multiprocessing_options=alone),
        learner=ocp.StandardCheckpointHandler(multiprocessing_options=alone),
        run=ocp.JsonCheckpointHandler(multiprocessing_options=alone),
    )
    return ocp.AsyncCheckpointer(handler, multiprocessing_options=alone)


def _named(learner: Learner) -> dict[str, Any]:
    """The arrays by name; the names are valid paths for any names of layers."""
    leaves = jax.tree_util.tree_leaves_with_path(learner)
    names = (jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves)
    return {
        f"{number:04}.{quote(name, safe='')}": array
        for number, (name, (_, array)) in enumerate(zip(names, leaves, strict=True))
    }


def _digest(learner: Learner, text: str) -> str:
    return hashlib.sha256((fingerprint(learner) + text).encode()).hexdigest()


def _short_message(error: BaseException) -> str:
    """The operating system's message if its error was the cause, as for a full disk; else the first line."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        if number := re.search(r"os_error_code='(\d+)'", str(cause)):
            return os.strerror(int(number[1]))
        cause = cause.__cause__ or cause.__context__
    return first_line(error, 120)
