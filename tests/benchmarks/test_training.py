"""`python -m benchmarks.training`: its table and checks, without the other libraries."""

import json

import jax
import numpy as np
import pytest

from benchmarks import training
from benchmarks.shared.timing import rotated
from benchmarks.trainers import fcn, workers
from benchmarks.trainers.workers import WorkerError
from benchmarks.training import StepTimes
from training import networks

RESULTS = [StepTimes("ours", "A 1", [2.0, 9.0, 4.0]), StepTimes("theirs", "B 2, C 3", [10.0, 20.0, 1.0, 30.0])]


def test_ratios_are_computed_from_medians():
    assert [result.median for result in RESULTS] == [4, 15]
    assert training.ratios(RESULTS) == [1, 3.75]


def test_the_table_has_a_row_for_each_side():
    assert training.table(RESULTS).splitlines()[2:] == [
        "| ours | 4 | 2 to 9 | 1.00 | A 1 |",
        "| theirs | 15 | 1 to 30 | 3.75 | B 2, C 3 |",
    ]


def test_rounds_rotate_the_order_of_the_sides():
    orders = [rotated("abc", turn) for turn in range(4)]
    assert orders == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({"a": [0.7, 0.5], "b": [0.7, 0.5001]}, "b: losses"),
        ({"a": [0.7, 0.5], "b": [0.7, float("nan")]}, "b: losses"),
        ({"a": [0.7, 0.7], "b": [0.7, 0.7]}, "changed nothing"),
    ],
)
def test_sides_that_do_not_compute_the_same_are_found(losses, message):
    training.check_losses({"a": [0.7, 0.5], "b": [0.70001, 0.50001]})
    with pytest.raises(WorkerError, match=message):
        training.check_losses(losses)


def test_the_series_have_the_shape_of_gunpoint_and_are_standardized():
    x, y = fcn.series(5)
    assert (x.shape, x.dtype, y.shape) == ((50, 150, 1), np.float32, (50,))
    assert set(y) == {0, 1}
    assert abs(x.mean()) < 1e-5
    assert abs(x.std() - 1) < 1e-5


def test_the_initial_params_have_the_shapes_of_the_trained_model():
    params, _ = networks.fcn(fcn.CLASSES).init(jax.random.key(0), (fcn.LENGTH, fcn.CHANNELS))
    theirs = {name: layer for name, layer in params.items() if layer}
    assert jax.tree.map(np.shape, fcn.initial_params()) == jax.tree.map(np.shape, theirs)


@pytest.mark.parametrize("arguments", [["--steps", "15"], ["--steps", "0"], ["--rounds", "0"], ["--batch-size", "0"]])
def test_user_errors_end_with_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit:
        training.main(arguments)
    assert exit.value.code == 2
    assert arguments[0] in capsys.readouterr().err


class FakeWorker:
    """A side that replies at once."""

    def __init__(self, side, batch_size):
        self.side, self.batch_size = side, batch_size

    def request(self, epochs=None):
        if epochs:
            return {"seconds": 0.25 * epochs}
        if "compile" in self.side.name:
            raise WorkerError(f"{self.side.name}: no compiler")
        return {"version": "1", "losses": [0.7, 0.6]}

    def close(self):
        pass


def test_the_command_leaves_out_sides_that_fail_and_writes_every_measurement(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(training, "Worker", FakeWorker)
    monkeypatch.setattr(workers, "find_spec", lambda package: None if package == "keras" else True)
    monkeypatch.setattr(training.time, "sleep", lambda seconds: None)
    file = tmp_path / "new" / "steps.json"
    assert training.main(["--rounds", "2", "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "left out: Keras `fit` on JAX: keras not installed" in printed
    assert "left out: PyTorch, torch.compile: no compiler" in printed
    sides = json.loads(file.read_text())["sides"]
    assert len(sides) == 5
    assert sides[0] == {**sides[0], "milliseconds": [25.0, 25.0], "median": 25.0, "ratio": 1.0}
    assert printed.count("| 25 | 25 to 25 | 1.00 | 1 |") == 5
