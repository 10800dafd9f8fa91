"""`python -m training.fit --model FILE`: the gradients of a Keras network are proved, and it is trained further."""

import json
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers as kl

import jconv.keras
from training import fit
from training.commands import finetune, from_options
from training.core import loop
from training.core.learner import Progress, init_learner
from training.core.plan import Plan
from training.data import datasets, scaling
from training.errors import UserError
from training.options.options import parse
from training.proof import proof
from training.run import run_folder

pytestmark = pytest.mark.usefixtures("quick_weights")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _series(name="a.npz", n=12, length=20):
    """A file of slow and fast waves of two channels."""
    y = np.arange(n) % 2
    x = np.sin(np.arange(length) * np.where(y, 1.5, 0.5)[:, None] + np.arange(n)[:, None])
    np.savez(name, x_train=np.stack([x, x**2], -1), y_train=np.where(y, "fast", "slow"))
    return name


def _network(*last, rate=0.0, shape=(20, 2), **options):
    x = keras.Input(shape, **options)
    h = kl.BatchNormalization()(kl.Conv1D(3, 5, use_bias=False, padding="same", kernel_regularizer="l2")(x))
    y = kl.Dropout(rate)(kl.Activation("tanh")(h))
    for layer in last or (kl.GlobalAveragePooling1D(), kl.Dense(2, activation="softmax")):
        y = layer(y)
    return keras.Model(x, y)


def _saved(model, name="some.keras"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(name)
    return name


def _names(folder):
    return {path.name for path in Path(folder).iterdir()}


def test_a_network_is_trained_further_with_its_optimizer(capsys):
    model = _network(rate=0.3)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    for _ in range(3):
        model.train_on_batch(np.random.default_rng(0).standard_normal((4, 20, 2)), np.array([0, 1, 1, 0]))
    assert fit.main(["--model", _saved(model), "--data", _series(), "--epochs", "2", "--batch-size", "4"]) == 0
    folder = Path("runs/a-some-0")
    pictures = {"learning_curves.png", "confusion_matrix.png", "class_activation_map.png"}
    assert _names(folder) - {"misclassified.png"} == pictures | {
        "calibration.png",
        "checkpoints",
        "embeddings.png",
        "report.html",
        "results.json",
        "config.json",
        "metrics.csv",
        "params.npz",
        "model.keras",
        "gradients.json",
    }
    output = capsys.readouterr().out
    assert "model      some.keras, 44 parameters" in output
    words = "start      its weights; Adam after 3 steps, learning rate 0.01; penalties on 1 array; its loss "
    assert f"{words}SparseCategoricalCrossentropy\n" in output
    assert json.loads((folder / "gradients.json").read_text())["passed"]
    config = json.loads((folder / "config.json").read_text())
    assert config["learning_rate"] == pytest.approx(0.01) and config["start"].startswith("its weights; Adam")
    # Keras loads the saved model, which computes the same as the saved params.
    params, state = run_folder.read_params(folder)
    x = np.random.default_rng(1).standard_normal((3, 20, 2)).astype("float32")
    expected = finetune.pretrained.load(str(folder / "model.keras"), None)[0].reference(params, state, x)
    theirs = keras.models.load_model(folder / "model.keras")
    np.testing.assert_allclose(np.asarray(theirs(x)), expected, atol=1e-6)
    # Its optimizer has continued: two epochs of three batches after three steps.
    assert int(theirs.optimizer.iterations) == 9 and theirs.loss is not None
    assert theirs.layers[1].kernel_regularizer is not None


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", ["some.keras", "some.h5"])
def test_a_step_equals_the_step_of_keras(name):
    data = datasets.load(_series())
    model = _network()
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    x, y = np.float32(scaling.standardize(data)[0].x_train), data.y_train
    model.train_on_batch(x, y)
    task = finetune.task(_saved(model, name), data, None, True)
    plan = Plan(epochs=1, batch_size=len(x), learning_rate=0.1, seed=0, evaluate_every=1)
    learner, (row,) = next(loop.train(task, plan, Progress(init_learner(task, plan, np.float32), ())))
    loss = model.train_on_batch(x, y)
    _, params, state = jconv.keras.load(_saved(model, name))
    assert row.train_loss == pytest.approx(float(np.asarray(loss)), rel=1e-5)
    assert row.learning_rate == pytest.approx(0.1)
    for ours, theirs in ((learner.params, params), (learner.state, state)):
        for key, arrays in theirs.items():
            for array in arrays:
                np.testing.assert_allclose(ours[key][array], arrays[array], atol=1e-6)


def test_a_network_that_was_not_compiled_is_trained_to_forecast(capsys):
    model = _network(kl.Conv1D(16, 100), shape=(None, 2))
    # The network of the file accepts any length, so the data determines it.
    arguments = ["--data", _series(n=4, length=118), "--epochs", "1", "--skip-proof", "--out", "run"]
    assert fit.main(["--model", _saved(model), *arguments]) == 2
    assert "for one series is (19, 16); a has 2 classes" in capsys.readouterr().err
    model = _network(kl.Conv1D(16, 100), shape=(100, 2))
    assert fit.main(["--model", _saved(model), *arguments, "--learning-rate", "0.005"]) == 0
    output = capsys.readouterr().out
    assert "start      its weights; not compiled; new optimizer adam" in output
    assert {"model.keras", "predictions.png"} <= _names("run")
    assert json.loads(Path("run/config.json").read_text())["learning_rate"] == 0.005


def test_the_learning_rate_of_the_optimizer_of_the_file_can_be_replaced():
    model = _network(kl.Flatten(), kl.Dense(2))
    model.compile(keras.optimizers.SGD(0.5), "mse")
    task = finetune.task(_saved(model), datasets.load(_series()), 0.25, True)
    assert task.pretrained.training.schedule(0) == 0.25
    # The loss of the file, for outputs of one number per class.
    assert float(task.loss(np.array([[0.5, 1.0]], "float32"), np.array([1]))) == pytest.approx(0.125)
    assert not fit.main(["--model", "some.keras", "--data", "a.npz", "--epochs", "1", "--skip-proof", "--out", "run"])
    assert "class_activation_map.png" not in _names("run")


def _in_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return _network()
    finally:
        keras.config.set_dtype_policy("float32")


def _two_outputs():
    x = keras.Input((20, 2))
    return keras.Model(x, [kl.Flatten()(x), kl.GlobalAveragePooling1D()(x)])


@pytest.mark.slow
def test_series_of_variable_length(capsys):
    rows = (f"{i % 2}," + ",".join(f"{np.sin(t * (0.4 + i % 2)):.3f}" for t in range(12 + i)) for i in range(8))
    Path("b.csv").write_text("\n".join(rows))
    arguments = ["--data", "b.csv", "--epochs", "1", "--out", "run", "--model"]
    head = kl.GlobalAveragePooling1D()
    model = _network(head, kl.Dense(2, activation="softmax"), shape=(None, 1))
    assert fit.main([*arguments, _saved(model)]) == 0
    assert json.loads(Path("run/gradients.json").read_text())["passed"]
    assert keras.models.load_model("run/model.keras").input_shape == (None, None, 1)
    for name, other, words in (
        ("penalty.keras", _network(head, kl.Dense(2, activity_regularizer="l2"), shape=(None, 1)), "has penalties on"),
        ("flat.keras", _network(kl.Flatten(), kl.Dense(2), shape=(19, 1)), "Flatten takes no lengths"),
        ("short.keras", _network(kl.Conv1D(2, 13), head, shape=(None, 1)), "the network does not accept: node 'conv1d"),
    ):
        keras.backend.clear_session()
        capsys.readouterr()
        assert fit.main([*arguments, _saved(other, name), "--overwrite"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("fit: ") and words in line


MISTAKES = {
    "classes": (
        lambda: _network(kl.Flatten(), kl.Dense(3)),
        "some.keras: its output for one series is (3,); a has 2 classes, so it must be (2,), or (1, 16) for a forecast",
    ),
    "length": (
        lambda: _network(shape=(30, 2)),
        "some.keras: its input is (30, 2), samples and channels, and the series are (20, 2)",
    ),
    "activation": (
        lambda: _network(kl.Flatten(), kl.Dense(2, activation="sigmoid", name="last")),
        "some.keras: its last layer, 'last', has the activation sigmoid; it must be softmax or none",
    ),
    "outputs": (_two_outputs, "some.keras: has 1 inputs and 2 outputs, not one of each"),
    "bfloat16": (
        _in_bfloat16,
        "some.keras: 'conv1d' computes in bfloat16, whose rounding errors exceed the bound of the gradient proof; "
        "--skip-proof trains without it",
    ),
}


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("name", MISTAKES)
def test_a_network_that_does_not_fit_is_one_line_and_exit_code_2(name, capsys):
    make, message = MISTAKES[name]
    keras.backend.clear_session()
    _saved(make())
    assert fit.main(["--model", "some.keras", "--data", _series()]) == 2
    assert capsys.readouterr().err == f"fit: {message}\n"
    assert _names(".") == {"some.keras", "a.npz"}


def test_an_unsupported_optimizer_is_replaced_with_a_message(capsys):
    model = _network(kl.GlobalAveragePooling1D(), kl.Dense(2, activation="sigmoid", kernel_constraint="non_neg"))
    model.compile("adamax", "binary_crossentropy")
    arguments = ["--data", _series(), "--epochs", "1", "--skip-proof", "--out", "run"]
    assert fit.main(["--model", _saved(model), *arguments]) == 0
    output = [line for line in capsys.readouterr().out.splitlines() if line.startswith("start ")]
    known = "SGD, Adam, AdamW, RMSprop, Adagrad, Lion"
    assert output == [
        f"start      its weights; optimizer: the optimizer 'Adamax' is not supported; supported are {known}; new "
        "optimizer adam; penalties on 1 array; its loss BinaryCrossentropy"
    ]
    params, _ = run_folder.read_params(Path("run"))
    assert np.all(params[model.layers[-1].name]["kernel"] >= 0)
    assert not keras.models.load_model("run/model.keras").compiled


def test_an_optimizer_and_a_loss_of_the_command_line_replace_the_file(capsys):
    model = _network(kl.GlobalAveragePooling1D(), kl.Dense(2, activity_regularizer="l2"))
    model.compile("adam", keras.losses.Hinge())
    arguments = ["--data", _series(), "--epochs", "1", "--out", "run"]
    command = ["--model", _saved(model), *arguments, "--optimizer", "lion", "--loss"]
    assert fit.main([*command, "squared-error"]) == 2
    assert (
        capsys.readouterr().err == "fit: --loss squared-error is for targets that are numbers, and these are classes\n"
    )
    assert fit.main([*command, "cross-entropy"]) == 0
    captured = capsys.readouterr().out
    assert "start      its weights; new optimizer lion; penalties on 1 array and 1 output\n" in captured
    config = json.loads(Path("run/config.json").read_text())
    assert (config["optimizer"], config["learning_rate"]) == ("lion", 0.001)
    assert json.loads(Path("run/gradients.json").read_text())["passed"]


def test_a_loss_that_does_not_fit_is_one_line_and_exit_code_2(capsys):
    model = _network(kl.Conv1D(16, 100), shape=(100, 2))
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert fit.main(["--model", _saved(model), "--data", _series(n=4, length=118), "--out", "run"]) == 2
    fits = "target must be class indices of shape (2, 1), got (2, 1, 16)"
    message = f"fit: some.keras: its loss does not fit the data: {fits}; --loss replaces it\n"
    assert capsys.readouterr().err == message


class OwnLoss(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return y_pred


def test_an_unsupported_loss_is_replaced_with_a_message():
    model = _network(kl.Flatten(), kl.Dense(2))
    model.compile("sgd", OwnLoss())
    task = finetune.task(_saved(model), datasets.load(_series()), None, True)
    assert task.pretrained.description.endswith(
        "'OwnLoss' is not part of Keras, and is not imported, so cross-entropy is minimized"
    )
    assert task.loss.__name__ == "cross_entropy"


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("loss", ["mse", "categorical_crossentropy", keras.losses.SquaredHinge()])
def test_the_loss_of_the_file_is_proved_and_equals_the_loss_of_keras(loss):
    data = datasets.load(_series())
    model = _network(kl.Flatten(), kl.Dense(2, activation="softmax", activity_regularizer="l1"))
    model.compile("sgd", loss)
    task = finetune.task(_saved(model), data, None, True)
    plan = Plan(epochs=1, batch_size=len(data.x_train), learning_rate=0.1, seed=0, evaluate_every=1)
    learner = init_learner(task, plan, np.float32)
    assert not proof.prove(task, learner.params, learner.state, 0).failures()
    x, y = np.float32(task.train.x), np.eye(2, dtype="float32")[data.y_train]
    want = float(np.asarray(model.train_on_batch(x, y)))
    value, _ = task.objective(learner.params, learner.state, task.train._replace(x=x))
    assert float(value) == pytest.approx(want, rel=1e-5)


def test_a_file_that_is_not_a_model_is_an_error(capsys):
    assert fit.main(["--model", "none.keras", "--data", _series()]) == 2
    assert capsys.readouterr().err == "fit: none.keras: cannot be read: No such file or directory\n"
    Path("some.h5").write_bytes(b"no model")
    assert fit.main(["--model", "some.h5", "--data", "a.npz"]) == 2
    assert capsys.readouterr().err.startswith(
        "fit: some.h5: some.h5 is neither a .keras archive, an HDF5 file nor a JSON file"
    )


def test_dropout_and_noise_are_removed_for_the_proof():
    model = jconv.sequential([jconv.layers.Frozen(jconv.layers.Dropout(0.5)), jconv.layers.GaussianNoise(0.1)])
    assert [str(node.layer).count("0.5") for node in finetune.pretrained.without_randomness(model).nodes] == [0, 0]


def test_options_that_cannot_change_the_optimizer_of_the_file():
    model = _network()
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    arguments = ["--model", _saved(model), "--data", _series()]

    def plan(*more):
        options = parse([*arguments, *more])
        return from_options.plan_for(options, from_options.task_for(options, datasets.load(options.data)))

    for option, value in (
        ("clip", "1"),
        ("warm-up", "1"),
        ("schedule", "linear"),
        ("weight-decay", "0"),
        ("ema", "0.9"),
    ):
        message = f"^--{option} cannot change the optimizer of some.keras, which continues; --optimizer replaces it$"
        with pytest.raises(UserError, match=message):
            plan(f"--{option}", value)
    with pytest.raises(UserError, match=r"^--label-smoothing is .*; --loss cross-entropy replaces it$"):
        plan("--label-smoothing", "0.1")
    found = plan("--accumulate", "2", "--precision", "bfloat16", "--early-stopping", "3")
    assert (found.accumulate, found.precision, found.early_stopping, found.keep) == (2, "bfloat16", 3, "best")
    afresh = ["--optimizer", "lion", "--loss", "cross-entropy", "--label-smoothing", "0.1"]
    found = plan(*afresh, "--clip", "2", "--schedule", "plateau", "--ema", "0.9")
    assert (found.clip, found.schedule, found.ema, found.weight_decay) == (2, "plateau", 0.9, 1e-3)


def test_a_network_with_an_output_for_each_sample_denoises():
    data = datasets.load(_series())
    path = _saved(_network(kl.Conv1D(2, 3, padding="same")))
    task = finetune.task(path, data, None, True, kind="denoise", task_options={"denoise": {"noise": 0.2}})
    assert task.train.x.shape == task.train.y.shape == (12, 20, 2) and task.is_per_sample and task.pretrained
    with pytest.raises(finetune.UserError) as caught:
        finetune.task(_saved(_network(kl.Conv1D(3, 3, padding="same"))), data, None, True, kind="denoise")
    assert str(caught.value) == "some.keras: its output for one series is (20, 3); to denoise it must be (20, 2)"


def test_a_forecast_by_the_task_option():
    data = datasets.load(_series(length=30))
    path, own = _saved(_network(kl.Flatten(), kl.Dense(3))), {"forecast": {"window": 20, "horizon": 3}}
    task = finetune.task(path, data, None, True, kind="forecast", task_options=own)
    assert task.train.x.shape[1:] == (20, 2) and task.train.y.shape[1:] == (3,)
