"""The training loop: it learns, is deterministic, and compiles an epoch into one call."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support import waves
from training import tasks
from training.core import loop
from training.core.learner import Progress, init_learner
from training.core.plan import Plan, steps_per_epoch


@pytest.fixture(scope="module")
def task():
    return waves.task()


def _plan(**changes):
    return Plan(epochs=6, batch_size=10, learning_rate=1e-2, seed=0, evaluate_every=3)._replace(**changes)


def _run(task, plan, dtype=jnp.float32):
    progress = Progress(init_learner(task, plan, dtype), ())
    for after in loop.train(task, plan, progress):
        progress = after
    return progress


def test_training_learns(task):
    _, rows = _run(task, _plan(epochs=40))
    assert rows[-1].train_loss < 0.6 * rows[0].train_loss
    assert rows[-1].train_score > 0.85 and rows[-1].test_score > 0.85
    # The last rate of half a cosine is just above zero.
    assert rows[0].learning_rate == pytest.approx(1e-2) and 0 < rows[-1].learning_rate < 1e-4


def test_the_same_seed_gives_the_same_bits_and_another_does_not(task):
    first, rows = _run(task, _plan())
    second, again = _run(task, _plan())
    assert rows == again
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)
    _, other = _run(task, _plan(seed=1))
    assert other[-1].train_loss != rows[-1].train_loss


def test_the_test_set_is_evaluated_every_few_epochs_and_at_the_end(task):
    _, rows = _run(task, _plan(epochs=4))
    assert [row.test_loss is not None for row in rows] == [False, False, True, True]
    _, rows = _run(task._replace(test=None), _plan(epochs=3))
    assert all(row.test_loss is None and row.test_score is None for row in rows)


def test_the_test_set_does_not_change_the_training(task):
    _, rows = _run(task, _plan(epochs=3))
    _, without = _run(task._replace(test=None), _plan(epochs=3))
    assert [row.train_loss for row in rows] == [row.train_loss for row in without]


def test_an_epoch_is_one_scan_over_every_full_batch(task):
    plan = _plan(batch_size=16)
    learner = init_learner(task, plan, jnp.float32)
    train = loop.to_device(task.train, learner)
    jaxpr = jax.make_jaxpr(loop.make_epoch(task, plan))(learner, jax.random.key(0), train)
    (call,) = jaxpr.eqns
    scans = [eqn for eqn in call.params["jaxpr"].eqns if eqn.primitive.name == "scan"]
    assert scans[-1].params["length"] == 3 == steps_per_epoch(task, plan)


def test_a_step_is_adam_on_the_loss_of_the_batch(task):
    """With one batch of all examples the order does not matter, and optax can be called directly."""
    plan = _plan(epochs=1, batch_size=50)
    start = init_learner(task, plan, jnp.float32)
    before = jax.tree.map(np.asarray, start)
    x, y, _ = loop.to_device(task.train, start)

    def loss(params):
        return task.loss(task.model.apply(params, before.state, x, training=True)[0], y)

    gradient = jax.jit(jax.grad(loss))(before.params)
    after, _ = _run(task, plan)
    for a, b, g in zip(*map(jax.tree.leaves, (after.params, before.params, gradient)), strict=True):
        # Adam's first step is the rate times the sign, wherever the gradient is more than rounding.
        sure = np.abs(g) > 1e-5
        np.testing.assert_allclose((a - b)[sure], -1e-2 * np.sign(g)[sure], rtol=5e-3)


def test_evaluation_in_chunks_equals_the_model(task):
    learner = init_learner(task, _plan(), jnp.float32)
    many = tasks.Examples(np.tile(task.train.x, (6, 1, 1)), np.tile(task.train.y, 6))
    output, loss, score = loop.make_evaluation(task)(learner.params, learner.state, loop.to_device(many, learner))
    expected = task.model.reference(learner.params, learner.state, many.x)
    np.testing.assert_allclose(output, expected, atol=1e-5)
    assert float(loss) == pytest.approx(float(task.loss_reference(expected, many.y)), rel=1e-5)
    assert float(score) == pytest.approx(np.mean(expected.argmax(-1) == many.y))


def test_params_and_state_are_float64_with_x64(task):
    with jax.enable_x64(True):
        learner, rows = _run(task, _plan(epochs=1), jnp.float64)
    assert {a.dtype for a in jax.tree.leaves((learner.params, learner.state))} == {np.dtype("float64")}
    assert len(rows) == 1
