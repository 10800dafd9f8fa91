"""The progress of a run on standard error: a bar in a terminal, ten lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tqdm import tqdm

from ..core.learner import Row

LINES = 10


@contextmanager
def progress_display(epochs: int, steps: int, score_name: str, done: int = 0) -> Iterator[Callable[[Row], None]]:
    """Within the block, the yielded function takes the row of each epoch after the `done` ones and shows it.

    In a terminal it is a bar of the run's steps, of which an epoch has `steps`; where standard error is a file or a
    pipe, a line each tenth of the run. Both have the loss, the score, steps a second and the time left.
    """
    if not sys.stderr.isatty():
        yield _lines(epochs, steps, score_name, done)
        return
    amount = {"total": epochs * steps, "initial": done * steps, "unit": " steps"}
    with tqdm(**amount, desc=f"epoch {done} of {epochs}", file=sys.stderr, dynamic_ncols=True) as bar:

        def show(row: Row) -> None:
            bar.set_description_str(f"epoch {row.epoch} of {epochs}", refresh=False)
            bar.set_postfix_str(_words(row, score_name), refresh=False)
            bar.update(steps)

        yield show


def _lines(epochs: int, steps: int, score_name: str, done: int) -> Callable[[Row], None]:
    # The pace since the line before. The first epoch, which has compiling in it, counts only where it is all there is.
    since, told = time.perf_counter(), done

    def show(row: Row) -> None:
        nonlocal since, told
        now = time.perf_counter()
        if row.epoch * LINES // epochs == (row.epoch - 1) * LINES // epochs:
            if row.epoch == done + 1:
                since, told = now, row.epoch
            return
        pace = (row.epoch - told) * steps / max(now - since, 1e-9)
        left = tqdm.format_interval((epochs - row.epoch) * steps / pace)
        since, told = now, row.epoch
        rounded = f"{pace:,.0f}" if pace >= 100 else f"{pace:.3g}"
        words = f"{_words(row, score_name)}, {rounded} steps/s, {left} left"
        # A log on a disk that is full must not end the run.
        with suppress(OSError):
            print(f"epoch {row.epoch} of {epochs}: {words}", file=sys.stderr, flush=True)

    return show


def _words(row: Row, score_name: str) -> str:
    return f"loss {row.train_loss:.4f}, {score_name.replace('_', ' ')} {row.train_score:.4f}"
