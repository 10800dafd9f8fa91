"""Pictures: PNG files that are not empty, and class activation maps whose sum gives the logits."""

import io

import jax
import matplotlib.image
import numpy as np
import pytest

from training import tasks
from training.core.learner import Row
from training.data import datasets
from training.tasks import metrics
from training.views import activation_maps, class_pictures, curves, predictions

ROWS = [Row(1, 1e-3, 0.7, 0.5, None, None), Row(2, 1e-3, 0.6, 0.6, 0.65, 0.55), Row(3, 0.0, 0.5, 0.7, 0.6, 0.6)]


def _check(png):
    image = matplotlib.image.imread(io.BytesIO(png))
    assert image.shape[0] > 300 and image.shape[1] > 300
    # Some of the picture is drawn, but not all of it.
    assert 0.01 < np.mean(image[..., :3].min(axis=-1) < 0.9) < 0.9
    return image


@pytest.fixture(scope="module")
def task():
    gunpoint = tasks.classification(datasets.load("gunpoint"))
    return gunpoint._replace(test=tasks.Examples(gunpoint.test.x[:9], gunpoint.test.y[:9]))


@pytest.fixture(scope="module")
def trees(task):
    return task.model.init(jax.random.key(0), (150, 1))


def test_learning_curves_with_and_without_a_test_set(task):
    both = _check(curves.learning_curves(ROWS, task))
    alone = _check(curves.learning_curves([row._replace(test_loss=None, test_score=None) for row in ROWS], task))
    assert not np.array_equal(both, alone)
    _check(curves.learning_curves(ROWS[:1], task))


def test_learning_curves_say_that_the_test_set_is_not_for_choices(task, monkeypatch):
    """Only if there is no validation set to choose by."""
    figures = []
    monkeypatch.setattr(curves, "png", lambda figure: figures.append(figure) or b"")
    curves.learning_curves(ROWS, task)
    curves.learning_curves([row._replace(validation_loss=0.7, validation_score=0.5) for row in ROWS], task)
    labels = [[text.get_text() for text in figure.axes[0].get_legend().get_texts()] for figure in figures]
    assert labels[0][:2] == ["training", "test (no validation set: do not choose by it)"]
    assert labels[1][:3] == ["training", "validation", "test"]


def test_learning_curves_are_smoothed_over_the_raw_values_and_mark_the_best_epoch(task, monkeypatch):
    figures = []
    monkeypatch.setattr(curves, "png", lambda figure: figures.append(figure) or b"")
    losses = np.random.default_rng(0).uniform(0.5, 1, 40)
    rows = [Row(n + 1, 1e-3 * (40 - n), loss, 0.5, None, None) for n, loss in enumerate(losses)]
    curves.learning_curves(rows, task, best=7, watched="training")
    loss, _, rate = figures[0].axes
    raw, smooth, best = loss.get_lines()
    np.testing.assert_array_equal(raw.get_ydata(), losses)
    # The mean of the value and its neighbors.
    np.testing.assert_allclose(smooth.get_ydata()[[0, 20]], [losses[0], losses[19:22].mean()])
    assert best.get_xdata()[0] == 7
    np.testing.assert_allclose(rate.get_lines()[0].get_ydata()[:2], [0.04, 0.039])
    for axes in figures[0].axes:
        assert "epoch 7: lowest training loss" in [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.parametrize("losses", [(2.14, 2.3), (0.002, 7.0)])
def test_losses_are_labeled_by_plain_numbers(task, losses, monkeypatch):
    """Labels like $2.28 \\times 10^0$ cover the axis."""
    figures = []
    monkeypatch.setattr(curves, "png", lambda figure: figures.append(figure) or b"")
    curves.learning_curves([Row(n, 1e-3, loss, 0.5, None, None) for n, loss in enumerate(losses, 1)], task)
    figures[0].draw_without_rendering()
    labels = [label.get_text() for label in figures[0].axes[0].get_yticklabels(which="both") if label.get_text()]
    assert 2 < len(labels) < 15 and all(str(float(label)) in (label, f"{label}.0") for label in labels)


def test_the_legend_of_calibration_covers_no_bar(monkeypatch):
    figures = []
    monkeypatch.setattr(class_pictures, "png", lambda figure: figures.append(figure) or b"")
    class_pictures.reliability_diagram(metrics.calibration(np.array([[0.3, 0.25, 0.45]] * 4), np.full(4, 2)), "test")
    assert [axes.get_legend() for axes in figures[0].axes] == [None, None]
    assert len(figures[0].legends[0].get_texts()) == 3


def test_the_reliability_diagram_is_drawn():
    labels = np.arange(100) % 2
    probabilities = np.stack([np.linspace(0, 1, 100), np.linspace(1, 0, 100)], -1)
    _check(class_pictures.reliability_diagram(metrics.calibration(probabilities, labels), "test"))


def test_calibration_is_the_mean_gap_between_probability_and_accuracy():
    """The predictions are right 5% less often than their probabilities say."""
    rng = np.random.default_rng(0)
    certain = rng.uniform(0.5, 1, 200_000)
    labels = (rng.uniform(size=certain.size) > certain - 0.05).astype(int)
    found = metrics.calibration(np.stack([certain, 1 - certain], -1), labels)
    assert found.error == pytest.approx(0.05, abs=3e-3) and sum(found.counts) == certain.size
    assert found.confidence - found.accuracy == pytest.approx(found.error, abs=1e-3)
    assert found.accuracies[0] is None and found.counts[:5] == [0] * 5


def test_chance_scores_are_the_scores_of_random_predictions():
    rng = np.random.default_rng(0)
    training, labels = np.repeat([0, 1, 2], [1000, 3000, 6000]), np.repeat([0, 1, 2], [40_000, 40_000, 20_000])
    random = rng.choice(training, labels.size)
    for one in metrics.class_scores(labels, random, training, ("a", "b", "c")):
        assert one.f1 == pytest.approx(one.chance_f1, abs=0.01)


def test_the_confusion_matrix_is_drawn(task):
    right = _check(class_pictures.confusion_matrix(task.test.y, task.test.y, task.classes, "test"))
    wrong = _check(class_pictures.confusion_matrix(task.test.y, 1 - task.test.y, task.classes, "test"))
    assert not np.array_equal(right, wrong)
    many = np.arange(40)
    _check(class_pictures.confusion_matrix(many, many, [f"class {number}" for number in many], "training"))


def test_class_activation_maps_add_up_to_the_logits(task, trees):
    params, state = trees
    maps, logits = activation_maps.activation_maps(task, params, state, task.test.x)
    assert maps.shape == (9, 150, 2)
    np.testing.assert_allclose(maps.mean(axis=1) + params["dense"]["bias"], logits, atol=1e-5)
    _check(activation_maps.class_activation_map(task, params, state, task.test))


def test_class_activation_map_of_a_class_with_fewer_series_than_columns(task, trees):
    few = tasks.Examples(task.test.x[:2], task.test.y[:2])
    _check(activation_maps.class_activation_map(task, *trees, few))


def test_class_activation_maps_have_all_classes_and_channels_and_a_unit(monkeypatch):
    figures = []
    monkeypatch.setattr(activation_maps, "png", lambda figure: figures.append(figure) or b"")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(27, 30, 3)), np.arange(27) % 9
    data = datasets.load("gunpoint")._replace(x_train=x, y_train=y, x_test=x, y_test=y, classes=tuple("abcdefghi"))
    task = tasks.classification(data)
    activation_maps.class_activation_map(task, *task.model.init(jax.random.key(0), (30, 3)), task.test)
    *panels, scale = figures[0].axes
    titles = [axes.get_title() for axes in panels if axes.get_title()]
    assert len(titles) == 18 and {title.split("true ")[1][0] for title in titles} == set("abcdefghi")
    assert all(", predicted " in title for title in titles)
    assert all(len(axes.get_lines()) == 3 for axes in panels)
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["1", "2", "3"]
    assert "logits" in scale.get_xlabel()


def test_pictures_of_forecasts():
    task = tasks.forecast(datasets.load("gunpoint"))
    _check(predictions.forecasts(task, task.test, task.test.y + 0.1, "test"))
    _check(
        predictions.forecasts(task, tasks.Examples(task.train.x[:1], task.train.y[:1]), task.train.y[:1], "training")
    )
    _check(curves.learning_curves(ROWS, task))
