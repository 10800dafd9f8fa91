"""One run by several processes, each with devices of its own: how they meet, agree, and do not wait for the dead.

All of them do the same, so that what they compute together meets. Number 0 has the run folder and speaks; the others
have a folder that goes away with them. Where one dies, the next sum over devices fails in the others, who end.
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
from ..errors import UserError, tell
from ..options.options import Options

# Seconds in which all must have come, and at the end have gone.
COMING, GOING = 300, 60
FAILED = 1


class Others:
    """The other processes of the run, if there are any; `options` are as they are for this one."""

    def __init__(self, options: Options) -> None:
        self.options, self.begun = options, False

    def begin(self, ready: bool = True) -> None:
        """Wait until all are ready to train. Raises `UserError` where another one is not, and so will not."""
        if jax.process_count() > 1 and not self.begun:
            self.begun = True
            if not multihost_utils.process_allgather(np.array(ready)).all() and ready:
                raise UserError("another process of the run could not begin; it says why")


@contextmanager
def joined(options: Options) -> Iterator[Others]:
    """Within the block this process is one of those of `options`; without `--processes` nothing changes.

    Raises `UserError` where they do not meet. If another one dies in the block, this one ends with exit code 1.
    """
    if options.processes is None:
        yield Others(options)
        return
    with _words_of_libraries_aside():
        _meet(options)
        try:
            with ExitStack() as own:
                others = Others(_for_this_one(options, own))
                try:
                    yield others
                finally:
                    others.begin(ready=False)
            jax.distributed.shutdown()
        except jax.errors.JaxRuntimeError as error:
            why = str(error).splitlines()[0][:150]
            tell(f"process {options.process_id}: another process of the run has gone ({why}); --resume goes on")
            # At once: JAX's own way out waits for those that are gone.
            os._exit(FAILED)


def shared(progress: Progress | None, start: Learner) -> Progress | None:
    """What process 0 has read of a run, for all of them, with arrays as and where those of `start` are."""
    if jax.process_count() == 1:
        return progress
    data = b""
    if jax.process_index() == 0 and progress is not None:
        arrays = (np.asarray(array).tobytes() for array in jax.tree.leaves(progress.learner))
        data = b"".join((json.dumps(progress.rows).encode(), b"\n", *arrays))
    data = _from_first(data)
    if not data:
        return None
    text, raw = data.split(b"\n", 1)
    arrays, at = [], 0
    for like in jax.tree.leaves(start):
        arrays.append(np.frombuffer(raw, like.dtype, like.size, at).reshape(like.shape))
        at += like.nbytes
    learner = jax.tree.unflatten(jax.tree.structure(start), arrays)
    return Progress(devices.place_like(learner, start), tuple(Row(*row) for row in json.loads(text)))


def heard(number: int | None) -> int | None:
    """The signal that any of the processes has heard; all of them ask at the same time."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.process_allgather(np.array(number or 0)).max()) or None


def leads() -> bool:
    """Whether this is the process that writes."""
    return jax.process_index() == 0


def _meet(options: Options) -> None:
    try:
        jax.distributed.initialize(
            options.coordinator,
            options.processes,
            options.process_id,
            initialization_timeout=COMING,
            shutdown_timeout_seconds=GOING,
        )
        # Now, while all are here: what connects them gives up after 30 seconds, once connected it waits.
        multihost_utils.sync_global_devices("joined")
    except (ValueError, RuntimeError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        needs = "" if options.coordinator else "; --process-id and --coordinator are needed where JAX knows no cluster"
        raise UserError(f"--processes {options.processes}: they do not meet: {why}{needs}") from None


def _for_this_one(options: Options, own: ExitStack) -> Options:
    """The options of a process: those of number 0 as they are, the others silent and with a folder for the while."""
    if leads():
        return options
    own.enter_context(_silent())
    folder = own.enter_context(tempfile.TemporaryDirectory())
    return options._replace(out=Path(folder), overwrite=False, skip_proof=True, tensorboard=False, tracker=None)


@contextmanager
def _silent() -> Iterator[None]:
    with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):
        yield


def _from_first(data: bytes) -> bytes:
    """The bytes that process 0 has."""
    high, low = multihost_utils.broadcast_one_to_all(np.array(divmod(len(data), 2**30), np.int32))
    own = np.frombuffer(data, np.uint8) if leads() else np.zeros(int(high) * 2**30 + int(low), np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(own)).tobytes()


@contextmanager
def _words_of_libraries_aside() -> Iterator[None]:
    """Gloo says on the process's standard output that it has connected; in the block that is standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "w") as own, redirect_stdout(own):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
