"""Event files for TensorBoard: their content, resumed runs, and a full disk."""

import struct
import sys

import pytest

from training import fit
from training.core.learner import Row
from training.views import tensorboard

event_file_writer = pytest.importorskip("tensorboardX.event_file_writer")


def _events(folder):
    """The events of the one file in a folder: records of a length, its checksum, the event, and its checksum."""
    from tensorboardX.proto import event_pb2

    (path,) = folder.iterdir()
    content, events = path.read_bytes(), []
    while content:
        (size,) = struct.unpack("<Q", content[:8])
        events.append(event_pb2.Event.FromString(content[12 : 12 + size]))
        content = content[16 + size :]
    return events


def _values(event):
    return {value.tag: value.simple_value for value in event.summary.value}


def _rows(first=1):
    return [Row(first, 0.5, 0.75, 0.25, None, None), Row(first + 1, 0.25, 0.5, 0.5, 1.5, 0.125)]


def test_training_and_test_are_two_runs_with_the_same_tags(tmp_path):
    with tensorboard.opened(tmp_path / "events", "accuracy", 0) as log:
        for row in _rows():
            log(row)
        # The events are in the file before the run ends.
        assert len(_events(tmp_path / "events" / "training")) == 3
    head, first, second = _events(tmp_path / "events" / "training")
    assert head.file_version == "brain.Event:2" and (first.step, second.step) == (1, 2)
    assert _values(second) == {"loss": 0.5, "accuracy": 0.5, "learning_rate": 0.25}
    _, only = _events(tmp_path / "events" / "test")
    assert only.step == 2 and _values(only) == {"loss": 1.5, "accuracy": 0.125}


def test_validation_is_a_run_of_its_own(tmp_path):
    with tensorboard.opened(tmp_path, "accuracy", 0, has_validation=True) as log:
        log(Row(1, 0.5, 0.75, 0.25, None, None, 0.125, 0.75))
    _, only = _events(tmp_path / "validation")
    assert only.step == 1 and _values(only) == {"loss": 0.125, "accuracy": 0.75}


def test_a_resumed_run_discards_the_events_after_its_checkpoint(tmp_path):
    with tensorboard.opened(tmp_path, "accuracy", 4) as log:
        log(_rows(5)[0])
    _, start, first = _events(tmp_path / "training")
    assert start.step == first.step == 5 and start.session_log.status == start.session_log.START


def test_a_full_disk_is_reported_once_and_training_continues(tmp_path, monkeypatch, capsys):
    with tensorboard.opened(tmp_path, "accuracy", 0) as log:

        def full(*arguments):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(event_file_writer.EventsWriter, "write_event", full)
            log(_rows()[0])
            log(_rows()[1])
    words = "fit: no more events for TensorBoard: No space left on device; training continues\n"
    assert capsys.readouterr().err == words
    (tmp_path / "file").write_text("")
    with tensorboard.opened(tmp_path / "file" / "x", "accuracy", 0) as log:
        log(_rows()[0])
    assert capsys.readouterr().err == words.replace("No space left on device", "Not a directory")


def test_the_message_for_a_missing_package_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert fit.main(["--tensorboard"]) == 2
    words = 'fit: --tensorboard needs tensorboardX: pip install "tensorboardX>=2.6,<3"\n'
    assert capsys.readouterr() == ("", words)
