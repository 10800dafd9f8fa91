"""Forecasts by any network: horizons, windows and channels."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from training import fit, tasks
from training.commands import from_options
from training.core import loop
from training.core.learner import Progress, init_learner
from training.core.plan import Plan
from training.data import datasets, scaling
from training.errors import UserError
from training.networks import NETWORKS
from training.options import options
from training.proof import proof


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _data(channels=2, length=40):
    """Sines with a period of 12 samples, which can be predicted."""
    at = np.arange(length) * np.pi / 6
    x = np.stack([np.sin(at + np.arange(4)[:, None] + channel) * (1 + channel) for channel in range(channels)], -1)
    y = np.zeros(4, np.int32)
    return datasets.Dataset("sines", x, y, x[:2, :30], y[:2], ("0",))


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("name", [name for name, kind in NETWORKS.items() if not kind.is_per_sample])
def test_every_network_has_an_output_for_each_sample_of_the_horizon(name):
    task = tasks.forecast(_data(), name, window=16, horizon=5)
    params, state = jax.eval_shape(lambda: task.model.init(jax.random.key(0), (16, 2)))
    y, _ = jax.eval_shape(task.model.apply, params, state, task.train.x)
    assert y.shape == task.train.y.shape and y.shape[0] == 4 * (40 - 20) and task.train.x.shape[1:] == (16, 2)


def test_windows_targets_and_baseline_of_each_channel():
    data = _data()
    last, all_channels = tasks.forecast(data, "fcn", 16, 5, 1), tasks.forecast(data, "fcn", 16, 5, None)
    scaled = scaling.standardize(data)[0].x_train
    np.testing.assert_array_equal(last.train.y[1], scaled[0, 17:22, 1])
    np.testing.assert_array_equal(all_channels.train.y[1].reshape(2, 5), scaled[0, 17:22].T)
    np.testing.assert_array_equal(last.train.x[1], scaled[0, 1:17])
    repeated = last.test.x[:, -1:, 1]
    assert last.baseline[1] == pytest.approx(np.mean((repeated - last.test.y) ** 2))
    assert all_channels.forecast_target == tasks.ForecastTarget(5, (0, 1)) and len(all_channels.baseline) == 2


def test_a_forecast_is_proved_and_learned():
    task = tasks.forecast(_data(1), "two-layer", window=24, horizon=4)
    params, state = task.model.init(jax.random.key(0), (24, 1))
    assert proof.prove(task, params, state, seed=0).failures() == {}
    plan = Plan(epochs=40, batch_size=8, learning_rate=2e-2, seed=0, evaluate_every=40)
    *_, (_, rows) = loop.train(task, plan, Progress(init_learner(task, plan, jnp.float32), ()))
    assert rows[-1].test_loss < 0.1 * task.baseline[1]


def test_a_network_with_another_output_shape_raises():
    with pytest.raises(UserError) as caught:
        tasks.forecast(_data(1, 400)._replace(x_test=None, y_test=None), "two-layer", window=200)
    words = "a forecast of 16 samples of 1 channel needs 16 elements"
    assert str(caught.value) == f"sines: the output of the network for 200 samples is (2, 16); {words}"


def test_the_command_learns_a_forecast(capsys):
    np.savez("a.npz", x_train=_data().x_train, y_train=np.zeros(4))
    arguments = ["--data", "a.npz", "--task", "forecast", "--model", "two-layer", "--window", "24", "--horizon", "6"]
    assert fit.main([*arguments, "--target-channel", "all", "--epochs", "1", "--skip-proof", "--out", "run"]) == 0
    assert "last sample repeated, loss" in capsys.readouterr().out
    config = json.loads(Path("run/config.json").read_text())
    assert config["task"] == "forecast"
    assert (config["window"], config["horizon"], config["target_channels"]) == (24, 6, [1, 2])
    assert Path("run/predictions.png").is_file() and "<h2>Predictions</h2>" in Path("run/report.html").read_text()


def test_the_end_of_the_only_series_is_held_out(capsys):
    """The rest is for training and scaling, and the windows of each part contain only its own samples."""
    series = np.cumsum(np.random.default_rng(0).standard_normal((1, 60, 1)), 1)
    np.savez("one.npz", x_train=series, y_train=[0])
    arguments = ["--data", "one.npz", "--task", "forecast", "--model", "mlp", "--window", "8", "--horizon", "4"]
    arguments += ["--validation", "0.25", "--epochs", "1", "--skip-proof", "--out", "run"]
    _, _, task, _ = from_options.build_run(options.parse(arguments))
    scaled = (series - series[:, :45].mean()) / series[:, :45].std()
    assert len(task.train.x) == 45 - 11 and len(task.validation.x) == 15 - 11 and task.test is None
    np.testing.assert_allclose(task.train.y[-1], scaled[0, 41:45, 0])
    np.testing.assert_allclose(task.validation.x[0], scaled[0, 45:53])
    np.testing.assert_allclose(task.validation.y[-1], scaled[0, -4:, 0])
    assert fit.main(arguments) == 0
    message = "1 training, 1 validation (the 15 samples after it) and no test series of 45 samples, 1 channel"
    assert message in capsys.readouterr().out and "validation_loss" in Path("run/metrics.csv").read_text()
    assert fit.main([*arguments, "--overwrite", "--validation", "0.1"]) == 2
    message = (
        "fit: one, --validation 0.1: a forecast of 4 samples from 8 needs series of at least 12 samples; these have 6"
    )
    assert capsys.readouterr().err == f"{message}; --window and --horizon change these sizes\n"
