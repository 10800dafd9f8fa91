"""One run in several processes with their own devices: how they connect, communicate, and end when one fails.

All processes run the same program. Process 0 writes the run folder and prints; the others are silent and have a
temporary folder. If one dies, the next collective operation fails in the others, and they end.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from ..core import devices
from ..core.learner import Learner, Progress, Row
from ..errors import UserError, first_line, tell
from ..options.options import Options

# Seconds in which all processes must connect, and at the end disconnect.
START_TIMEOUT, SHUTDOWN_TIMEOUT = 300, 60
FAILED = 1


class ProcessGroup:
    """The processes of the run; `options` are the options of this process."""

    def __init__(self, options: Options) -> None:
        self.options, self.begun = options, False

    def begin(self, ready: bool = True) -> None:
        """Wait until all processes are ready to train. Raises `UserError` if another one is not."""
        if jax.process_count() > 1 and not self.begun:
            self.begun = True
            if not multihost_utils.process_allgather(np.array(ready)).all() and ready:
                raise UserError("another process of the run could not start; see its message")


@contextmanager
def joined(options: Options) -> Iterator[ProcessGroup]:
    """Within the block the processes of `--processes` are connected; without the option nothing changes.

    Raises `UserError` if they cannot connect. If another process dies in the block, this one ends with exit code 1.
    """
    if options.processes is None:
        yield ProcessGroup(options)
        return
    with _library_output_to_stderr():
        _connect(options)
        try:
            with ExitStack() as own:
                group = ProcessGroup(_options_of_this_process(options, own))
                try:
                    yield group
                finally:
                    group.begin(ready=False)
            jax.distributed.shutdown()
        except jax.errors.JaxRuntimeError as error:
            why = f"another process of the run has died ({first_line(error, 150)})"
            tell(f"process {options.process_id}: {why}; --resume continues")
            # Immediately: JAX's own shutdown waits for the dead processes.
            os._exit(FAILED)


def broadcast_progress(progress: Progress | None, start: Learner) -> Progress | None:
    """The progress that process 0 has restored, in all processes, with arrays placed as in `start`."""
    if jax.process_count() == 1:
        return progress
    data = b""
    if jax.process_index() == 0 and progress is not None:
        arrays = (np.asarray(array).tobytes() for array in jax.tree.leaves(progress.learner))
        data = b"".join((json.dumps(progress.rows).encode(), b"\n", *arrays))
    data = _broadcast_bytes(data)
    if not data:
        return None
    text, raw = data.split(b"\n", 1)
    arrays, at = [], 0
    for like in jax.tree.leaves(start):
        arrays.append(np.frombuffer(raw, like.dtype, like.size, at).reshape(like.shape))
        at += like.nbytes
    learner = jax.tree.unflatten(jax.tree.structure(start), arrays)
    return Progress(devices.place_like(learner, start), tuple(Row(*row) for row in json.loads(text)))


def any_signal(number: int | None) -> int | None:
    """The signal that any of the processes has received; all of them must call this."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.process_allgather(np.array(number or 0)).max()) or None


def is_leader() -> bool:
    """Whether this process writes the run folder."""
    return jax.process_index() == 0


def _connect(options: Options) -> None:
    try:
        jax.distributed.initialize(
            options.coordinator,
            options.processes,
            options.process_id,
            initialization_timeout=START_TIMEOUT,
            shutdown_timeout_seconds=SHUTDOWN_TIMEOUT,
        )
        # Connect now: the first connection has a limit of 30 seconds, later operations wait.
        multihost_utils.sync_global_devices("joined")
    except (ValueError, RuntimeError) as error:
        why = first_line(error, 200)
        needs = "" if options.coordinator else "; --process-id and --coordinator are needed where JAX knows no cluster"
        raise UserError(f"--processes {options.processes}: they do not connect: {why}{needs}") from None


def _options_of_this_process(options: Options, own: ExitStack) -> Options:
    """The options of this process: other processes than 0 are silent and have a temporary folder."""
    if is_leader():
        return options
    own.enter_context(_muted())
    folder = own.enter_context(tempfile.TemporaryDirectory())
    return options._replace(out=Path(folder), overwrite=False, skip_proof=True, tensorboard=False, tracker=None)


@contextmanager
def _muted() -> Iterator[None]:
    with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):
        yield


def _broadcast_bytes(data: bytes) -> bytes:
    """The bytes of process 0, in all processes."""
    high, low = multihost_utils.broadcast_one_to_all(np.array(divmod(len(data), 2**30), np.int32))
    own = np.frombuffer(data, np.uint8) if is_leader() else np.zeros(int(high) * 2**30 + int(low), np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(own)).tobytes()


@contextmanager
def _library_output_to_stderr() -> Iterator[None]:
    """Within the block the standard output of libraries goes to standard error: Gloo prints that it has connected."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "w") as own, redirect_stdout(own):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
