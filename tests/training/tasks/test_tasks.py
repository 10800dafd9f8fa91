"""Tasks: models, losses and data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from training import networks, tasks
from training.data import datasets
from training.errors import UserError
from training.tasks import losses


def test_fcn_is_the_network_of_the_paper():
    shapes = networks.fcn(3).output_shapes((150, 2))
    assert shapes["conv1d"] == (150, 128) and shapes["conv1d_1"] == (150, 256) and shapes["conv1d_2"] == (150, 128)
    params, state = networks.fcn(2).init(jax.random.key(0), (150, 1))
    assert [params[f"conv1d{i}"]["kernel"].shape[0] for i in ("", "_1", "_2")] == [8, 5, 3]
    # 128 * 9 + 256 * (5 * 128 + 1) + 128 * (3 * 256 + 1), 2 * 512 of batch normalization, 2 * 129 of the dense layer.
    assert sum(a.size for own in params.values() for a in own.values()) == 264_962
    assert sorted(state) == ["batch_normalization", "batch_normalization_1", "batch_normalization_2"]


def test_two_layer_is_the_pair_of_the_design():
    model = networks.two_layer()
    params, state = model.init(jax.random.key(0), (100, 1))
    y, _ = model.apply(params, state, jnp.ones((3, 100, 1)))
    assert model.output_shapes((100, 1)) == {"conv1d": (9, 16), "conv1d_1": (1, 16)} and y.shape == (3, 1, 16)


def test_losses_in_jax_and_numpy_agree_and_support_the_complex_step():
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((5, 3)) * 4, np.array([0, 2, 1, 1, 0])
    target, v = rng.standard_normal((5, 3)), rng.standard_normal((5, 3))
    pairs = [
        (losses.cross_entropy, losses.cross_entropy_reference, labels),
        (losses.squared_error, losses.squared_error_reference, target),
    ]
    with jax.enable_x64(True):
        for loss, reference, y in pairs:
            value, gradient = jax.value_and_grad(loss)(jnp.asarray(logits), jnp.asarray(y))
            assert float(value) == pytest.approx(float(reference(logits, y)), rel=1e-14)
            step = np.imag(reference(logits + 1e-30j * v, y)) / 1e-30
            assert float(np.sum(np.asarray(gradient) * v)) == pytest.approx(float(step), rel=1e-13)


def test_cross_entropy_of_certain_logits_stays_finite():
    logits = np.array([[1000.0, -1000.0]])
    assert float(losses.cross_entropy(jnp.asarray(logits, jnp.float32), jnp.array([1]))) == 2000
    assert losses.cross_entropy_reference(logits, np.array([1])) == 2000


def test_accuracy_counts():
    logits = jnp.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [1.0, 0.0]])
    assert float(losses.accuracy(logits, jnp.array([0, 1, 1, 0]))) == 0.75


def test_classification_standardizes_by_the_training_set():
    data = datasets.load("gunpoint")
    rescaled = data._replace(x_train=data.x_train * 3 + 5, x_test=data.x_test * 3 + 5)
    task, same = tasks.classification(data), tasks.classification(rescaled)
    np.testing.assert_allclose(same.train.x, task.train.x, atol=1e-12)
    np.testing.assert_allclose(same.test.x, task.test.x, atol=1e-12)
    assert same.scaling[0].shape == (1,) and same.scaling[0] == pytest.approx(5)


def test_forecast_windows_and_baseline():
    task = tasks.forecast(datasets.load("gunpoint"))
    assert task.train.x.shape == (50 * 35, 100, 1) and task.train.y.shape == (50 * 35, 1, 16)
    assert task.test.x.shape == (150 * 35, 100, 1)
    repeated = np.repeat(task.test.x[:, -1:, :], 16, axis=-1)
    assert task.baseline[1] == pytest.approx(np.mean((repeated - task.test.y) ** 2))


def test_forecast_takes_several_channels_and_needs_no_second_class(tmp_path):
    x = np.random.default_rng(0).standard_normal((2, 120, 3))
    np.savez(tmp_path / "a.npz", x_train=x, y_train=np.zeros(2, int))
    task = tasks.forecast(datasets.load(str(tmp_path / "a.npz")))
    assert task.train.x.shape == (10, 100, 3) and task.train.y.shape == (10, 1, 16)
    assert task.test is None and len(task.baseline) == 1


def test_forecast_of_short_series_raises(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=np.arange(230.0).reshape(2, 115), y_train=np.zeros(2, int))
    with pytest.raises(UserError) as caught:
        tasks.forecast(datasets.load(str(tmp_path / "a.npz")))
    assert str(caught.value) == (
        "a: a forecast of 16 samples from 100 needs series of at least 116 samples; these have 115; --window and "
        "--horizon change these sizes"
    )
