"""Ensembles: each model equals the model of a separate run, and the output is the mean."""

import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconv import layers, sequential
from tests.support import waves
from training import fit, tasks
from training.commands import from_options
from training.core import diverged, ensemble, loop
from training.core.learner import final_learner, init_learner
from training.core.plan import Plan, member_plans
from training.data.datasets import from_arrays, load
from training.errors import UserError
from training.options.options import parse
from training.run import run_folder

PLAN = Plan(3, 10, 1e-2, seed=1, evaluate_every=3, keep="best", schedule="plateau", members=3)
RUN = ["--data", "a.npz", "--model", "two-layer", "--skip-proof", "--checkpoint-every", "1", "--members", "2"]
RUN += ["--epochs", "4", "--batch-size", "4"]


@pytest.fixture(scope="module")
def task():
    """Without the bias before batch normalization: its gradient is only rounding error, and Adam would step by it."""
    model = sequential(
        [
            layers.Conv1D(6, 8, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(2),
        ]
    )
    return waves.task()._replace(model=model)


def _run(task, plan, dtype=jnp.float64):
    progress = waves.start(task, plan, dtype)
    for after in loop.train(task, plan, progress):
        progress = after
    return progress


@pytest.mark.slow
def test_each_model_equals_a_separate_run(task):
    with jax.enable_x64(True):
        several, rows = _run(task, PLAN)
        runs = [_run(task, own) for own in member_plans(PLAN)]
        for epoch, row in enumerate(rows):
            losses = [own[epoch].train_loss for _, own in runs]
            assert len(set(losses)) == 3
            assert row.train_loss == pytest.approx(np.mean(losses), rel=1e-10)
        examples = loop.to_device(task.test, several)
        evaluate = loop.make_evaluation(task)
        outputs = [evaluate(*final_learner(learner)[:2], examples)[0] for learner, _ in runs]
        for number, output in enumerate(outputs):
            own = ensemble.select_member(several, number)
            np.testing.assert_allclose(evaluate(*final_learner(own)[:2], examples)[0], output, rtol=0, atol=1e-10)
            for a, b in zip(jax.tree.leaves(own), jax.tree.leaves(runs[number].learner), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)
        mean = np.mean([jax.nn.softmax(output) for output in outputs], 0)
    assert rows[-1].test_loss == pytest.approx(-np.log(mean[np.arange(30), task.test.y]).mean(), rel=1e-10)
    assert rows[-1].test_score == np.mean(mean.argmax(-1) == task.test.y)


def test_models_are_initialized_like_the_runs_of_their_seeds(task):
    assert [own.seed for own in member_plans(PLAN)] == [3, 4, 5]
    several = init_learner(task, PLAN, jnp.float32)
    for number, own in enumerate(member_plans(PLAN)):
        waves.assert_same_bits(ensemble.select_member(several, number), init_learner(task, own, jnp.float32))


def test_the_output_is_the_mean_of_the_models():
    outputs = np.random.default_rng(0).standard_normal((3, 5, 2))
    found = jax.nn.softmax(ensemble.combine_outputs(jnp.asarray(outputs), True))
    np.testing.assert_allclose(found, jax.nn.softmax(outputs).mean(0), rtol=1e-6)
    found = ensemble.combine_outputs(jnp.asarray(outputs), False)
    np.testing.assert_allclose(found, outputs.mean(0), rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_a_resumed_ensemble_has_the_same_bits(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    x = np.sin(np.arange(118) * np.array([0.3, 0.5, 0.7])[:, None])[..., None]
    np.savez("a.npz", x_train=x, y_train=np.arange(3) % 2, x_test=x[:2], y_test=np.arange(2))
    assert fit.main([*RUN, "--out", "uninterrupted"]) == 0
    out = capsys.readouterr().out
    assert "two-layer, 2 members" in out and "absolute error of member 2" in out
    with monkeypatch.context() as patch:
        waves.stop(patch, signal.SIGTERM, 2)
        assert fit.main([*RUN, "--out", "stopped"]) == 143
    assert fit.main([*RUN, "--out", "stopped", "--resume"]) == 0
    for name in ("params.npz", "metrics.csv"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "uninterrupted" / name).read_bytes()
    params, _ = run_folder.read_params(tmp_path / "uninterrupted")
    assert all(array.shape[0] == 2 for own in params.values() for array in own.values())
    results = json.loads((tmp_path / "uninterrupted" / "results.json").read_text())
    assert [set(own) for own in results["test"]["members"]] == [{"loss", "score"}] * 2
    # The error of the mean of two forecasts is at most the mean of their errors.
    assert results["test"]["loss"] <= np.mean([own["loss"] for own in results["test"]["members"]])
    assert "absolute error of member 2" in (tmp_path / "uninterrupted" / "report.html").read_text()
    capsys.readouterr()
    assert fit.main([*RUN[:-6], *RUN[-4:], "--out", "stopped", "--resume"]) == 2
    assert "--members 2" in capsys.readouterr().err


def test_the_divergence_of_one_model_is_located(task):
    plan = PLAN._replace(learning_rate=1e30, keep="last", members=2)
    start = waves.start(task, plan)
    with pytest.raises(loop.Diverged) as bad:
        next(loop.train(task, plan, start))
    found = diverged.locate(task, plan, bad.value, lambda max_epochs: waves.start(task, plan))
    assert "the first to go bad was" in found.message
    assert jax.tree.map(jnp.shape, found.learner) == jax.tree.map(jnp.shape, waves.start(task, plan).learner)
    assert all(np.isfinite(array).all() for array in jax.tree.leaves(found.learner.params))


def test_a_network_from_a_file_cannot_be_an_ensemble(tmp_path):
    file = tmp_path / "some.keras"
    file.touch()
    options = parse(["--model", str(file), "--members", "5"])
    with pytest.raises(UserError, match=r"^--members 5 needs a network by name, got the file .*some\.keras$"):
        from_options.task_for(options, load("gunpoint"))


def test_loss_and_score_of_an_ensemble_leave_out_padding():
    x = np.where(np.arange(9) < np.array([[9], [4], [7]]), np.random.default_rng(0).standard_normal((3, 9)), np.nan)
    data = from_arrays(x, np.arange(27).reshape(3, 9) % 2)
    task = tasks.segment(data, sequential([layers.Conv1D(2, 3, padding="same")]))
    learner = waves.start(task, PLAN._replace(members=1, batch_size=1)).learner
    examples = loop.to_device(task.train, learner)
    alone = loop.make_evaluation(task)(learner.params, learner.state, examples)
    twice = jax.tree.map(lambda array: jnp.stack([array] * 2), (learner.params, learner.state))
    np.testing.assert_allclose(loop.make_evaluation(task, members=2)(*twice, examples)[1:], alone[1:], rtol=1e-6)


def test_an_ensemble_of_one_is_a_usual_run():
    plan = from_options.plan_for(parse(["--seed", "3"]), tasks.classification(load("gunpoint")))
    assert member_plans(plan) == [plan] and plan.members == 1
