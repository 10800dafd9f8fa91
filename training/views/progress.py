"""The progress of a run on standard error: a bar in a terminal, ten lines otherwise."""

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
    """Within the block, the yielded function shows the row of each epoch after the first `done`.

    In a terminal it is a progress bar, with `steps` steps per epoch; in a file or a pipe it is a line for each tenth of
    the run. Both show the loss, the score, steps per second and the remaining time.
    """
    if not sys.stderr.isatty():
        yield _lines(epochs, steps, score_name, done)
        return
    amount = {"total": epochs * steps, "initial": done * steps, "unit": " steps"}
    with tqdm(**amount, desc=f"epoch {done} of {epochs}", file=sys.stderr, dynamic_ncols=True) as bar:

        def show(row: Row) -> None:
            bar.set_description_str(f"epoch {row.epoch} of {epochs}", refresh=False)
            bar.set_postfix_str(_metrics(row, score_name), refresh=False)
            bar.update(steps)

        yield show


def _lines(epochs: int, steps: int, score_name: str, done: int) -> Callable[[Row], None]:
    # The rate is measured since the previous line, without the first epoch, which includes compilation.
    since, shown = time.perf_counter(), done

    def show(row: Row) -> None:
        nonlocal since, shown
        now = time.perf_counter()
        if row.epoch * LINES // epochs == (row.epoch - 1) * LINES // epochs:
            if row.epoch == done + 1:
                since, shown = now, row.epoch
            return
        rate = (row.epoch - shown) * steps / max(now - since, 1e-9)
        remaining = tqdm.format_interval((epochs - row.epoch) * steps / rate)
        since, shown = now, row.epoch
        rounded = f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
        line = f"{_metrics(row, score_name)}, {rounded} steps/s, {remaining} left"
        # A log file on a full disk must not end the run.
        with suppress(OSError):
            print(f"epoch {row.epoch} of {epochs}: {line}", file=sys.stderr, flush=True)

    return show


def _metrics(row: Row, score_name: str) -> str:
    return f"loss {row.train_loss:.4f}, {score_name.replace('_', ' ')} {row.train_score:.4f}"
