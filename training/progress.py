"""The progress of a run on standard error: a bar in a terminal, ten lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tqdm import tqdm

from .loop import Row

LINES = 10


@contextmanager
def progress(epochs: int, score_name: str, done: int = 0) -> Iterator[Callable[[Row], None]]:
    """Within the block, the yielded function takes the row of each epoch after the `done` ones and shows it.

    In a terminal it is a bar with the loss, the score and the time left; where standard error is a file or a pipe,
    a line each tenth of the run.
    """
    if not sys.stderr.isatty():
        yield lambda row: _line(row, epochs, score_name)
        return
    with tqdm(total=epochs, initial=done, desc="training", unit=" epochs", file=sys.stderr, dynamic_ncols=True) as bar:

        def show(row: Row) -> None:
            bar.set_postfix_str(_words(row, score_name), refresh=False)
            bar.update()

        yield show


def _line(row: Row, epochs: int, score_name: str) -> None:
    if row.epoch * LINES // epochs > (row.epoch - 1) * LINES // epochs:
        # A log on a disk that is full must not end the run.
        with suppress(OSError):
            print(f"epoch {row.epoch} of {epochs}: {_words(row, score_name)}", file=sys.stderr, flush=True)


def _words(row: Row, score_name: str) -> str:
    return f"loss {row.train_loss:.4f}, {score_name.replace('_', ' ')} {row.train_score:.4f}"
