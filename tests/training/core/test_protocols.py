"""The published protocol: its settings, and the halving of the learning rate."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from training import fit, networks, tasks
from training.commands import from_options
from training.core.learner import make_optimizer
from training.core.plan import Plan, steps_per_epoch
from training.core.protocols import PROTOCOLS, settings
from training.data.datasets import load
from training.data.scaling import z_normalize
from training.errors import UserError
from training.options.options import parse


def plan_of(*arguments):
    options = parse(["--protocol", "dl4tsc", *arguments])
    return from_options.plan_for(options, tasks.classification(load(options.data)))


def test_settings_of_the_published_review():
    plan = plan_of()
    assert (plan.epochs, plan.batch_size, plan.learning_rate) == (2000, 5, 1e-3)
    assert (plan.keep, plan.schedule, plan.optimizer) == ("best", "plateau", "adam")
    assert plan_of("--model", "resnet").epochs == 1500
    assert plan_of("--data", "cbf").batch_size == 3
    assert plan_of("--epochs", "7", "--batch-size", "2", "--learning-rate", "0.1")[:3] == (7, 2, 0.1)
    with pytest.raises(UserError, match="supports --model fcn and resnet, not tcn"):
        settings("dl4tsc", "tcn")
    assert set(PROTOCOLS["dl4tsc"]) <= set(networks.NETWORKS)


def test_the_learning_rate_is_halved_as_in_keras():
    """Keras's rule, written out: after 50 epochs in a row whose loss is not lower by 1e-4, down to a tenth."""
    plan = Plan(400, 10, 1e-3, 0, 400, schedule="plateau")
    task = tasks.classification(load("gunpoint"))
    steps = steps_per_epoch(task, plan)
    rule: Any = make_optimizer(task, plan)
    params = {"a": jnp.zeros(())}
    update = jax.jit(lambda slots, loss: rule.update({"a": jnp.ones(())}, slots, params, value=loss)[1])
    slots, rng = rule.init(params), np.random.default_rng(0)
    best, waited, rate = np.inf, 0, 1e-3
    for epoch in range(330):
        losses = np.float32(2.0 ** (-epoch / 20) + 0.01 * rng.standard_normal(steps))
        for loss in losses.tolist():
            slots = update(slots, loss)
        mean = losses.mean()
        if mean < best - 1e-4:
            best, waited = mean, 0
        else:
            waited += 1
            if waited == 50:
                rate, waited = max(rate / 2, 1e-4), 0
        assert float(1e-3 * slots[-1].scale) == pytest.approx(rate, rel=1e-6), epoch
    assert rate < 5e-4


def test_each_series_is_normalized_separately():
    data = load("BasicMotions")
    x = z_normalize(data).x_test
    assert x is not None
    np.testing.assert_allclose(x.mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(x.std(1), 1, atol=1e-12)
    ragged = z_normalize(load("PickupGestureWiimoteZ"))
    assert ragged.lengths_train is not None
    length = ragged.lengths_train[0]
    assert abs(ragged.x_train[0, :length].mean()) < 1e-12 and not ragged.x_train[0, length:].any()


@pytest.mark.slow
def test_a_run_by_the_protocol_keeps_the_best(tmp_path, monkeypatch):
    monkeypatch.setattr(fit.proof, "prove", lambda *_: None)
    arguments = ["--data", "ItalyPowerDemand", "--protocol", "dl4tsc", "--epochs", "4", "--skip-proof"]
    assert fit.main([*arguments, "--out", str(tmp_path / "run")]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["schedule"] == "plateau" and config["keep"] == "best" and config["batch_size"] == 6
