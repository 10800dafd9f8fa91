"""`python -m benchmarks.keras_fit`: its table, and Keras computes the same as jconv."""

import json

import numpy as np
import pytest

from benchmarks import keras_fit, training
from benchmarks.keras_fit import JCONV, JCONV_SEEDS, Cell
from benchmarks.trainers import protocol_jax, workers
from benchmarks.trainers.workers import WorkerError


class FakeWorker:
    """A side that replies at once."""

    losses = (0.7, 0.6)

    def __init__(self, side, setup):
        self.side, self.setup = side, setup

    def request(self, epochs=None):
        seconds = {JCONV: 0.5, JCONV_SEEDS: 1.2, "Keras on JAX": 1.0}.get(self.side.name, 3.0)
        return {"losses": list(self.losses)} if epochs is None else {"seconds": seconds * epochs}

    def close(self):
        pass


@pytest.fixture
def faked(monkeypatch):
    monkeypatch.setattr(keras_fit, "Worker", FakeWorker)
    monkeypatch.setattr(keras_fit, "WorkerGroup", FakeWorker)
    monkeypatch.setattr(keras_fit, "cores", lambda: 3)
    monkeypatch.setattr(workers, "find_spec", lambda package: None if package == "torch" else True)
    monkeypatch.setattr(training.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(keras_fit.protocol_jax, "write", lambda setup, folder: None)
    return monkeypatch


def test_ratios_are_to_the_faster_of_the_backends():
    times = {JCONV: [3.0, 9.0, 4.0], "Keras on JAX": [5.0], "Keras on PyTorch": [8.0]}
    cell = Cell("gunpoint", "fcn", dict.fromkeys(times, 1.0), times)
    assert cell.ratios == {JCONV: 0.8, "Keras on JAX": 1.0, "Keras on PyTorch": 1.6}
    assert "| gunpoint, fcn | jconv | 4 | 3 to 9 | 0.80 | 1.0 |" in keras_fit.table([cell])
    alone = Cell("gunpoint", "fcn", {JCONV: 1.0}, {JCONV: [3.0]})
    assert alone.ratios == {} and "| – |" in keras_fit.table([alone])


@pytest.mark.usefixtures("faked")
def test_the_command_writes_every_measurement(tmp_path, capsys):
    file = tmp_path / "new" / "fit.json"
    assert keras_fit.main(["--sets", "gunpoint", "--models", "fcn", "--rounds", "2", "--json", str(file)]) == 0
    (cell,) = json.loads(file.read_text())["cells"]
    assert cell["medians"] == {JCONV: 500, JCONV_SEEDS: 400, "Keras on JAX": 1000, "Keras on JAX, best to a file": 3000}
    assert cell["ratios"][JCONV] == 0.5 and cell["ratios"][JCONV_SEEDS] == 0.4
    assert "Keras on PyTorch" not in capsys.readouterr().out


def test_a_side_that_computes_something_else_is_found(faked, capsys):
    request = FakeWorker.request
    faked.setattr(
        FakeWorker,
        "request",
        lambda self, **how: {"losses": [9, 8]} if "Keras" in self.side.name else request(self, **how),
    )
    assert keras_fit.main(["--sets", "gunpoint", "--models", "fcn"]) == 1
    assert "keras_fit: Keras on JAX: losses" in capsys.readouterr().err
    with pytest.raises(WorkerError):
        keras_fit.measure("gunpoint", "fcn", 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_keras_takes_the_same_step(tmp_path):
    protocol_keras = pytest.importorskip("benchmarks.trainers.protocol_keras")
    setup = {"data": "ItalyPowerDemand", "network": "fcn", "folder": str(tmp_path)}
    protocol_jax.write(setup, tmp_path)
    ours, theirs = protocol_jax.build(setup), protocol_keras.Protocol(setup)
    # 67 series are 11 batches of 6.
    assert len(theirs.x) == 66 == len(ours.task.train.x)
    np.testing.assert_allclose(ours.losses(), theirs.losses(), rtol=1e-4)
    theirs.run(1)
    best = theirs.callbacks[1]
    assert np.isfinite(best.loss) and best.weights is not None


def test_user_errors_end_with_exit_code_2(capsys):
    with pytest.raises(SystemExit) as exit:
        keras_fit.main(["--rounds", "0"])
    assert exit.value.code == 2 and "--rounds" in capsys.readouterr().err
