"""The gradient proof of each convolution by itself: its adjoints, and its second derivatives.

Each convolution of the model is taken at the values that the model feeds it for a real batch, in float64; series of
unequal length are cut to the shortest.

- Adjoints: <y_bar, conv(x)> = <x_bar, x> = <kernel_bar, kernel> for a random y_bar, where the bars are what JAX's
  reverse mode makes of it. The entries of y_bar are normal, so the products are about |y| in size; the deviation is
  relative to that.
- Second order: the Hessian of `sum(conv(x) ** 3) / 3` in kernel and x, times a random vector, by JAX's forward mode
  over reverse mode and by reverse mode over reverse mode, which use different rules. The gradient of that sum is the
  hand-derived adjoint `jconv.reference.conv1d_vjp` of y ** 2, which takes complex numbers, so its complex step is
  the same product to the last digit. The deviation is the larger of the two modes, relative to the norm.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jconv
from jconv import Model
from jconv.layers import Conv1D

Array = np.ndarray[Any, Any]
Tree = dict[str, dict[str, Any]]

STEP = 1e-30


class LayerResult(NamedTuple):
    """One convolution: the deviations of both adjoints, and of the Hessian's product in kernel and in input."""

    name: str
    adjoint_input: float
    adjoint_kernel: float
    second_order_kernel: float
    second_order_input: float

    def deviations(self) -> dict[str, float]:
        """The deviations by what they are."""
        return {
            "input adjoint": self.adjoint_input,
            "kernel adjoint": self.adjoint_kernel,
            "second derivative in the kernel": self.second_order_kernel,
            "second derivative in the input": self.second_order_input,
        }


def prove_layers(
    model: Model, params: Tree, state: Tree, x: Array, rng: np.random.Generator
) -> tuple[LayerResult, ...]:
    """The proof of every `Conv1D` of a model of one input, at its values for x (n, length, channels).

    Call with 64-bit types enabled.
    """
    values = jax.jit(lambda x: model.values(params, state, x, training=True)[0])(jnp.asarray(x))
    fed = {model.inputs[0]: x} | {name: np.asarray(value) for name, value in values.items()}
    return tuple(
        _prove_layer(node.name, node.layer, np.asarray(params[node.key]["kernel"]), fed[node.inputs[0]], rng)
        for node in model.nodes
        if isinstance(node.layer, Conv1D)
    )


def _prove_layer(name: str, layer: Conv1D, kernel: Array, x: Array, rng: np.random.Generator) -> LayerResult:
    options = {
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
        "groups": layer.groups,
        "padding_mode": layer.padding_mode,
    }

    def conv(kernel: Any, x: Any) -> jax.Array:
        return jconv.conv1d({"kernel": kernel}, x, algorithm=layer.algorithm, **options)

    return LayerResult(name, *_adjoints(conv, kernel, x, rng), *_second_order(conv, options, kernel, x, rng))


def _adjoints(conv: Any, kernel: Array, x: Array, rng: np.random.Generator) -> tuple[float, float]:
    y_bar = rng.standard_normal(jax.eval_shape(conv, kernel, x).shape)

    @jax.jit
    def pulled(kernel: jax.Array, x: jax.Array) -> Any:
        y, pull = jax.vjp(conv, kernel, x)
        return y, *pull(jnp.asarray(y_bar))

    y, kernel_bar, x_bar = (np.asarray(a) for a in pulled(jnp.asarray(kernel), jnp.asarray(x)))
    size = np.linalg.norm(y)
    product = np.sum(y_bar * y)
    return (
        float(abs(product - np.sum(x_bar * x)) / size),
        float(abs(product - np.sum(kernel_bar * kernel)) / size),
    )


def _second_order(
    conv: Any, options: dict[str, Any], kernel: Array, x: Array, rng: np.random.Generator
) -> tuple[float, float]:
    v = rng.standard_normal(kernel.shape), rng.standard_normal(x.shape)

    def cubed(kernel: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.sum(conv(kernel, x) ** 3) / 3

    gradient = jax.grad(cubed, argnums=(0, 1))

    def along(kernel: jax.Array, x: jax.Array) -> jax.Array:
        in_kernel, in_x = (jnp.vdot(g, u) for g, u in zip(gradient(kernel, x), v, strict=True))
        return in_kernel + in_x

    @jax.jit
    def products(kernel: jax.Array, x: jax.Array) -> Any:
        forward = jax.jvp(gradient, (kernel, x), tuple(map(jnp.asarray, v)))[1]
        return forward, jax.grad(along, argnums=(0, 1))(kernel, x)

    modes = products(jnp.asarray(kernel), jnp.asarray(x))
    moved = {"kernel": kernel + STEP * 1j * v[0]}, x + STEP * 1j * v[1]
    y = jconv.reference.conv1d(*moved, **options)
    params_bar, x_bar = jconv.reference.conv1d_vjp(*moved, y**2, **options)
    exact = np.imag(params_bar["kernel"]) / STEP, np.imag(x_bar) / STEP
    return _furthest(exact[0], [mode[0] for mode in modes]), _furthest(exact[1], [mode[1] for mode in modes])


def _furthest(exact: Array, found: list[Any]) -> float:
    # np.max, unlike max, keeps a NaN wherever it stands.
    return float(np.max([np.linalg.norm(np.asarray(a) - exact) for a in found]) / np.linalg.norm(exact))
