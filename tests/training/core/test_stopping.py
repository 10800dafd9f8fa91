"""Early stopping, and all methods together in a run that is stopped and resumed, with bitwise equal results."""

import json
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support import waves
from training import fit
from training.core import loop, stopping
from training.core.learner import Row, final_learner
from training.core.plan import Plan
from training.options.types import Interval
from training.run import checkpoints
from training.run.run_folder import read_params
from training.tasks import balanced, with_cross_entropy
from training.views import report

PLAN = Plan(epochs=6, batch_size=8, learning_rate=1e-2, seed=0, evaluate_every=1)


def _rows(losses, field="train_loss"):
    return [Row(i + 1, 0.1, 0.5, 0.5, None, None)._replace(**{field: loss}) for i, loss in enumerate(losses)]


def test_when_early_stopping_ends_a_run():
    plan = PLAN._replace(early_stopping=2)
    losses = [0.5, 0.4, 0.4, 0.3, 0.31, 0.3, 0.2]
    found = [stopping.should_stop(plan, _rows(losses[:n])) for n in range(len(losses) + 1)]
    assert found == [False, False, False, False, False, False, True, False]
    assert stopping.best_epoch(plan, _rows(losses)) == 7 and stopping.best_epoch(plan, ()) is None
    other = plan._replace(watch="validation")
    assert stopping.should_stop(other, _rows([0.1, 0.2, 0.3], "validation_loss"))
    assert not stopping.should_stop(other._replace(early_stopping=None), _rows([0.1, 0.2, 0.3], "validation_loss"))


def test_early_stopping_with_a_first_loss_of_nan():
    """No loss is lower than NaN, but epoch 1 must not stay the best for that reason."""
    plan = PLAN._replace(early_stopping=2, watch="validation")
    nan = float("nan")
    rows = _rows([nan, 0.5, 0.4, nan, nan], "validation_loss")
    assert stopping.best_epoch(plan, rows) == 3
    assert [stopping.should_stop(plan, rows[:n]) for n in range(6)] == [False, False, False, False, False, True]
    # If no loss is finite, no epoch is the best, and the run ends nevertheless.
    rows = _rows([nan, nan, float("inf")], "validation_loss")
    assert stopping.best_epoch(plan, rows) is None and stopping.should_stop(plan, rows)
    assert "the initial params, since no loss was finite, were kept" in report.early_stopping_line(plan, rows)


def _everything():
    """A task and a plan with every method. Its validation labels are wrong, so the validation loss only rises."""
    task = waves.task()
    task = with_cross_entropy(task, 0.1, balanced(task.train.y, 2) * [1.0, 1.5])
    task = task._replace(validation=task.test._replace(y=1 - task.test.y), test=None)
    return task, PLAN._replace(
        optimizer="adamw",
        keep="best",
        watch="validation",
        precision="float16",
        accumulate=2,
        clip=0.5,
        warm_up=1,
        schedule="plateau",
        weight_decay=0.01,
        early_stopping=3,
        ema=0.9,
    )


def test_a_resumed_run_with_every_method_has_the_same_bits(tmp_path):
    task, plan = _everything()
    states = []
    with checkpoints.opened(tmp_path, Interval(epochs=1)) as kept:
        for progress in loop.train(task, plan, waves.start(task, plan)):
            states.append(jax.tree.map(np.array, progress))
            if len(progress.rows) == 2:
                kept.save(progress, wait=True)
        again = kept.restore(waves.start(task, plan).learner)
        assert again is not None and len(again.rows) == 2
        *_, end = loop.train(task, plan, again)
    waves.assert_same_bits(end.learner, states[-1].learner)
    assert end.rows == jax.tree.map(float, states[-1].rows)
    # A run that has ended trains no further epoch.
    assert not list(loop.train(task, plan, end))
    losses = [row.validation_loss for row in end.rows]
    best = int(np.argmin(losses))
    assert len(end.rows) == best + 1 + 3 < plan.epochs
    # The averages after the best epoch are kept, and its row has their loss.
    kept = final_learner(end.learner)
    waves.assert_same_bits(kept.params, states[best].learner.average.params)
    waves.assert_same_bits(kept.state, states[best].learner.average.state)
    assert (np.asarray(kept.params["dense"]["kernel"]) != states[best].learner.params["dense"]["kernel"]).any()
    loss = loop.make_evaluation(task)(kept.params, kept.state, loop.to_device(task.validation, kept))[1]
    assert float(loss) == losses[best] == float(end.learner.best.loss)


@pytest.mark.slow
def test_the_command_stops_early_also_when_resumed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    x = np.sin(np.arange(118) * np.linspace(0.3, 0.9, 8)[:, None]) + np.random.default_rng(0).standard_normal((8, 118))
    np.savez("a.npz", x_train=x, y_train=np.arange(8) % 2)
    command = ["--data", "a.npz", "--model", "two-layer", "--skip-proof", "--epochs", "40", "--batch-size", "3"]
    command += ["--validation", "0.3", "--early-stopping", "2", "--ema", "0.5", "--precision", "bfloat16"]
    command += ["--accumulate", "2", "--warm-up", "1", "--learning-rate", "0.1", "--clip", "1"]
    assert fit.main([*command, "--out", "uninterrupted"]) == 0
    rows = np.genfromtxt("uninterrupted/metrics.csv", delimiter=",", names=True)
    best, epochs = int(rows["validation_loss"].argmin()) + 1, len(rows)
    assert epochs == best + 2 < 40
    message = f"stopped    after epoch {epochs} of 40: no lower validation loss for 2 epochs; the params of epoch "
    assert f"{message}{best} were kept" in capsys.readouterr().out
    results, config = (json.loads(Path("uninterrupted", name).read_text()) for name in ("results.json", "config.json"))
    assert results["status"] == "done" and results["best_epoch"] == best and results["watched"] == "validation"
    assert results["validation"]["loss"] == pytest.approx(rows["validation_loss"][best - 1], rel=1e-6)
    assert {name: config[name] for name in ("ema", "precision", "accumulate", "warm_up", "clip", "early_stopping")} == {
        "ema": 0.5,
        "precision": "bfloat16",
        "accumulate": 2,
        "warm_up": 1,
        "clip": 1.0,
        "early_stopping": 2,
    }
    with monkeypatch.context() as patch:
        waves.stop(patch, signal.SIGTERM, 2)
        assert fit.main([*command, "--out", "run"]) == 143
    assert fit.main([*command, "--out", "run", "--resume"]) == 0
    for name in ("metrics.csv", "params.npz"):
        assert Path("run", name).read_bytes() == Path("uninterrupted", name).read_bytes()
    params, _ = read_params(Path("run"))
    assert {array.dtype for own in params.values() for array in own.values()} == {jnp.dtype("float32")}
