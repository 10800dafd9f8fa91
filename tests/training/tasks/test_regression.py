"""Regression: targets scaled by the training set, errors in their unit, and networks with one output."""

import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconv import layers, sequential
from training import fit, tasks
from training.core import loop
from training.core.learner import Progress, init_learner
from training.core.plan import Plan
from training.data import datasets
from training.errors import UserError
from training.proof import proof
from training.run import run_folder

SMALL = sequential([layers.Conv1D(4, 5, padding="same"), layers.GlobalMaxPooling1D(), layers.Dense(1)])


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _series(y, length=20):
    """Waves with the amplitudes 0.2 + y."""
    phase = np.arange(len(y))[:, None]
    return (0.2 + np.asarray(y, float)[:, None]) * np.sin(np.arange(length) * 0.7 + phase)


def _file(name="a.npz"):
    y = np.linspace(0, 2.5, 16)
    arrays = {"x_train": _series(y[::2]), "y_train": 100 * y[::2], "x_test": _series(y[1::2])}
    np.savez(name, **arrays, y_test=100 * y[1::2])
    return name


def test_targets_are_scaled_by_the_training_set_and_errors_have_their_unit():
    data = datasets.load(_file())
    task = tasks.regression(data)
    own = np.linspace(0, 250, 16)[::2]
    assert data.has_fractional_labels and data.targets_train == pytest.approx(own)
    assert task.target_scaling == pytest.approx((own.mean(), own.std())) and not task.classes
    assert task.train.y[:, 0] == pytest.approx((own - own.mean()) / own.std())
    # An error of 1 is an error of one standard deviation of the targets.
    assert float(task.score(jnp.asarray(task.test.y + 1), task.test.y)) == pytest.approx(own.std(), rel=1e-6)
    # The baseline predicts the mean of the training targets.
    tested = data.targets_test
    assert task.baseline == pytest.approx((1, np.mean((tested - own.mean()) ** 2) / own.var()))


def test_a_regression_is_proved_and_learned():
    task = tasks.regression(datasets.load(_file()))._replace(model=SMALL)
    params, state = SMALL.init(jax.random.key(0), (20, 1))
    assert proof.prove(task, params, state, seed=0).failures() == {}
    plan = Plan(epochs=60, batch_size=4, learning_rate=2e-2, seed=0, evaluate_every=60)
    *_, (_, rows) = loop.train(task, plan, Progress(init_learner(task, plan, jnp.float32), ()))
    assert rows[-1].test_loss < 0.2 * task.baseline[1]


@pytest.mark.parametrize(
    ("labels", "fractional"), [("1.5 2 2", True), ("1 2 2", False), ("1.0 2e0 2", False), ("a 1.5 2", False)]
)
def test_labels_with_fractions_are_targets(labels, fractional):
    rows = (f"{label},{row},{row + 1},3\n" for row, label in enumerate(labels.split()))
    Path("a.csv").write_text("".join(rows))
    data = datasets.load("a.csv")
    assert data.has_fractional_labels == fractional and (data.targets_train is None) == labels.startswith("a")


@pytest.mark.slow
def test_the_command_learns_a_regression(capsys):
    arguments = ["--data", _file(), "--model", "convnext", "--epochs", "1", "--skip-proof", "--out", "run"]
    assert fit.main([*arguments, "--validation", "0.25"]) == 0
    printed = capsys.readouterr().out
    assert "6 training, 2 validation and 8 test series of 20 samples, 1 channel, targets from " in printed
    assert re.search(r"training mean, loss +1\.0000 +\d\S* +\d", printed)
    config = json.loads(Path("run/config.json").read_text())
    assert config["classes"] == [] and config["validation"] == 0.25
    metrics = np.genfromtxt("run/metrics.csv", delimiter=",", names=True)
    assert metrics.dtype.names[-2:] == ("validation_loss", "validation_absolute_error")
    assert np.isfinite(metrics["validation_loss"])
    assert {"predictions.png", "learning_curves.png"} < {path.name for path in Path("run").iterdir()}
    # The printed error is the error of the saved network, in the unit of the targets.
    data = datasets.load("a.npz")
    params, state = run_folder.read_params(Path("run"))
    model = tasks.regression(data, "convnext").model
    x = (data.x_test - config["channel_mean"]) / config["channel_deviation"]
    guess = config["target_mean"] + config["target_deviation"] * model.reference(params, state, x)[:, 0]
    error = float(re.search(r"absolute error +\S+ +\S+ +(\S+)", printed)[1])
    assert error == pytest.approx(np.abs(guess - data.targets_test).mean(), abs=1e-3)


def test_regression_sets_inside_aeon():
    data = datasets.load("Covid3Month")
    assert data.x_train.shape == (140, 84, 1) and data.x_test.shape == (61, 84, 1) and data.has_fractional_labels


MISTAKES = {
    ("--task", "classification"): "a: labels are numbers with fractions, not classes; --task regression learns them",
    ("--protocol", "dl4tsc"): "--protocol dl4tsc is for classification, and a is for regression",
    ("--model", "two-layer", "--task", "regression"): "--model two-layer supports only --task forecast, not "
    "--task regression",
    ("--loss", "cross-entropy"): "--loss cross-entropy is for targets that are classes, and these are numbers",
    ("--data", "words.csv", "--task", "regression"): "words: --task regression needs labels that are finite numbers",
    ("--data", "same.csv", "--task", "regression"): "same: all training targets are 2; there is nothing to learn",
    ("--data", "far.csv"): "far: the standard deviation of the training targets is inf, which cannot scale it; "
    "use another unit",
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, capsys):
    _file()
    Path("words.csv").write_text("up,1,2\ndown,3,4\n")
    Path("far.csv").write_text("1e300,1,2\n0.5,3,4\n")
    Path("same.csv").write_text("2,1,2\n2,3,4\n")
    assert fit.main(["--data", "a.npz", *arguments]) == 2
    assert capsys.readouterr().err == f"fit: {MISTAKES[arguments]}\n"


def test_series_of_variable_length():
    rng = np.random.default_rng(0)
    rows = (f"{n / 4}," + ",".join(map(str, rng.standard_normal(n))) for n in (9, 12, 15, 18, 20))
    Path("a.csv").write_text("\n".join(rows))
    task = tasks.regression(datasets.load("a.csv"))
    assert task.train.lengths.tolist() == [9, 12, 15, 18, 20]
    with pytest.raises(UserError, match="which the network does not accept: node 'flatten'"):
        tasks.regression(datasets.load("a.csv"), "mlp")
