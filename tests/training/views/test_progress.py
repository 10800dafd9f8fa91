"""Progress: a bar of steps in a terminal, lines elsewhere, both with loss, score, rate and remaining time."""

import io
import re
import sys

from training.core.learner import Row
from training.views.progress import progress_display


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def _row(epoch):
    return Row(epoch, 1e-3, 0.5, 0.75, None, None)


def test_progress_is_a_bar_in_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", _Terminal())
    with progress_display(4, 10, "absolute_error", done=1) as show:
        for epoch in (2, 3, 4):
            show(_row(epoch))
        printed = sys.stderr.getvalue()
    printed = sys.stderr.getvalue()
    last = printed.split("\r")[-1]
    assert last.startswith("epoch 4 of 4: 100%") and "40/40" in last
    assert re.search(r"\d steps/s, loss 0\.5000, absolute error 0\.7500\]", last), last


def test_progress_is_lines_in_a_file(capsys):
    with progress_display(20, 10, "accuracy") as show:
        for epoch in range(1, 21):
            show(_row(epoch))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    for number, line in enumerate(lines, 1):
        words = rf"epoch {2 * number} of 20: loss 0\.5000, accuracy 0\.7500, [\d,]+ steps/s, 00:00 left"
        assert re.fullmatch(words, line), line


def test_the_remaining_time_and_the_rate_exclude_the_first_epoch(capsys, monkeypatch):
    # The first epoch takes 100 seconds, each other epoch 4 seconds, for 2 steps.
    clock = iter([0.0, *(100.0 + 4 * epoch for epoch in range(20))])
    monkeypatch.setattr("training.views.progress.time.perf_counter", lambda: next(clock))
    with progress_display(20, 2, "accuracy") as show:
        for epoch in range(1, 21):
            show(_row(epoch))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("0.5 steps/s, 01:12 left") and lines[-1].endswith("0.5 steps/s, 00:00 left")
