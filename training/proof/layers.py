"""The gradient proof of each convolution separately: its adjoints and its second derivatives.

Each convolution is tested in float64, at the values that it has in the model for a batch of training data. Series of
unequal length are cut to the shortest.

- Adjoints: <y_bar, conv(x)> = <x_bar, x> = <kernel_bar, kernel> for a random y_bar, where JAX's reverse mode computes
  x_bar and kernel_bar. The elements of y_bar are normal, so the inner products are of the order of |y|; the deviation
  is relative to it.
- Second order: the Hessian of `sum(conv(x) ** 3) / 3` with respect to kernel and x, times a random vector, by JAX's
  forward mode over reverse mode and by reverse mode over reverse mode, which use different rules. The gradient of that
  sum is `jconv.reference.conv1d_vjp` of y ** 2, which accepts complex numbers, so the complex-step method computes the
  same product to the last digit. The deviation is the larger of the two modes, relative to the norm.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jconv
from jconv import Model
from jconv.layers import Conv1D

from ..arrays import Array, Tree

STEP = 1e-30


class LayerResult(NamedTuple):
    """The deviations of one convolution: of both adjoints, and of the Hessian product for the kernel and the input."""

    name: str
    adjoint_input: float
    adjoint_kernel: float
    second_order_kernel: float
    second_order_input: float

    def deviations(self) -> dict[str, float]:
        """The deviations by their names in messages."""
        return {
            "input adjoint": self.adjoint_input,
            "kernel adjoint": self.adjoint_kernel,
            "second derivative in the kernel": self.second_order_kernel,
            "second derivative in the input": self.second_order_input,
        }


def prove_layers(
    model: Model, params: Tree, state: Tree, x: Array, rng: np.random.Generator
) -> tuple[LayerResult, ...]:
    """Prove every `Conv1D` of a model with one input, at its values for x (n, length, channels).

    Call it with 64-bit types enabled.
    """
    values = jax.jit(lambda x: model.values(params, state, x, training=True)[0])(jnp.asarray(x))
    inputs = {model.inputs[0]: x} | {name: np.asarray(value) for name, value in values.items()}
    return tuple(
        _prove_layer(node.name, node.layer, np.asarray(params[node.key]["kernel"]), inputs[node.inputs[0]], rng)
        for node in model.nodes
        if isinstance(node.layer, Conv1D)
    )


def _prove_layer(name: str, layer: Conv1D, kernel: Array, x: Array, rng: np.random.Generator) -> LayerResult:
    names = ("stride", "padding", "dilation", "groups", "padding_mode")
    options = {option: getattr(layer, option) for option in names}

    def conv(kernel: Any, x: Any) -> jax.Array:
        return jconv.conv1d({"kernel": kernel}, x, algorithm=layer.algorithm, **options)

    return LayerResult(name, *_adjoints(conv, kernel, x, rng), *_second_order(conv, options, kernel, x, rng))


def _adjoints(conv: Any, kernel: Array, x: Array, rng: np.random.Generator) -> tuple[float, float]:
    y_bar = rng.standard_normal(jax.eval_shape(conv, kernel, x).shape)

    @jax.jit
    def value_and_adjoints(kernel: jax.Array, x: jax.Array) -> Any:
        y, vjp = jax.vjp(conv, kernel, x)
        return y, *vjp(jnp.asarray(y_bar))

    y, kernel_bar, x_bar = (np.asarray(a) for a in value_and_adjoints(jnp.asarray(kernel), jnp.asarray(x)))
    product, norm = np.sum(y_bar * y), np.linalg.norm(y)
    return float(abs(product - np.sum(x_bar * x)) / norm), float(abs(product - np.sum(kernel_bar * kernel)) / norm)


def _second_order(
    conv: Any, options: dict[str, Any], kernel: Array, x: Array, rng: np.random.Generator
) -> tuple[float, float]:
    v = rng.standard_normal(kernel.shape), rng.standard_normal(x.shape)

    gradient = jax.grad(lambda kernel, x: jnp.sum(conv(kernel, x) ** 3) / 3, argnums=(0, 1))

    def directional_derivative(kernel: jax.Array, x: jax.Array) -> jax.Array:
        in_kernel, in_x = (jnp.vdot(g, u) for g, u in zip(gradient(kernel, x), v, strict=True))
        return in_kernel + in_x

    @jax.jit
    def hessian_products(kernel: jax.Array, x: jax.Array) -> Any:
        forward = jax.jvp(gradient, (kernel, x), tuple(map(jnp.asarray, v)))[1]
        return forward, jax.grad(directional_derivative, argnums=(0, 1))(kernel, x)

    modes = hessian_products(jnp.asarray(kernel), jnp.asarray(x))
    moved = {"kernel": kernel + STEP * 1j * v[0]}, x + STEP * 1j * v[1]
    y = jconv.reference.conv1d(*moved, **options)
    params_bar, x_bar = jconv.reference.conv1d_vjp(*moved, y**2, **options)
    exact = np.imag(params_bar["kernel"]) / STEP, np.imag(x_bar) / STEP
    return _deviation(exact[0], [mode[0] for mode in modes]), _deviation(exact[1], [mode[1] for mode in modes])


def _deviation(exact: Array, found: list[Any]) -> float:
    # Unlike max, np.max returns NaN if any of the values is NaN.
    return float(np.max([np.linalg.norm(np.asarray(a) - exact) for a in found]) / np.linalg.norm(exact))
