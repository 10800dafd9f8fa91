"""Event files for TensorBoard during a run: `tensorboard --logdir runs`.

Each event is written immediately. The asynchronous writer of TensorBoard's libraries blocks forever on a full disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ..core.learner import Row
from ..errors import tell

EXTRA = '--tensorboard needs tensorboardX: pip install "tensorboardX>=2.6,<3"'


@contextmanager
def opened(folder: Path, score_name: str, done: int, has_validation: bool = False) -> Iterator[Callable[[Row], None]]:
    """Within the block, the yielded function writes the row of an epoch.

    Training, test and, if there is one, validation are separate runs in subfolders, so that TensorBoard shows their
    curves in one chart. Events that a killed process wrote after the first `done` epochs are discarded. A failure is
    printed once, and training continues without event files.
    """
    with ExitStack() as stack:
        try:
            write: Callable[[Row], None] | None = _writer(folder, score_name, done, has_validation, stack)
        except OSError as error:
            write = _report_failure(error)

        def show(row: Row) -> None:
            nonlocal write
            try:
                if write is not None:
                    write(row)
            except OSError as error:
                write = _report_failure(error)

        yield show


def _writer(folder: Path, score_name: str, done: int, has_validation: bool, stack: ExitStack) -> Callable[[Row], None]:
    from tensorboardX import event_file_writer
    from tensorboardX.proto import event_pb2, summary_pb2

    # Type checkers do not know the classes that protobuf creates.
    protos: Any = event_pb2
    summaries: Any = summary_pb2
    files = {}
    for part in ("training", "test", *["validation"] * has_validation):
        (folder / part).mkdir(parents=True, exist_ok=True)
        files[part] = event_file_writer.EventsWriter(str(folder / part / "events"))
        stack.callback(_close, files[part])
        if done:
            start = protos.SessionLog(status=protos.SessionLog.START)
            files[part].write_event(protos.Event(wall_time=time.time(), step=done + 1, session_log=start))

    def write(row: Row) -> None:
        found = {
            "training": {"loss": row.train_loss, score_name: row.train_score, "learning_rate": row.learning_rate},
            "test": {"loss": row.test_loss, score_name: row.test_score},
            "validation": {"loss": row.validation_loss, score_name: row.validation_score},
        }
        for part in files:
            values = [
                summaries.Summary.Value(tag=tag, simple_value=v) for tag, v in found[part].items() if v is not None
            ]
            if values:
                summary = summaries.Summary(value=values)
                files[part].write_event(protos.Event(wall_time=time.time(), step=row.epoch, summary=summary))
                files[part].flush()

    return write


def _report_failure(error: OSError) -> None:
    tell(f"no more events for TensorBoard: {error.strerror or error}; training continues")


def _close(file: Any) -> None:
    try:
        file.close()
    except OSError as error:
        _report_failure(error)
