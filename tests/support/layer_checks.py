"""Compares a layer in JAX with its NumPy reference: values and derivatives."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconv import layers as jl
from jconv.layers.base import map_inputs


def drawn(shape: Any, batch: int = 3, seed: int = 0) -> Any:
    """A random batch in float64, or a tuple of them for several shapes."""
    rng = np.random.default_rng(seed)
    if isinstance(shape[0], tuple):
        return tuple(rng.standard_normal((batch, *one)) for one in shape)
    return rng.standard_normal((batch, *shape))


def arrays_of(layer: jl.Layer, shape: Any, seed: int = 1) -> tuple[dict[str, Any], dict[str, Any]]:
    """Random params and positive state in float64."""
    rng = np.random.default_rng(seed)
    params = {name: rng.standard_normal(s) for name, s in layer.param_shapes(shape).items()}
    return params, {name: rng.uniform(0.5, 2, s) for name, s in layer.state_shapes(shape).items()}


def single(tree: Any) -> Any:
    """The arrays in single precision."""
    return jax.tree.map(lambda a: np.asarray(a, np.float32), tree)


def deviation(a: Any, b: Any) -> float:
    """The largest difference, relative to the largest absolute value of `b`."""
    assert np.shape(a) == np.shape(b)
    return float(np.max(np.abs(np.asarray(a) - np.asarray(b))) / np.max(np.abs(np.asarray(b))))


def flattened(y: Any) -> Any:
    """Several outputs, each flattened, as one array (batch, features); a single output unchanged."""
    if not isinstance(y, tuple):
        return y
    library = jnp if any(isinstance(a, jax.Array) for a in y) else np
    return library.concatenate([a.reshape(len(a), -1) for a in y], axis=1)


def check_against_reference(layer: jl.Layer, shape: Any, x: Any = None) -> None:
    """Check values, `jvp`, `vjp`, `vmap` and shapes in float64; the reference has complex-step derivatives.

    Without `x`, the inputs are random.
    """
    params, state = arrays_of(layer, shape)
    (dparams, _), dx = arrays_of(layer, shape, seed=3), drawn(shape, seed=2)
    x = drawn(shape) if x is None else x
    outputs = layer.reference(params, state, x)
    expected = flattened(outputs)
    moved = jax.tree.map(lambda a, d: a + 1e-30j * d, (params, x), (dparams, dx))
    step = flattened(layer.reference(moved[0], state, moved[1])).imag / 1e-30
    y_bar = np.random.default_rng(4).standard_normal(expected.shape)

    def run(params: Any, x: Any) -> jax.Array:
        return flattened(layer.apply(params, state, x)[0])

    @jax.jit
    def everything(params: Any, x: Any) -> Any:
        y, dy = jax.jvp(run, (params, x), (dparams, dx))
        bars = jax.vjp(run, params, x)[1](y_bar)
        mapped = jax.vmap(lambda x: run(params, jax.tree.map(lambda a: a[None], x))[0])(x)
        return y, dy, bars, mapped

    with jax.enable_x64(True):
        y, dy, bars, mapped = everything(params, x)
    assert y.dtype == np.float64
    assert deviation(y, expected) < 1e-13
    assert deviation(dy, step) < 1e-12
    assert deviation(mapped, y) < 1e-13
    # Reverse mode is the transpose of forward mode.
    pairs = zip(jax.tree.leaves(bars), jax.tree.leaves((dparams, dx)), strict=True)
    assert sum(np.vdot(a, b) for a, b in pairs) == pytest.approx(np.vdot(y_bar, step), rel=1e-11)
    assert layer.output_shape(shape) == map_inputs(lambda a: a.shape[1:], outputs)
