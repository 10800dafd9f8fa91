"""Training on several devices: the same learning curve as on one device, and only sums are communicated."""

import signal
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from tests.primitive.test_partitioned import received_elements
from tests.support import waves
from training import fit
from training.commands.from_options import plan_for
from training.core import devices, loop
from training.core.learner import Progress, init_learner
from training.core.plan import Plan, epoch_key
from training.options.options import parse

PLAN = Plan(epochs=6, batch_size=16, learning_rate=1e-2, seed=0, evaluate_every=2, optimizer="sgd", keep="best")


@pytest.fixture(scope="module")
def task():
    return waves.task()


def _start(task, count):
    return devices.replicate(init_learner(task, PLAN, jnp.float32), devices.make_mesh(count))


def _trained(task, count):
    progress = Progress(_start(task, count), ())
    for after in loop.train(task, PLAN, progress):
        progress = after
    return progress


@pytest.fixture(scope="module")
def alone(task):
    return _trained(task, 1)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("count", [2, 8])
def test_the_learning_curves_agree_with_one_device(count, task, alone):
    """This holds only if the statistics of batch normalization are over the complete batch."""
    many = _trained(task, count)
    np.testing.assert_allclose(np.array(many.rows, float), np.array(alone.rows, float), atol=1e-5, rtol=0)
    assert devices.mesh_of(many.learner) == devices.make_mesh(count)
    assert many.rows != alone.rows, "the sums have another order, so some rounding errors must differ"


def test_only_gradients_and_statistics_are_communicated(task):
    """Gradients have 8 * 1 * 6 + 6 of the convolution, 6 + 6 of the normalization, 6 * 2 + 2 of the head."""
    learner = _start(task, 8)
    mesh, examples = devices.mesh_of(learner), loop.to_device(task.train, learner)
    one_epoch: Any = loop.make_epoch(task, PLAN, mesh)
    program = one_epoch.lower(learner, epoch_key(PLAN, 0), examples).compile()
    # The normalization sums the mean, the mean of squares and their gradients: at most 4 * 6. Loss and score: 2.
    params = 8 * 6 + 6 + 6 + 6 + 6 * 2 + 2
    assert set(received_elements(program.as_text())) == {"all-reduce"}
    assert params <= received_elements(program.as_text())["all-reduce"] <= params + 4 * 6 + 2


RUN = ["--data", "a.npz", "--model", "two-layer", "--skip-proof", "--checkpoint-every", "1", "--epochs", "4"]


def _write_data():
    x = np.sin(np.arange(118) * np.array([0.3, 0.5, 0.7, 0.9])[:, None])
    np.savez("a.npz", x_train=x, y_train=np.arange(4) % 2)


@pytest.mark.slow
def test_a_run_on_two_devices_is_resumed_on_two_and_on_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _write_data()
    assert fit.main([*RUN, "--out", "uninterrupted", "--devices", "2"]) == 0
    # All 12 windows, which are fewer than the default of 32.
    assert "devices    2 of cpu, 12 examples a batch" in capsys.readouterr().out
    with monkeypatch.context() as patch:
        waves.stop(patch, signal.SIGTERM, 2)
        for run in ("two", "one"):
            assert fit.main([*RUN, "--out", run, "--devices", "2"]) == 143
    assert fit.main([*RUN, "--out", "two", "--devices", "2", "--resume"]) == 0
    for name in ("params.npz", "metrics.csv"):
        assert Path("two", name).read_bytes() == Path("uninterrupted", name).read_bytes(), name
    capsys.readouterr()
    assert fit.main([*RUN, "--out", "one", "--resume"]) == 2
    message = "fit: one was started with --devices 2, not --devices 1: the last digits may differ"
    assert capsys.readouterr().err == f"{message}; --allow-changed-conditions continues\n"
    assert fit.main([*RUN, "--out", "one", "--resume", "--allow-changed-conditions"]) == 0
    assert capsys.readouterr().err.startswith(f"{message}\n")
    uninterrupted, one = (
        np.genfromtxt(f"{run}/metrics.csv", delimiter=",", skip_header=1) for run in ("uninterrupted", "one")
    )
    np.testing.assert_allclose(one, uninterrupted, atol=1e-5, rtol=0)


MISTAKES = {
    ("--devices", "5", "--batch-size", "8"): "--batch-size 8 is not a multiple of --devices 5",
    (
        "--devices",
        "6",
        "--shard-length",
        "2",
        "--batch-size",
        "8",
    ): "--batch-size 8 is not a multiple of --devices 6, of which 2 share a series",
    ("--devices", "5", "--shard-length", "2"): "--devices 5 is not a multiple of --shard-length 2",
    ("--shard-length", "8"): "--shard-length 8 does not divide the 100 samples of a series",
    ("--devices", "9"): "--devices 9: JAX finds 8 here, and 9 are needed",
    ("--devices", "8"): "--devices 8 needs 16 examples for a step, more than the 12 training examples",
    (
        "--devices",
        "5",
        "--model",
        "fcn",
        "--protocol",
        "dl4tsc",
    ): "the batch size 1 of --protocol dl4tsc is not a multiple of --devices 5; --batch-size replaces it",
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_a_mistake_is_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _write_data()
    assert fit.main([*RUN, *arguments]) == 2
    assert capsys.readouterr().err == f"fit: {MISTAKES[arguments]}\n"


def test_the_default_batch_size_is_a_multiple_of_the_devices(task):
    """The default for 50 series is 5 examples per batch, which 4 devices cannot share."""
    assert plan_for(parse(["--devices", "4"]), task).batch_size == 8
