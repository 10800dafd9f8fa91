"""Pictures of single series, and of embeddings."""

import io

import jax
import matplotlib.image
import numpy as np
import pytest

from jconv import sequential
from jconv.layers import Activation, Conv1D, Dense, GlobalAveragePooling1D
from training import tasks
from training.data import datasets
from training.views import embeddings, series_pictures


def _check(png):
    image = matplotlib.image.imread(io.BytesIO(png))
    assert image.shape[0] > 150 and image.shape[1] > 300
    assert 0.01 < np.mean(image[..., :3].min(axis=-1) < 0.9) < 0.9
    return image


@pytest.fixture(scope="module")
def task():
    gunpoint = tasks.classification(datasets.load("gunpoint"))
    model = sequential([Conv1D(3, 5), GlobalAveragePooling1D(), Dense(2), Activation("softmax")])
    return gunpoint._replace(model=model, test=tasks.Examples(gunpoint.test.x[:30], gunpoint.test.y[:30]))


@pytest.fixture(scope="module")
def trees(task):
    return task.model.init(jax.random.key(0), (150, 1))


def test_pictures_of_misclassified_series(task):
    right = np.eye(2)[task.test.y]
    one, all_wrong = right.copy(), 1 - right
    one[4] = 1 - right[4]
    few = _check(series_pictures.misclassified(task.train, task.classes, "test", task.test, one))
    named = task._replace(classes=("_a", "$b$" * 9))
    assert (
        _check(series_pictures.misclassified(named.train, named.classes, "test", named.test, all_wrong)).shape[0]
        > 2 * few.shape[0]
    )


def test_the_most_wrong_come_first(task):
    output = np.eye(2)[task.test.y]
    output[[3, 8, 20]] = (1 - output[[3, 8, 20]]) * np.array([[1.0], [3.0], [2.0]])
    assert series_pictures.most_wrong(output, task.test.y).tolist() == [8, 20, 3]


def test_embeddings_are_the_input_of_the_last_layer_with_params(task, trees):
    params, state = trees
    found = embeddings.embed(task, params, state, task.test)
    values, _ = task.model.values(params, state, task.test.x.astype(np.float32))
    np.testing.assert_allclose(found, values["global_average_pooling1d"], rtol=1e-5, atol=1e-6)


def test_embeddings_with_a_length_are_means_and_a_layer_may_read_the_input(task):
    alone = task._replace(model=sequential([Conv1D(2, 150)]))
    found = embeddings.embed(alone, *alone.model.init(jax.random.key(0), (150, 1)), task.test)
    np.testing.assert_allclose(found, task.test.x.mean(axis=1), atol=1e-6)


def test_series_of_variable_length_are_shown_without_padding(task, trees):
    model = sequential([Conv1D(3, 5), Activation("relu"), Conv1D(2, 1), GlobalAveragePooling1D()])
    for own in (task, task._replace(model=model)):
        params, state = own.model.init(jax.random.key(0), (150, 1))
        lengths = np.where(np.arange(30) % 2, 150, 90)
        alone = embeddings.embed(own, params, state, tasks.Examples(task.test.x[:, :90], task.test.y))
        found = embeddings.embed(own, params, state, task.test._replace(lengths=lengths))
        np.testing.assert_allclose(found[::2], alone[::2], rtol=1e-4, atol=1e-5)
    mean = series_pictures._mean(tasks.Examples(task.test.x, task.test.y, lengths))
    np.testing.assert_allclose(mean[100:], task.test.x[1::2, 100:, 0].mean(axis=0))
    ragged = task._replace(
        train=task.train._replace(lengths=np.full(50, 120)), test=task.test._replace(lengths=lengths)
    )
    _check(series_pictures.misclassified(ragged.train, ragged.classes, "test", ragged.test, np.eye(2)[1 - task.test.y]))


@pytest.mark.parametrize("classes", [2, 12, 25])
def test_the_picture_of_embeddings(classes):
    rng = np.random.default_rng(0)
    points = {"training": rng.normal(size=(40, 5)), "test": rng.normal(size=(7, 5))}
    labels = {part: np.arange(len(own)) % classes for part, own in points.items()}
    names = [f"_class {number}" for number in range(classes)]
    without = _check(series_pictures.embeddings(points, labels, names))
    points["validation"], labels["validation"] = 3 + points["test"], labels["test"]
    assert not np.array_equal(_check(series_pictures.embeddings(points, labels, names)), without)
    _check(series_pictures.embeddings({"training": np.ones((3, 1))}, {"training": np.arange(3) % 2}, names))


def test_embeddings_name_their_axes_and_classes_differ_in_color_or_mark(monkeypatch):
    figures = []
    monkeypatch.setattr(series_pictures, "png", lambda figure: figures.append(figure) or b"")
    points, labels = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 20
    both = {"training": points, "test": points + 1}
    series_pictures.embeddings(both, dict.fromkeys(both, labels), [str(number) for number in range(20)])
    (axes,) = figures[0].axes
    assert axes.get_xlabel().startswith("first principal component (")
    assert axes.get_ylabel().startswith("second principal component (")
    looks = [(line.get_color(), line.get_marker(), line.get_fillstyle()) for line in axes.get_lines()]
    assert len(looks) == len(set(looks)) == 40


def test_the_plane_has_the_largest_variance():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(200, 4)) * [1e-2, 3.0, 1e-2, 2.0]
    center, axes, shares = embeddings.plane(points)
    np.testing.assert_allclose(center, points.mean(axis=0))
    np.testing.assert_allclose(np.abs(axes), np.eye(4)[[1, 3]], atol=0.1)
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-12)
    assert shares[0] > shares[1] > 0.2 and shares.sum() == pytest.approx(1, abs=1e-4)
