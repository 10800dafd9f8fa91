"""Networks with an output for each sample: denoising and segmentation."""

import importlib
import io
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.image
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
from training.views import sample_pictures


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def narrow(monkeypatch):
    """The U-Net with two levels of few filters."""
    monkeypatch.setattr(importlib.import_module("training.networks.unet"), "FILTERS", (3, 4))


def _small(outputs):
    first = layers.Conv1D(8, 5, padding="same", activation="relu")
    return sequential([first, layers.Conv1D(outputs, 5, padding="same")])


def _bursts(variable_length=False, test=True):
    """Series that are quiet, and loud in their middle, with the label of each sample."""
    rng, at = np.random.default_rng(0), np.arange(24)
    begin = rng.integers(4, 10, (12, 1))
    y = ((at >= begin) & (at < begin + 9)).astype(int)
    x = np.sin(at * 1.3 + begin) * np.where(y, 2.0, 0.2)
    if variable_length:
        x = np.where(at < np.where(np.arange(12) % 2, 24, 16)[:, None], x, np.nan)
    words = np.where(y, "loud", "quiet")
    arrays = {"x_train": x[:8], "y_train": words[:8]} | ({"x_test": x[8:], "y_test": words[8:]} if test else {})
    np.savez("a.npz", **arrays)
    return datasets.load("a.npz")


def _trained(task, epochs=60):
    plan = Plan(epochs=epochs, batch_size=4, learning_rate=2e-2, seed=0, evaluate_every=epochs)
    *_, (learner, rows) = loop.train(task, plan, Progress(init_learner(task, plan, jnp.float32), ()))
    return learner, rows[-1]


def test_labels_of_samples_are_read():
    data = _bursts()
    assert data.has_sample_labels and data.classes == ("loud", "quiet") and data.y_train.shape == (8, 24)
    assert data.targets_train is None and not data.has_fractional_labels
    with np.load("a.npz") as file:
        np.testing.assert_array_equal(data.y_test == 0, file["y_test"] == "loud")
    data = _bursts(variable_length=True)
    assert data.lengths_train.tolist() == [16, 24] * 4 and (data.y_train[0, 16:] == 0).all()


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (
            np.zeros((3, 4), int),
            "y_train must be (n,), one label per series, or (3, 5), one label per sample, got shape (3, 4)",
        ),
        (np.full((3, 5), 0.5), "y_train has one label per sample, which must be a class: a whole number or text"),
        (np.full((3, 5), np.nan), "y_train must contain finite numbers or text, got nan"),
    ],
)
def test_invalid_labels_of_samples_raise(y, words):
    np.savez("a.npz", x_train=np.arange(15.0).reshape(3, 5), y_train=y)
    with pytest.raises(UserError) as caught:
        datasets.load("a.npz")
    assert str(caught.value) == f"a.npz: {words}"


def test_segments_are_proved_and_learned():
    task = tasks.segment(_bursts(variable_length=True), _small(2))
    params, state = task.model.init(jax.random.key(0), (24, 1))
    assert proof.prove(task, params, state, seed=0).failures() == {}
    own = datasets.sample_mask(task.test.x, task.test.lengths)
    assert task.baseline[1] == np.mean(task.test.y[own] == 1) and task.baseline_of == "score"
    learner, row = _trained(task)
    assert row.test_score > max(0.85, task.baseline[1])
    # The score counts the samples of the series and no others.
    output = loop.make_evaluation(task)(learner.params, learner.state, loop.to_device(task.test, learner))[0]
    assert row.test_score == pytest.approx(np.mean(np.asarray(output).argmax(-1)[own] == task.test.y[own]))
    _check(sample_pictures.segmented(task, task.test, np.asarray(output), "test"))


def _check(png):
    image = matplotlib.image.imread(io.BytesIO(png))
    assert 0.01 < np.mean(image[..., :3].min(axis=-1) < 0.9) < 0.9


def test_denoising_is_proved_and_learned():
    task = tasks.denoise(_bursts(variable_length=True), _small(1), noise=1.0)
    params, state = task.model.init(jax.random.key(0), (24, 1))
    assert proof.prove(task, params, state, seed=0).failures() == {}
    # The noise is the same in each run, has the given deviation, and is zero in the padding.
    own = datasets.sample_mask(task.train.x, task.train.lengths)
    added = (task.train.x - task.train.y)[own]
    assert added.std() == pytest.approx(1.0, rel=0.2) and (task.train.x[~own] == 0).all()
    np.testing.assert_array_equal(
        task.train.x, tasks.denoise(_bursts(variable_length=True), _small(1), noise=1.0).train.x
    )
    assert task.baseline[0] == pytest.approx(np.mean(added**2))
    # In training the noise is drawn from the key.
    batch = jax.tree.map(jnp.asarray, task.train.at(slice(4)))
    one, other = (task.transformed(batch, jax.random.key(number))[0] for number in (0, 1))
    assert np.abs(one.x - other.x).max() > 0.5 and one.y is batch.y
    learner, row = _trained(task)
    assert row.test_loss < 0.6 * task.baseline[1]
    output = loop.make_evaluation(task)(learner.params, learner.state, loop.to_device(task.test, learner))[0]
    _check(sample_pictures.denoised(task.test, np.asarray(output), "test"))


@pytest.mark.slow
@pytest.mark.usefixtures("narrow")
def test_the_unet_is_proved():
    task = tasks.segment(_bursts(variable_length=True))
    params, state = task.model.init(jax.random.key(0), (24, 1))
    assert proof.prove(task, params, state, seed=0).failures() == {}


@pytest.mark.usefixtures("narrow")
def test_lengths_that_the_unet_cannot_halve_are_one_line():
    data = _bursts(variable_length=True)
    assert tasks.segment(data).train.lengths.tolist() == [16, 24] * 4
    with pytest.raises(UserError, match=r"^a: series have 15 to 24 samples, which the network does not accept: node '"):
        tasks.segment(data._replace(lengths_train=data.lengths_train - (data.lengths_train == 16)))


@pytest.mark.default_cases(1)
@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("task", ["denoise", "segment"])
def test_the_command_learns_an_output_for_each_sample(task, capsys):
    _bursts()
    assert fit.main(["--data", "a.npz", "--task", task, "--epochs", "1", "--skip-proof", "--out", "run"]) == 0
    printed = capsys.readouterr().out
    results = json.loads(Path("run/results.json").read_text())
    names = {path.name for path in Path("run").iterdir()}
    page = Path("run/report.html").read_text()
    if task == "segment":
        assert "most frequent class, accuracy" in printed and "mean overlap (IoU)" in printed
        assert {"loss", "score", "mean_overlap", "classes", "calibration"} == set(results["test"]) and len(
            results["baseline"]["scores"]
        ) == 2
        assert {"segments.png", "confusion_matrix.png"} < names and "Segments" in page
    else:
        assert "noisy series itself, loss" in printed and len(results["baseline"]["losses"]) == 2
        assert "denoised.png" in names and "Denoised series" in page


def test_labels_of_samples_are_no_labels_of_series():
    _bursts()
    with pytest.raises(UserError) as caught:
        tasks.classification(datasets.load("a.npz"))
    assert str(caught.value) == "a: each sample has a label; --task segment learns them"
