"""Pictures: PNG files with something on them, and class activation maps that add up to the logits."""

import io

import jax
import matplotlib.image
import numpy as np
import pytest

from training import tasks
from training.core.learner import Row
from training.data import datasets
from training.views import pictures

ROWS = [Row(1, 1e-3, 0.7, 0.5, None, None), Row(2, 1e-3, 0.6, 0.6, 0.65, 0.55), Row(3, 0.0, 0.5, 0.7, 0.6, 0.6)]


def _check(png):
    image = matplotlib.image.imread(io.BytesIO(png))
    assert image.shape[0] > 300 and image.shape[1] > 300
    # Ink, but not all of it.
    assert 0.01 < np.mean(image[..., :3].min(axis=-1) < 0.9) < 0.9
    return image


@pytest.fixture(scope="module")
def task():
    whole = tasks.classification(datasets.load("gunpoint"))
    return whole._replace(test=tasks.Examples(whole.test.x[:9], whole.test.y[:9]))


@pytest.fixture(scope="module")
def trees(task):
    return task.model.init(jax.random.key(0), (150, 1))


def test_learning_curves_with_and_without_a_test_set(task):
    whole = _check(pictures.learning_curves(ROWS, task))
    alone = _check(pictures.learning_curves([row._replace(test_loss=None, test_score=None) for row in ROWS], task))
    assert not np.array_equal(whole, alone)
    _check(pictures.learning_curves(ROWS[:1], task))


def test_learning_curves_say_that_the_test_set_is_not_for_choices(task, monkeypatch):
    """Where there is no validation set, which is what choices are made by."""
    figures = []
    monkeypatch.setattr(pictures, "png", lambda figure: figures.append(figure) or b"")
    pictures.learning_curves(ROWS, task)
    pictures.learning_curves([row._replace(validation_loss=0.7, validation_score=0.5) for row in ROWS], task)
    labels = [[text.get_text() for text in figure.axes[0].get_legend().get_texts()] for figure in figures]
    assert labels[0][:2] == ["training", "test (no validation set: do not choose by it)"]
    assert labels[1][:3] == ["training", "validation", "test"]


def test_confusion_matrix(task):
    right = _check(pictures.confusion_matrix(task.test.y, task.test.y, task.classes, "test"))
    wrong = _check(pictures.confusion_matrix(task.test.y, 1 - task.test.y, task.classes, "test"))
    assert not np.array_equal(right, wrong)
    many = np.arange(40)
    _check(pictures.confusion_matrix(many, many, [f"class {number}" for number in many], "training"))


def test_class_activation_maps_add_up_to_the_logits(task, trees):
    params, state = trees
    maps, logits = pictures.activation_maps(task, params, state, task.test.x)
    assert maps.shape == (9, 150, 2)
    np.testing.assert_allclose(maps.mean(axis=1) + params["dense"]["bias"], logits, atol=1e-5)
    _check(pictures.class_activation_map(task, params, state, task.test))


def test_class_activation_map_of_a_class_with_fewer_series_than_columns(task, trees):
    few = tasks.Examples(task.test.x[:2], task.test.y[:2])
    _check(pictures.class_activation_map(task, *trees, few))


def test_predictions():
    task = tasks.forecast(datasets.load("gunpoint"))
    _check(pictures.predictions(task, task.test, task.test.y + 0.1, "test"))
    _check(pictures.predictions(task, tasks.Examples(task.train.x[:1], task.train.y[:1]), task.train.y[:1], "training"))
    _check(pictures.learning_curves(ROWS, task))
