"""A training step compared with its definition: accumulated gradients, averaged params, and 16-bit floats."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jconv import layers, sequential
from training import tasks
from training.core import loop
from training.core.learner import init_learner
from training.core.loss_scale import INITIAL_FACTOR, LossScale
from training.core.plan import Plan, batches
from training.core.precision import with_precision
from training.core.step import make_step
from training.tasks import losses

PLAN = Plan(epochs=1, batch_size=4, learning_rate=0.1, seed=0, evaluate_every=1, optimizer="sgd", schedule="constant")


def _task(normalized=False, scale=1.0):
    """24 series of 3 channels, classified by a dense layer from their means over time."""
    rng = np.random.default_rng(1)
    x, y = scale * rng.standard_normal((24, 5, 3)), rng.integers(0, 2, 24).astype(np.int32)
    middle = [layers.Conv1D(2, 3), layers.BatchNormalization()] if normalized else []
    return tasks.Task(
        "classification",
        sequential([*middle, layers.GlobalAveragePooling1D(), layers.Dense(2)]),
        tasks.Examples(x, y),
        None,
        losses.cross_entropy,
        losses.cross_entropy_reference,
        losses.accuracy,
        "accuracy",
        ("a", "b"),
        (),
        (np.zeros(3), np.ones(3)),
    )


def _learners(task, plan, dtype=jnp.float32, change=None):
    """The learner before and after each step of an epoch."""
    learner = init_learner(task, plan, dtype)
    learner = learner if change is None else change(learner)
    examples = loop.to_device(task.train, learner)
    step, (order, keys) = jax.jit(make_step(task, plan)), batches(task, plan, jax.random.key(3))
    found = [learner]
    for index, key in zip(order, keys, strict=True):
        found.append(step(found[-1], (examples.at(index), key))[0])
    return found


def _scaled(learner, factor):
    return learner._replace(scale=LossScale(jnp.float32(factor), jnp.int32(7)))


def test_batches_that_are_accumulated_are_one_batch():
    task = _task()
    with jax.enable_x64(True):
        parts, single_batch = (
            _learners(task, PLAN._replace(batch_size=size, accumulate=12 // size), jnp.float64) for size in (3, 12)
        )
    assert len(parts) == len(single_batch) == 3
    for a, b in zip(jax.tree.leaves(parts[-1].params), jax.tree.leaves(single_batch[-1].params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)
    # A step of two batches has the mean gradient.
    x, y, kernel = task.train.x.mean(1), task.train.y, np.asarray(single_batch[0].params["dense"]["kernel"])
    index = np.asarray(batches(task, PLAN._replace(batch_size=12), jax.random.key(3))[0])[0]
    probabilities = np.exp(x[index] @ kernel)
    probabilities /= probabilities.sum(1, keepdims=True)
    gradient = x[index].T @ (probabilities - np.eye(2)[y[index]]) / 12
    np.testing.assert_allclose(parts[1].params["dense"]["kernel"], kernel - 0.1 * 1.9 * gradient, rtol=1e-7)


def test_batch_normalization_sees_each_batch_that_is_accumulated():
    """Moving averages are updated once per batch, in order."""
    task = _task(normalized=True)
    parts = _learners(task, PLAN._replace(accumulate=3))
    name = next(name for name, own in parts[0].state.items() if own)
    learner, examples = parts[0], loop.to_device(task.train, parts[0])
    state = learner.state
    for index in np.asarray(batches(task, PLAN, jax.random.key(3))[0])[:3]:
        _, state = task.model.apply(learner.params, state, examples.at(index).x, training=True)
    for a, b in zip(parts[1].state[name].values(), state[name].values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_averages_are_the_weighted_means_of_the_steps():
    task, decay = _task(normalized=True), 0.7
    found = _learners(task, PLAN._replace(ema=decay))
    alone = _learners(task, PLAN)
    weights = decay ** np.arange(len(found) - 2, -1, -1)
    ema = optax.ema(decay)
    ema_state = ema.init((alone[0].params, alone[0].state))
    for learner in alone[1:]:
        debiased, ema_state = ema.update((learner.params, learner.state), ema_state)
    averages = found[-1].average[1:]
    trees = [[(learner.params, learner.state) for learner in alone[1:]], averages, debiased]
    for *steps, own, optax_s in zip(*map(jax.tree.leaves, [*trees[0], *trees[1:]]), strict=True):
        np.testing.assert_allclose(own, np.average(steps, axis=0, weights=weights), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(own, optax_s, rtol=1e-5, atol=1e-7)
    # The trained params are not the averages.
    np.testing.assert_array_equal(found[-1].params["dense"]["kernel"], alone[-1].params["dense"]["kernel"])


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_16_bit_floats_are_computed_and_float32_is_stored(precision):
    task = _task(normalized=True)
    narrow, single = (_learners(task, PLAN._replace(precision=name)) for name in (precision, "float32"))
    arrays = [a for a in jax.tree.leaves(narrow[-1]._replace(scale=None)) if jnp.issubdtype(a.dtype, jnp.floating)]
    assert {a.dtype for a in arrays} == {np.dtype("float32")}
    examples = loop.to_device(task.train, narrow[0])
    values, _ = with_precision(task, precision).model.values(
        narrow[0].params, narrow[0].state, examples.x, training=True
    )
    kinds = [str(values[node.name].dtype) for node in task.model.nodes]
    assert kinds == [precision] * (len(kinds) - 1) + ["float32"]
    # The deviation has the size of 16-bit rounding, and is not as small as float32 rounding.
    eps = float(jnp.finfo(precision).eps)
    for a, b, start in zip(
        *(jax.tree.leaves(learner.params) for learner in (narrow[1], single[1], single[0])), strict=True
    ):
        step = np.abs(b - start).max()
        if step > 1e-4:
            assert 1e-3 * eps * step < np.abs(a - b).max() < 8 * eps * step


def test_loss_scale_keeps_small_gradients_in_float16():
    """Without the scale, the kernel's gradient would be below float16's smallest positive number, 6e-8."""
    task = _task(normalized=True, scale=1e-4)
    task = task._replace(model=sequential([layers.Conv1D(2, 3), layers.GlobalAveragePooling1D(), layers.Dense(2)]))
    task = task._replace(train=task.train._replace(x=1e-3 * task.train.x))
    plan = PLAN._replace(precision="float16", optimizer="adam")

    def largest_change(learners):
        kernel = [np.asarray(learner.params["conv1d"]["kernel"]) for learner in learners]
        return np.abs(kernel[1] - kernel[0]).max()

    assert largest_change(_learners(task, plan)) > 1e-3
    assert largest_change(_learners(task, plan, change=partial(_scaled, factor=1.0))) == 0


def test_a_step_that_overflows_changes_only_the_scale():
    task, plan = _task(normalized=True, scale=30.0), PLAN._replace(precision="float16", ema=0.9)
    before, after, *_ = _learners(task, plan, change=partial(_scaled, factor=2.0**24))
    assert float(after.scale.factor) == 2.0**23 and int(after.scale.good) == 0
    for a, b in zip(*(jax.tree.leaves(learner._replace(scale=None)) for learner in (before, after)), strict=True):
        np.testing.assert_array_equal(a, b)
    good = _learners(task, plan)
    assert float(good[1].scale.factor) == INITIAL_FACTOR and int(good[1].scale.good) == 1
    assert (np.asarray(good[1].params["dense"]["kernel"]) != np.asarray(good[0].params["dense"]["kernel"])).any()
