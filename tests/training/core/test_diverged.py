"""Divergence: the step, the first bad value, and the params that are kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support import waves
from training.core import diverged, loop
from training.core.learner import final_learner
from training.core.plan import Plan, batches, epoch_key

PLAN = Plan(epochs=6, batch_size=16, learning_rate=1e-2, seed=0, evaluate_every=3)
STEPS = 3


@pytest.fixture(scope="module")
def task():
    return waves.task()


def _diverged(task, plan=PLAN):
    """The exception of a diverged run, and the divergence that is located by repeating it from the start."""
    rows = ()
    with pytest.raises(loop.Diverged) as caught:
        for progress in loop.train(task, plan, waves.start(task, plan)):
            rows = progress.rows
    bad = caught.value
    assert len(rows) == bad.epoch - 1 and all(np.isfinite(row.train_loss) for row in rows)
    requested = []

    def progress_at(most):
        requested.append(most)
        return waves.start(task, plan)

    found = diverged.locate(task, plan, bad, progress_at)
    # If the first step is bad, the last good params are in the epoch before, which is repeated too.
    assert requested == [max(0, bad.epoch - 1 - (bad.step == 1))]
    return bad, found


def _learner(task, steps, plan=PLAN):
    """The learner after this number of steps."""
    learner = waves.start(task, plan).learner
    step, train = jax.jit(loop.make_step(task, plan)), loop.to_device(task.train, learner)
    for number in range(steps):
        epoch, within = divmod(number, STEPS)
        order, keys = batches(task, plan, epoch_key(plan, epoch))
        learner, _ = step(learner, (train.at(order[within]), keys[within]))
    return learner


def _assert_near(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def _first_steps(plan=PLAN):
    """For each example, the first step whose batch contains it, counted from 1."""
    first = {}
    for epoch in range(2):
        order, _ = batches(waves.task(), plan, epoch_key(plan, epoch))
        for within, batch in enumerate(np.asarray(order).tolist()):
            for example in batch:
                first.setdefault(example, epoch * STEPS + within + 1)
    return first


def _planned(step):
    """A plan, and an example that occurs in `step` for the first time."""
    for seed in range(50):
        plan = PLAN._replace(seed=seed)
        for example, first in _first_steps(plan).items():
            if first == step:
                return plan, example
    raise AssertionError(step)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("step", [1, 3])
def test_a_too_large_series_is_located(task, step):
    x = task.train.x.copy()
    x[_planned(step)[1]] = 3e38
    bad, found = _diverged(task._replace(train=task.train._replace(x=x)))
    assert (bad.epoch - 1) * STEPS + bad.step == step
    where = f"the loss is not finite in step {step}, epoch 1: the first to go bad was the output of conv1d, which "
    assert found.message == f"{where}is not finite, in step {step}; the last good params were kept"
    _assert_near(found.learner, _learner(task, max(0, step - 2)))


def _poisoned(task, step, term):
    """A plan, and a task with `term(output, hit)` added to its loss; `hit` is true in `step` for the first time."""
    plan, mark = _planned(step)
    y = task.train.y.copy()
    y[mark] += 2

    def loss(output, labels):
        hit = (labels > 1).any()
        return task.loss(output, labels % 2) + term(output, hit)

    return plan, task._replace(train=task.train._replace(y=y), loss=loss)


def test_a_gradient_that_is_not_finite_is_located_in_a_later_epoch(task):
    def term(output, hit):
        # The square root of zero is finite and has an infinite gradient.
        return jnp.sqrt(jnp.where(hit, 0 * output.sum(), 1.0)) - jnp.where(hit, 0.0, 1.0)

    plan, poisoned = _poisoned(task, 5, term)
    bad, found = _diverged(poisoned, plan)
    # The loss shows it one step later.
    assert (bad.epoch, bad.step) == (2, 3)
    assert "the first to go bad was the gradient of dense/kernel, which is not finite, in step 5;" in found.message
    _assert_near(found.learner.params, _learner(task, 4, plan).params)


# 4 is the first step of the second epoch.
@pytest.mark.default_cases(1)
@pytest.mark.parametrize("step", [4, 6])
def test_an_exploding_loss_is_located(task, step):
    plan, poisoned = _poisoned(task, step, lambda output, hit: jnp.where(hit, 1e9, 0.0))
    bad, found = _diverged(poisoned, plan)
    assert (bad.epoch, bad.step, bad.loss) == (2, step - STEPS, pytest.approx(1e9))
    message = f"the loss exploded to 1e+09 in step {step}, epoch 2: the first to go bad was the loss, up to 1e+09,"
    assert found.message.startswith(message)
    _assert_near(found.learner.params, _learner(task, step - 2, plan).params)


def test_the_effect_of_a_too_high_learning_rate_is_located(task):
    plan = PLAN._replace(learning_rate=1e30)
    bad, found = _diverged(task, plan)
    assert (bad.epoch, bad.step) == (1, 2)
    assert "the first to go bad was the output of conv1d, up to " in found.message
    # The params before the first step, the only ones with a good loss.
    _assert_near(found.learner, waves.start(task, plan).learner)


def test_the_best_params_are_kept_instead_of_the_last(task):
    plan, poisoned = _poisoned(task, 6, lambda output, hit: jnp.where(hit, jnp.nan, 0.0))
    plan = plan._replace(keep="best")
    _, found = _diverged(poisoned, plan)
    _assert_near(final_learner(found.learner).params, _learner(task, STEPS, plan).params)
