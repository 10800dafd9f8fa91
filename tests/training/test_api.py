"""The Python API of training: the same results as the commands, shared compilation, and errors of one line."""

import jax
import numpy as np
import pytest

from training import api, fit, predict
from training.core import loop
from training.run import run_folder, trained

PLAN = api.Plan(epochs=2, batch_size=10, learning_rate=1e-3, seed=3, evaluate_every=1)


@pytest.fixture(scope="module")
def task():
    return api.classification(api.load("gunpoint"), "fcn")


@pytest.fixture(scope="module")
def model(task):
    return api.train(task, PLAN)


def test_the_command_trains_the_same_network(task, model, tmp_path):
    options = ["--epochs", "2", "--batch-size", "10", "--seed", "3"]
    assert fit.main([*options, "--skip-proof", "--out", str(tmp_path / "run")]) == 0
    own = run_folder.read_params(tmp_path / "run")
    for mine, saved in zip(jax.tree.leaves((model.params, model.state)), jax.tree.leaves(own), strict=True):
        np.testing.assert_array_equal(mine, saved)
    x = api.load("gunpoint").x_test[:7]
    # The saved network is another program, with the params as constants.
    saved = predict.predict(trained.read(tmp_path / "run"), x)
    np.testing.assert_allclose(api.predict(model, x), saved, atol=1e-6)


def test_the_evaluation_equals_the_last_row(task, model):
    found = api.evaluate(task, model, task.test)
    assert (found.loss, found.score) == (model.rows[-1].test_loss, model.rows[-1].test_score)
    probabilities = api.predict(model, api.load("gunpoint").x_test)
    np.testing.assert_allclose(jax.nn.softmax(found.output), probabilities, atol=1e-6)


def test_the_models_of_an_ensemble_are_evaluated_together(task):
    both = api.train(task, PLAN._replace(epochs=1, members=2))
    probabilities = api.predict(both, api.load("gunpoint").x_test)
    output = api.evaluate(task, both, task.test).output
    np.testing.assert_allclose(probabilities, jax.nn.softmax(output), atol=1e-6)


def test_a_regression_predicts_in_the_units_of_its_targets():
    x = np.random.default_rng(0).standard_normal((12, 20))
    y = 1000 + x.mean(1)
    task = api.regression(api.from_arrays(x, y), "fcn")
    found = api.predict(api.train(task, PLAN._replace(epochs=1, batch_size=4)), x[..., None])
    assert found.shape == (12,) and (abs(found - 1000) < 100).all()


def test_on_epoch_is_called_after_each_epoch(task):
    seen = []
    model = api.train(task, PLAN, on_epoch=lambda row: seen.append(row.epoch))
    assert seen == [row.epoch for row in model.rows] == [1, 2]


def test_tasks_that_differ_in_their_arrays_share_one_compiled_epoch(task):
    data = api.load("gunpoint")
    other = api.classification(data._replace(x_train=data.x_train[::-1]), "fcn")
    epoch = loop.make_epoch(task, PLAN)
    assert loop.make_epoch(other, PLAN._replace(seed=4)) is epoch
    fewer = other._replace(train=other.train.at(slice(40)))
    for changed in (fewer, task._replace(model=api.classification(data, "mlp").model)):
        assert loop.make_epoch(changed, PLAN) is not epoch
    assert loop.make_epoch(task, PLAN._replace(batch_size=5)) is not epoch


@pytest.mark.parametrize("batch_size", [0, 51])
def test_a_batch_size_that_the_training_set_does_not_allow_raises(task, batch_size):
    with pytest.raises(api.UserError, match=f"batch_size {batch_size} times accumulate 1 must be 1 to 50"):
        api.train(task, PLAN._replace(batch_size=batch_size))


def test_series_with_other_channels_raise(model):
    with pytest.raises(api.UserError, match=r"series must be \(n, length, 1\), got shape \(3, 20, 2\)"):
        api.predict(model, np.zeros((3, 20, 2)))


def test_a_test_set_without_labels_raises():
    with pytest.raises(api.UserError, match="a test set needs both x_test and y_test"):
        api.from_arrays(np.eye(4), [0, 1, 0, 1], np.eye(4))


def test_from_arrays_accepts_channels_first_arrays():
    x = np.random.default_rng(0).standard_normal((4, 2, 9))
    assert api.from_arrays(x, [0, 1, 0, 1], channels_first=True).x_train.shape == (4, 9, 2)


@pytest.mark.parametrize(
    "labels",
    [np.array(["up", "down"] * 2, object), np.array(["up", "down"] * 2, np.dtypes.StringDType())],
    ids=["column of pandas", "text of any width"],
)
def test_from_arrays_accepts_arrays_of_text(labels):
    data = api.from_arrays(np.eye(4), labels)
    assert data.classes == ("down", "up") and data.y_train.tolist() == [1, 0, 1, 0]


def test_from_arrays_refuses_labels_that_are_missing_and_a_list_of_unequal_series():
    with pytest.raises(api.UserError, match="y_train must contain numbers or text, got object"):
        api.from_arrays(np.eye(4), np.array(["up", None] * 2, object))
    with pytest.raises(api.UserError, match=r"^data: x_train must be one array, with NaN after the end of shorter"):
        api.from_arrays([[1.0, 2.0], [1.0]], [0, 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "adm"}, "optimizer must be one of 'adam', 'adamw', 'sgd', 'rmsprop', 'lion', got 'adm'"),
        ({"schedule": "step"}, "schedule must be one of 'cosine', 'linear', 'constant', 'plateau', got 'step'"),
        ({"keep": "lowest"}, "keep must be one of 'last', 'best', got 'lowest'"),
        ({"precision": "int8"}, "precision must be one of None, 'float32', 'bfloat16', 'float16', got 'int8'"),
        ({"evaluate_every": 0}, "evaluate_every must be at least 1, got 0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"watch": "validation"}, "watch 'validation' needs a validation set; with_validation adds one to the task"),
    ],
)
def test_unknown_values_of_a_plan_raise(task, change, message):
    with pytest.raises(api.UserError, match=message):
        api.train(task, PLAN._replace(**change))


def test_unknown_networks_and_augmentations_raise(task):
    with pytest.raises(api.UserError, match="there is no network 'fnc'; there are fcn, resnet, "):
        api.classification(api.load("gunpoint"), "fnc")
    with pytest.raises(api.UserError, match="there is no augmentation 'jiter'; there are slice, warp, jitter, scaling"):
        api.with_augment(task, {"jiter": 0.1})
