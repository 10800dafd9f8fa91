"""Checkpoints: resumed runs have bitwise the same results; damaged files, a full disk, and folders in the way."""

import errno
import os
import resource
import shutil

# pytest imports it to report an unclosed object, which fails while no file can be opened.
import tracemalloc  # noqa: F401

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support import waves
from training.core import loop
from training.core.learner import Progress, final_learner, init_learner
from training.core.plan import Plan
from training.errors import UserError
from training.options.types import Interval
from training.run import checkpoints

PLAN = Plan(epochs=6, batch_size=10, learning_rate=1e-2, seed=0, evaluate_every=3)
ONE = Interval(epochs=1)


@pytest.fixture(scope="module")
def task():
    return waves.task()


def _start(task, plan=PLAN):
    return init_learner(task, plan, jnp.float32)


def _train(task, folder, plan=PLAN):
    """The progress after each epoch; all checkpoints are kept."""
    states = []
    with pytest.MonkeyPatch.context() as patch, checkpoints.opened(folder, ONE) as kept:
        patch.setattr(checkpoints, "KEPT", 9)
        for progress in loop.train(task, plan, Progress(_start(task, plan), ())):
            kept.save(progress, wait=True)
            states.append(Progress(jax.tree.map(np.array, progress.learner), progress.rows))
    return states


@pytest.fixture(scope="module")
def run(task, tmp_path_factory):
    """The folder of a run's checkpoints, and the progress after each epoch."""
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    return folder, _train(task, folder)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_resumed_run_has_the_same_bits(task, tmp_path, keep):
    plan = PLAN._replace(keep=keep)
    states = _train(task, tmp_path, plan)
    with checkpoints.opened(tmp_path, ONE) as kept:
        progress = kept.restore(_start(task, plan), max_epochs=4)
        assert len(progress.rows) == 4
        *_, end = loop.train(task, plan, progress)
    waves.assert_same_bits(end.learner, states[-1].learner)
    assert end.rows == states[-1].rows
    if keep == "best":
        lowest = min(end.rows, key=lambda row: row.train_loss)
        waves.assert_same_bits(final_learner(end.learner).params, states[lowest.epoch - 1].learner.params)
        assert float(end.learner.best.loss) == lowest.train_loss


def test_the_last_two_checkpoints_and_the_best_are_kept(task, run, tmp_path):
    end = run[1][-1]
    losses = [0.5, 0.1, 0.3, 0.4, 0.6, 0.2, 0.7]
    rows = tuple(end.rows[0]._replace(epoch=i + 1, train_loss=loss) for i, loss in enumerate(losses))
    with checkpoints.opened(tmp_path, ONE) as kept:
        for epoch in range(1, 6):
            kept.save(Progress(end.learner, rows[:epoch]))
    assert kept.epochs() == [2, 4, 5]
    # The losses, which determine the best checkpoint, are read with the rows.
    with checkpoints.opened(tmp_path, ONE) as kept:
        assert len(kept.restore(_start(task)).rows) == 5
        for epoch in (6, 7):
            kept.save(Progress(end.learner, rows[:epoch]))
    assert kept.epochs() == [2, 6, 7]


def test_when_a_checkpoint_is_due(run, tmp_path, monkeypatch):
    saved, now, end = [], [0.0], run[1][-1]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])

    def offered(kept, epochs):
        def save(progress):
            saved.append(len(progress.rows))
            kept._epoch, kept._time = len(progress.rows), now[0]

        saved.clear()
        monkeypatch.setattr(kept, "save", save)
        for epoch in range(1, epochs + 1):
            now[0] += 2.0
            kept.offer(Progress(end.learner, end.rows[:epoch]))
        return list(saved)

    with checkpoints.opened(tmp_path, Interval(epochs=2)) as kept:
        assert offered(kept, 6) == [2, 4, 6]
    with checkpoints.opened(tmp_path, Interval(seconds=5.0)) as kept:
        assert offered(kept, 6) == [3, 6]
    with checkpoints.opened(tmp_path, Interval(seconds=1.0)) as kept:
        # Saving takes at most a hundredth of the time.
        kept._cost = 0.035
        assert offered(kept, 6) == [2, 4, 6]


def _arrays(folder):
    """The files with arrays. Orbax may write an array twice, so all of them are damaged."""
    return [path for path in folder.rglob("d/*") if path.is_file()]


def _flip(folder):
    for path in _arrays(folder):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


def _truncate(folder):
    for path in _arrays(folder):
        path.write_bytes(path.read_bytes()[:-9])


def _change_rows(folder):
    path = folder / "run" / "metadata"
    path.write_text(path.read_text().replace("0.0", "0.1", 1))


DAMAGES = {
    "one bit of the arrays": _flip,
    "a missing end": _truncate,
    "a number of the metrics": _change_rows,
    "missing files": lambda folder: [path.unlink() for path in _arrays(folder)],
    "no metrics": lambda folder: shutil.rmtree(folder / "run"),
    "no arrays": lambda folder: shutil.rmtree(folder / "learner"),
    "zeros": lambda folder: [p.write_bytes(bytes(p.stat().st_size)) for p in folder.rglob("*") if p.is_file()],
    "an empty folder": lambda folder: [shutil.rmtree(folder), folder.mkdir()],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_checkpoint_falls_back_to_the_previous_one(task, run, tmp_path, damage, capfd):
    folder = tmp_path / "checkpoints"
    shutil.copytree(run[0], folder)
    DAMAGES[damage](folder / "6")
    with checkpoints.opened(folder, ONE) as kept:
        progress = kept.restore(_start(task))
        assert progress.rows == run[1][4].rows
        waves.assert_same_bits(progress.learner, run[1][4].learner)
        line = capfd.readouterr().err
        assert line.startswith("fit: the checkpoint of epoch 6 is damaged (") and line.count("\n") == 1
        assert line.endswith("); going back to the one before\n")
        assert kept.epochs()[-1] == 5 and (folder / "6.damaged").is_dir()


def test_a_damaged_checkpoint_is_set_aside_until_a_later_epoch_is_saved(task, run, tmp_path):
    folder = tmp_path / "checkpoints"
    shutil.copytree(run[0], folder)
    shutil.rmtree(folder / "6" / "run")
    with checkpoints.opened(folder, ONE) as kept:
        progress = kept.restore(_start(task))
        for epoch in (6, 7):
            assert (folder / "6.damaged").is_dir()
            more = run[1][5].rows[-1:] * (epoch - 5)
            kept.save(Progress(progress.learner, (*progress.rows, *more)), wait=True)
        assert not (folder / "6.damaged").exists() and kept.epochs()[-2:] == [6, 7]


def test_a_run_whose_checkpoints_are_all_damaged_starts_again(task, run, tmp_path, capfd):
    folder = tmp_path / "checkpoints"
    shutil.copytree(run[0], folder)
    for path in folder.iterdir():
        _flip(path)
    with checkpoints.opened(folder, ONE) as kept:
        count = len(kept.epochs())
        assert kept.restore(_start(task)) is None
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == count and lines[-1].endswith("; starting again") and kept.epochs() == []


def test_an_unfinished_checkpoint_of_a_killed_process_is_deleted(tmp_path):
    (tmp_path / "7.orbax-checkpoint-tmp" / "learner").mkdir(parents=True)
    with checkpoints.opened(tmp_path, ONE) as kept:
        assert kept.epochs() == []
    assert list(tmp_path.iterdir()) == []


def _messages(kept, why):
    """The printed lines about failed saves, which are recorded too."""
    assert all(why in found["why"] for found in kept.failed)
    return [
        f"fit: {kept.folder}: the checkpoint of epoch {found['epoch']} could not be written: {found['why']}; training "
        "continues"
        for found in kept.failed
    ]


@pytest.mark.parametrize("noticed", ["before", "by Orbax"])
def test_a_full_disk_is_reported_each_time_and_training_continues(run, tmp_path, capfd, monkeypatch, noticed):
    """With a limit on the size of files, writes fail as on a full disk."""
    if noticed == "by Orbax":
        monkeypatch.setattr(checkpoints, "check_space", lambda *arguments: None)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    progress = run[1][-1]
    with checkpoints.opened(tmp_path / "checkpoints", ONE) as kept:
        kept.save(Progress(progress.learner, progress.rows[:1]), wait=True)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))
            for epoch in (2, 3):
                kept.save(Progress(progress.learner, progress.rows[:epoch]), wait=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert capfd.readouterr().err.splitlines() == _messages(kept, "File too large")
        assert [found["epoch"] for found in kept.failed] == [2, 3]
        assert [path.name for path in kept.folder.iterdir()] == ["1"]
        kept.save(Progress(progress.learner, progress.rows[:4]), wait=True)
    assert kept.epochs() == [1, 4]


def test_a_folder_that_cannot_be_written_to_is_reported_each_time(run, tmp_path, capfd):
    (tmp_path / "checkpoints").write_text("in the way")
    with checkpoints.opened(tmp_path / "checkpoints", ONE) as kept:
        for epoch in (1, 2):
            kept.save(Progress(run[1][-1].learner, run[1][-1].rows[:epoch]))
    assert capfd.readouterr().err.splitlines() == _messages(kept, "") and len(kept.failed) == 2


def test_a_write_that_fails_later_is_reported_for_its_own_epoch(run, tmp_path, capfd, monkeypatch):
    """A failure in the background is reported when the next checkpoint starts."""
    progress = run[1][-1]
    with checkpoints.opened(tmp_path / "checkpoints", ONE) as kept, monkeypatch.context() as patch:
        patch.setattr(checkpoints.durable, "sync", _raising(OSError(errno.EIO, os.strerror(errno.EIO))))
        kept.save(Progress(progress.learner, progress.rows[:1]))
        kept.save(Progress(progress.learner, progress.rows[:2]))
        assert kept.failed == [{"epoch": 1, "why": "Input/output error"}]
    assert kept.epochs() == [1, 2]


def _raising(error):
    def fail(*arguments, **options):
        raise error

    return fail


OTHER_ERRORS = {
    "memory": MemoryError(),
    "memory in JAX": jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 12345 bytes"),
    "files": OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    "permission": PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
    "no answer": ValueError("UNAVAILABLE: the file system does not answer"),
}


@pytest.mark.parametrize("kind", OTHER_ERRORS)
def test_only_wrong_content_sets_a_checkpoint_aside(task, run, tmp_path, kind, monkeypatch):
    """With too little memory, the newest checkpoint must not count as damaged, which would delete it later."""
    folder = tmp_path / "checkpoints"
    shutil.copytree(run[0], folder)
    before = sorted(path.name for path in folder.iterdir())
    with checkpoints.opened(folder, ONE) as kept:
        with monkeypatch.context() as patch, pytest.raises(UserError, match="6: cannot be read: ") as caught:
            patch.setattr(kept._checkpointer, "restore", _raising(OTHER_ERRORS[kind]))
            kept.restore(_start(task))
        assert str(caught.value).endswith("; nothing was changed, and --resume tries again")
        assert sorted(path.name for path in folder.iterdir()) == before
        assert len(kept.restore(_start(task)).rows) == 6


# Orbax cannot close the event loop that it could not create.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_too_many_open_files(task, run, tmp_path):
    folder = tmp_path / "checkpoints"
    shutil.copytree(run[0], folder)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    start = _start(task)
    with checkpoints.opened(folder, ONE) as kept:
        kept.restore(start)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")), limits[1]))
            with pytest.raises(UserError, match="6: cannot be read: Too many open files"):
                kept.restore(start)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert kept.epochs()[-1] == 6


def test_older_checkpoints_are_deleted_when_newer_ones_are_on_the_disk(run, tmp_path, monkeypatch):
    """A power cut after a rename may leave empty files under the new name."""
    synced, progress = [], run[1][-1]
    sync, remove = checkpoints.durable.sync, shutil.rmtree

    def removed(folder, **options):
        if not options:
            assert {kept.folder / str(epoch) for epoch in kept.epochs()[-2:]} <= set(synced)
        remove(folder, **options)

    monkeypatch.setattr(checkpoints.durable, "sync", lambda folder: (sync(folder), synced.append(folder)))
    monkeypatch.setattr(checkpoints.shutil, "rmtree", removed)
    with checkpoints.opened(tmp_path / "checkpoints", ONE) as kept:
        for epoch in range(1, 6):
            kept.save(Progress(progress.learner, progress.rows[:epoch]))
    assert len(synced) == 5 and kept.epochs()[-2:] == [4, 5]
