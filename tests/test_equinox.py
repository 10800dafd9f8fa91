"""The layer of jconv.equinox compared with Equinox's: arrays, results and gradients."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv.equinox

OPTIONS: list[dict[str, Any]] = [
    {},
    {"padding": "SAME", "dilation": 3},
    {"padding": "SAME_LOWER", "stride": 2},
    {"padding": ((3, 1),), "stride": 2, "use_bias": False},
    {"padding": 2, "padding_mode": "CIRCULAR"},
    {"padding": 2, "padding_mode": "REFLECT", "groups": 2},
    {"padding": 1, "padding_mode": "REPLICATE", "groups": 4},
]
X = np.random.default_rng(0).standard_normal((4, 25)).astype("float32")


def value_and_gradient(layer: Any) -> tuple[Any, Any]:
    return eqx.filter_value_and_grad(lambda layer: jnp.sum(jnp.sin(layer(X))))(layer)


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("options", OPTIONS)
def test_layer_agrees_with_equinox(options: dict[str, Any]) -> None:
    ours = jconv.equinox.Conv1d(4, 8, 4, **options, key=jax.random.key(0))
    theirs = eqx.nn.Conv1d(4, 8, 4, **options, key=jax.random.key(0))
    np.testing.assert_allclose(ours(X), theirs(X), rtol=0, atol=1e-5)
    for one, other in zip(
        jax.tree.leaves(value_and_gradient(ours)), jax.tree.leaves(value_and_gradient(theirs)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())
    replaced = jconv.equinox.use_jconv(theirs)
    assert type(replaced) is jconv.equinox.Conv1d
    np.testing.assert_array_equal(replaced(X), ours(X))


def test_use_jconv_keeps_the_weights_of_a_model() -> None:
    keys = jax.random.split(jax.random.key(0), 2)
    model = eqx.nn.Sequential([eqx.nn.Conv1d(4, 6, 3, key=keys[0]), eqx.nn.Conv1d(6, 1, 1, key=keys[1])])
    replaced = jconv.equinox.use_jconv(model)
    assert all(type(layer) is jconv.equinox.Conv1d for layer in replaced)
    for one, other in zip(jax.tree.leaves(replaced), jax.tree.leaves(model), strict=True):
        assert one is other
    np.testing.assert_allclose(replaced(X), model(X), rtol=0, atol=1e-5)


def test_a_batch_raises() -> None:
    layer = jconv.equinox.Conv1d(4, 8, 3, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"x must be \(in_channels, length\), got the shape \(2, 4, 9\); use jax.vmap"):
        layer(jnp.ones((2, 4, 9)))
