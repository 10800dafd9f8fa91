"""Series of variable length: padding has no effect, and each series is computed as if it were alone."""

import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest

from jconv import layers, reference, sequential
from tests.support import waves
from tests.support.sequences import with_nan_padding
from tests.support.settings import quick_jit
from training import fit, networks, tasks
from training.core import diverged, loop
from training.core.learner import init_learner
from training.core.plan import Plan
from training.data import datasets
from training.errors import UserError
from training.networks import variable_length
from training.proof import proof
from training.views import activation_maps

PLAN = Plan(epochs=2, batch_size=8, learning_rate=1e-2, seed=0, evaluate_every=1)
NORMALIZED = [
    layers.Conv1D(5, 4, padding="same"),
    layers.BatchNormalization(),
    layers.Activation("relu"),
    layers.GlobalAveragePooling1D(),
    layers.Dense(2),
]


def _data() -> datasets.Dataset:
    """Waves of 9 to 32 samples."""
    rng = np.random.default_rng(0)
    x, y = waves.series(rng, 30)
    lengths = rng.integers(9, 33, 30, dtype=np.int32)
    x = np.where(np.arange(32)[:, None] < lengths[:, None, None], x, 0)
    return datasets.Dataset("waves", x[:20], y[:20], x[20:], y[20:], ("slow", "fast"), lengths[:20], lengths[20:])


def _task(network: Any = NORMALIZED) -> Any:
    return tasks.classification(_data())._replace(model=sequential(network))


def _spoilt(task: Any) -> Any:
    """The task with NaN as padding."""
    parts = (part._replace(x=with_nan_padding(part.x, lengths=part.lengths)) for part in (task.train, task.test))
    return task._replace(**dict(zip(("train", "test"), parts, strict=True)))


def test_the_objective_equals_the_objective_of_single_series():
    net = [layers.Conv1D(4, 5, stride=2, padding="same", activation="tanh"), layers.MaxPooling1D(2, padding="same")]
    net += [layers.Conv1D(3, 3, padding="causal"), layers.GlobalAveragePooling1D(), layers.Dense(2)]
    task = _task(net)
    params, state = task.model.init(jax.random.key(1), (32, 1))
    exact = jax.tree.map(lambda p: np.random.default_rng(2).uniform(-1, 1, p.shape), params)
    x, y, lengths = task.train.at(slice(6))

    def alone(params, series):
        return task.model.reference(params, state, series[None], training=True)

    def loss(params):
        logits, _ = reference.one_by_one(partial(alone, params), x, lengths=lengths)
        return task.loss_reference(logits[:, 0], y)

    rng = np.random.default_rng(3)
    v = jax.tree.map(lambda p: rng.standard_normal(p.shape), exact)
    derivative = np.imag(loss(jax.tree.map(lambda p, d: p + 1e-30j * d, exact, v))) / 1e-30
    with jax.enable_x64(True):
        batch = jax.tree.map(jnp.asarray, _spoilt(task).train.at(slice(6)))
        run = quick_jit(jax.value_and_grad(lambda params: task.objective(params, state, batch)[0]))
        value, gradient = run(exact)
    assert float(value) == pytest.approx(loss(exact), rel=1e-14)
    assert sum(np.vdot(*pair) for pair in zip(*map(jax.tree.leaves, (gradient, v)), strict=True)) == pytest.approx(
        derivative, rel=1e-12
    )


def test_batch_normalization_is_over_all_samples_of_all_series():
    model = sequential([layers.BatchNormalization(), layers.GlobalAveragePooling1D()])
    params, state = model.init(jax.random.key(0), (4, 1))
    x = np.array([[1, 2, 3, 4.0], [5, 6, np.nan, np.nan]])[..., None]
    found = variable_length.reference(model, params, state, x, [4, 2])
    own = np.array([1, 2, 3, 4, 5, 6.0])
    expected = (np.array([2.5, 5.5]) - own.mean()) / np.sqrt(own.var() + 1e-3)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-14)


def test_padding_has_no_effect_on_the_fcn():
    data = _data()
    task: Any = tasks.classification(data, "fcn")
    found = []
    for one in (task, _spoilt(task)):
        learner = init_learner(one, PLAN, jnp.float32)
        step = quick_jit(loop.make_step(one, PLAN))
        after, values = step(learner, (loop.to_device(one.train, learner).at(slice(4)), jax.random.key(0)))
        few = one.test.at(slice(3))
        found.append((after, values, loop.make_evaluation(one)(*learner[:2], loop.to_device(few, learner))))
    waves.assert_same_bits(*found)
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(found))


def test_the_evaluation_equals_the_evaluation_of_single_series():
    task = _task()
    learner = init_learner(task, PLAN, jnp.float32)
    output, loss, _ = loop.make_evaluation(task)(*learner[:2], loop.to_device(_spoilt(task).test, learner))
    x, y, lengths = task.test
    rows = [task.model.reference(*learner[:2], one[None, :n])[0] for one, n in zip(x, lengths, strict=True)]
    np.testing.assert_allclose(output, rows, atol=1e-6)
    assert float(loss) == pytest.approx(float(task.loss_reference(np.array(rows), y)), rel=1e-5)


def test_the_proof_holds_and_an_error_in_the_loss_fails_it():
    task = _task()
    params, state = task.model.init(jax.random.key(0), (32, 1))
    found = proof.prove(task, params, state, seed=0)
    assert found.failures() == {} and len(found.layers) == 1
    wrong = task._replace(loss=lambda out, y: task.loss(out, y) * (1 + 1e-6))
    assert {"loss", "gradient of conv1d/kernel"} <= set(proof.prove(wrong, params, state, seed=0).failures())


def test_the_place_of_a_divergence_is_found():
    task = _task()
    plan = PLAN._replace(learning_rate=1e30)
    with pytest.raises(loop.Diverged) as caught:
        list(loop.train(task, plan, waves.start(task, plan)))
    found = diverged.locate(task, plan, caught.value, lambda max_epochs: waves.start(task, plan))
    assert "the first to go bad was the output of conv1d, up to " in found.message


def test_activation_maps_sum_over_samples_without_padding():
    task = _spoilt(_task())
    params, state = task.model.init(jax.random.key(0), (32, 1))
    x, _, lengths = task.test
    maps, logits = activation_maps.activation_maps(task, params, state, x, lengths)
    means = np.array([map_[:n].mean(0) for map_, n in zip(maps, lengths, strict=True)])
    np.testing.assert_allclose(means + np.asarray(params["dense"]["bias"]), logits, atol=1e-5)
    image = matplotlib.image.imread(io.BytesIO(activation_maps.class_activation_map(task, params, state, task.test)))
    assert 0.01 < np.mean(image[..., :3].min(axis=-1) < 0.9) < 0.9


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", [name for name, kind in networks.NETWORKS.items() if not kind.is_per_sample])
def test_networks_accept_series_of_variable_length(name):
    data = _data()
    if name != "mlp":
        assert tasks.classification(data, name).train.lengths is data.lengths_train
        return
    with pytest.raises(UserError) as caught:
        tasks.classification(data, name)
    assert str(caught.value) == (
        "waves: series have 9 to 32 samples, which the network does not accept: node 'flatten': Flatten takes no "
        "lengths or segment_ids: padding would become features"
    )


def test_windows_of_a_forecast_contain_no_padding():
    x = np.arange(240.0).reshape(2, 120, 1)
    found = tasks.windows(x, np.array([117, 90]))
    assert found.x.shape == (2, 100, 1) and found.x[:, 0, 0].tolist() == [0, 1]
    assert found.y[:, 0, -1].tolist() == [115, 116]
    with pytest.raises(UserError, match="at least 116 samples; these have up to 32"):
        tasks.forecast(_data())


def test_the_command_trains_on_series_of_variable_length(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = (f"{i % 2}," + ",".join(f"{np.sin(t * (0.4 + i % 2)):.3f}" for t in range(9 + i)) for i in range(8))
    Path("a.csv").write_text("\n".join(rows))
    assert fit.main(["--data", "a.csv", "--epochs", "1", "--skip-proof", "--out", "run"]) == 0
    assert "8 training and no test series of 9 to 16 samples, 1 channel, 2 classes" in capsys.readouterr().out
    assert json.loads(Path("run/config.json").read_text())["unequal_lengths"] is True
    assert Path("run/class_activation_map.png").exists()
