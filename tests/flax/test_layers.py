"""The layers of jconv.flax compared with Flax's: parameters, results, gradients and algorithms."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import jconv.flax

OPTIONS: list[dict[str, Any]] = [
    {},
    {"padding": "CAUSAL", "kernel_dilation": 3},
    {"padding": "VALID", "strides": 2, "use_bias": False},
    {"padding": "CIRCULAR"},
    {"padding": "REFLECT", "feature_group_count": 4},
    {"padding": 2, "feature_group_count": 2},
]
X = np.random.default_rng(0).standard_normal((2, 24, 4)).astype("float32")


def equal(ours: Any, theirs: Any) -> None:
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("options", OPTIONS)
def test_nnx(options: dict[str, Any]) -> None:
    def value(kind: Any) -> tuple[Any, Any, Any]:
        graph, state = nnx.split(kind(4, 8, 3, **options, rngs=nnx.Rngs(0)))
        y, gradient = jax.value_and_grad(lambda state: jnp.sum(jnp.sin(nnx.merge(graph, state)(X))))(state)
        return nnx.to_pure_dict(state), y, nnx.to_pure_dict(gradient)

    equal(value(jconv.flax.nnx.Conv), value(nnx.Conv))


@pytest.mark.parametrize("options", OPTIONS)
def test_linen(options: dict[str, Any]) -> None:
    """In a module that names its layers by itself."""

    def value(kind: Any) -> tuple[Any, Any, Any]:
        class Network(linen.Module):
            @linen.compact
            def __call__(self, x: Any) -> Any:
                return kind(8, (3,), **options)(x)

        params = Network().init(jax.random.key(0), X)
        y, gradient = jax.value_and_grad(lambda params: jnp.sum(jnp.sin(Network().apply(params, X))))(params)
        return params, y, gradient

    ours, theirs = value(jconv.flax.linen.Conv), value(linen.Conv)
    assert list(ours[0]["params"]) == ["Conv_0"]
    equal(ours, theirs)


def test_jconv_computes() -> None:
    for kind, by_lax in ((jconv.flax.nnx.Conv, False), (nnx.Conv, True)):
        layer = kind(4, 4, 3, feature_group_count=4, rngs=nnx.Rngs(0))
        assert ("conv_general_dilated" in str(jax.make_jaxpr(layer)(X))) == by_lax
