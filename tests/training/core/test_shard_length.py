"""Training on recordings with a sharded length: the learning curve of one device, and only halos are communicated."""

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.primitive.test_partitioned import received_elements
from training import tasks
from training.core import devices, loop
from training.core.learner import Progress, init_learner
from training.core.plan import Plan, epoch_key
from training.networks import unet
from training.tasks import losses

PLAN = Plan(epochs=3, batch_size=2, learning_rate=1e-2, seed=0, evaluate_every=1, optimizer="sgd")
LENGTH, FILTERS = 64, (2, 4)


@pytest.fixture(scope="module")
def task():
    return _task(LENGTH)


def _task(length):
    """Two noisy recordings and the clean ones, for a U-Net of two levels."""
    rng = np.random.default_rng(0)
    clean = np.sin(np.arange(length) * np.array([0.2, 0.3])[:, None])[..., None]
    examples = tasks.Examples(clean + 0.3 * rng.standard_normal(clean.shape), clean)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[unet.__module__], "FILTERS", FILTERS)
        model = unet(1, (length, 1))
    loss, reference, score = losses.squared_error, losses.squared_error_reference, losses.absolute_error
    scaling = (np.zeros(1), np.ones(1))
    return tasks.Task("denoise", model, examples, examples, loss, reference, score, "absolute_error", (), (), scaling)


def _start(task, count, over_length):
    return devices.replicate(init_learner(task, PLAN, jnp.float32), devices.make_mesh(count, over_length))


def _trained(task, count, over_length):
    progress = Progress(_start(task, count, over_length), ())
    for after in loop.train(task, PLAN, progress):
        progress = after
    return progress


@pytest.fixture(scope="module")
def alone(task):
    return _trained(task, 1, 1)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(("count", "over_length"), [(4, 2), (4, 4)])
def test_the_learning_curves_and_params_agree_with_one_device(count, over_length, task, alone):
    many = _trained(task, count, over_length)
    np.testing.assert_allclose(np.array(many.rows, float), np.array(alone.rows, float), atol=1e-5, rtol=0)
    for a, b in zip(jax.tree.leaves(many.learner), jax.tree.leaves(alone.learner), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=0)


def test_only_halos_and_sums_are_communicated(task):
    """With 9 taps each operation exchanges four samples of its operand in each direction.

    Pooling, upsampling and skip connections communicate nothing.
    """
    learner = _start(task, 4, 4)
    mesh, examples = devices.mesh_of(learner), loop.to_device(task.train, learner)
    assert examples.x.sharding.shard_shape(examples.x.shape) == (2, LENGTH // 4, 1)
    one_epoch: Any = loop.make_epoch(task, PLAN, mesh)
    text = one_epoch.lower(learner, epoch_key(PLAN, 0), examples).compile().as_text()
    # The in and out channels of each convolution, level by level down and up again.
    pairs = [(1, 2), (2, 2), (2, 4), (4, 4), (4, 2), (2, 2)]
    forward = kernels = sum(read for read, _ in pairs)
    # The first layer's input has no gradient.
    inputs = sum(made for _, made in pairs[1:])
    elements = received_elements(text)
    assert set(elements) == {"collective-permute", "all-reduce"}
    assert elements["collective-permute"] == 2 * 2 * 4 * (forward + kernels + inputs)


@pytest.mark.slow
def test_levels_whose_length_the_devices_do_not_divide():
    """Four devices have 15 of 60 samples each. One level down, three have 8 of 30 samples and the last has 6."""
    task = _task(60)
    found, programs = [], []
    for count in (1, 4):
        learner, curve = _start(task, count, count), []
        examples = loop.to_device(task.train, learner)
        one_epoch: Any = loop.make_epoch(task, PLAN, devices.mesh_of(learner))
        one_epoch = one_epoch.lower(learner, epoch_key(PLAN, 0), examples).compile()
        for epoch in range(PLAN.epochs):
            learner, (loss, _), _ = one_epoch(learner, epoch_key(PLAN, epoch), examples)
            curve.append(loss)
        found.append(jax.tree.leaves((learner, curve)))
        programs.append(one_epoch.as_text())
    for one, four in zip(*found, strict=True):
        np.testing.assert_allclose(four, one, atol=1e-5, rtol=0)
    assert set(received_elements(programs[1])) == {"collective-permute", "all-reduce"}
