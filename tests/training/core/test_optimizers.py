"""Optimizers: optax's, with clipping, weight decay and learning rate schedules."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from training import networks
from training.core.optimizers import OPTIMIZERS, decay_mask, optimizer
from training.core.plan import Plan
from training.core.schedules import SCHEDULES, schedule

PLAN = Plan(epochs=2, batch_size=1, learning_rate=0.1, seed=0, evaluate_every=1)
OPTAX_OPTIMIZERS = {
    "adam": optax.adam,
    "adamw": lambda rate: optax.adamw(rate, mask=decay_mask),
    "sgd": lambda rate: optax.sgd(rate, momentum=0.9, nesterov=True),
    "rmsprop": lambda rate: optax.rmsprop(rate, decay=0.9),
    "lion": lambda rate: optax.lion(rate, mask=decay_mask),
}


def _params():
    rng = np.random.default_rng(0)
    own = {"kernel": rng.standard_normal((3, 2)), "bias": rng.standard_normal(2)}
    return {"dense": jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), own)}


def _steps(rule, gradients, params):
    slots = rule.init(params)
    for gradient in gradients:
        updates, slots = rule.update(gradient, slots, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_equals_optax(name):
    plan = PLAN._replace(optimizer=name, weight_decay=OPTIMIZERS[name].weight_decay)
    rate = schedule("cosine", 0.1, 3)
    gradients = [jax.tree.map(lambda a, i=i: jnp.sin(i + 5 * a), _params()) for i in range(3)]
    found = _steps(optimizer(plan, rate, 1), gradients, _params())
    expected = _steps(OPTAX_OPTIMIZERS[name](rate), gradients, _params())
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_clipped_and_decayed_steps_by_hand():
    """Nesterov's momentum: with the clipped gradient g, m becomes g + 0.9 m, and the direction is g + 0.9 m."""
    plan = PLAN._replace(optimizer="sgd", clip=1.5, weight_decay=0.2)
    before = _params()
    # The first gradient has norm 7 and is scaled; the second has norm 1 and is not.
    gradients = [
        {"dense": {"kernel": jnp.array([[2.0, 3.0], [0, 0], [6, 0]]), "bias": jnp.zeros(2)}},
        {"dense": {"kernel": jnp.zeros((3, 2)), "bias": jnp.array([0.6, 0.8])}},
    ]
    found = _steps(optimizer(plan, schedule("linear", 0.1, 2), 1), gradients, before)
    for name, decay in (("kernel", 0.2), ("bias", 0.0)):
        p, m = np.float64(before["dense"][name]), 0.0
        for rate, scale, gradient in zip((0.1, 0.05), (1.5 / 7, 1.0), gradients, strict=True):
            g = scale * np.float64(gradient["dense"][name])
            m = g + 0.9 * m
            p = p - rate * (g + 0.9 * m + decay * p)
        np.testing.assert_allclose(found["dense"][name], p, rtol=1e-6)


def test_only_kernels_decay():
    params, _ = networks.NETWORKS["convnext"].build(2, (40, 1)).init(jax.random.key(0), (40, 1))
    mask = decay_mask(params)
    names = {(name, keep) for own in mask.values() for name, keep in own.items()}
    assert names == {("kernel", True), ("bias", False), ("gamma", False), ("beta", False)}
    # A GRU's bias has two axes, and so may a normalization's arrays; a nested layer's names come after a slash.
    others = {"gru": {"bias": np.ones((2, 6)), "recurrent_kernel": np.ones((2, 6))}, "n": {"gamma": np.ones((3, 4))}}
    others["h"] = {"query/bias": np.ones((2, 3)), "query/kernel": np.ones((3, 2, 3))}
    assert decay_mask(others) == {
        "gru": {"bias": False, "recurrent_kernel": True},
        "n": {"gamma": False},
        "h": {"query/bias": False, "query/kernel": True},
    }


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_by_their_formulas(name):
    steps = np.arange(13)
    found = [float(schedule(name, 0.4, 12, 4)(step)) for step in steps]
    falling = (steps - 4) / 8
    after = {"cosine": 0.5 * (1 + np.cos(np.pi * falling)), "linear": 1 - falling}.get(name, np.ones(13))
    expected = 0.4 * np.where(steps < 4, (steps + 1) / 4, after)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(schedule(name, 0.4, 12)(0), 0.4, rtol=1e-7)
