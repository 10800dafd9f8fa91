"""The gradient proof: JAX's derivatives of the model to train, compared with its NumPy definition in float64.

By the complex-step method, the derivative of a real function f in the direction v is `imag(f(p + 1e-30j * v)) / 1e-30`,
exact to rounding, since nothing cancels. Here f is the NumPy forward pass of the network and its loss in complex128,
where batch normalization uses the statistics of a small batch of training data. The result is compared with JAX's
gradient for every parameter tensor, along random directions of +1 and -1 over the tensor and along single coordinates.

A deviation is `|jax - complex step| / scale`. In a direction of random signs, the derivative is of the order of the
norm |g| of the gradient, which is the scale; along one of n coordinates it is of the order of |g| / sqrt(n). The scale
is at least 1e-3 of the norm of the gradient of all tensors. Otherwise only rounding errors would be compared where a
gradient is exactly zero, as for a bias in front of batch normalization. The result marks such tensors.

Dropout and other random changes of training are removed from the network first.

For series of variable length, the definition computes each series separately, except that batch normalization reads
all of them. JAX gets series that are padded with NaN, which must not reach any result.

`layers.py` proves the adjoints and second derivatives of each convolution.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..arrays import Array, Tree
from ..data.datasets import sample_mask
from ..networks.pretrained import without_randomness
from ..tasks import Examples, Task
from .layers import LayerResult, prove_layers

THRESHOLD = 1e-11
STEP = 1e-30
SERIES = 4
DIRECTIONS = 2
COORDINATES = 2
# Relative to the norm of the gradient of all tensors: the least scale of a deviation, and the limit below which the
# gradient of a tensor counts as zero.
SMALLEST_SCALE = 1e-3
ZERO_NORM = 1e-12


class TensorResult(NamedTuple):
    """One parameter tensor: the norm of JAX's gradient, and the worst deviation along directions and coordinates."""

    name: str
    shape: tuple[int, ...]
    gradient_norm: float
    exactly_zero: bool
    along_directions: float
    along_coordinates: float


class Proof(NamedTuple):
    """The deviations of the loss, of the gradients of the parameter tensors, and of the convolutions."""

    loss_deviation: float
    tensors: tuple[TensorResult, ...]
    layers: tuple[LayerResult, ...]

    def deviations(self) -> dict[str, float]:
        """All deviations, by the name of the loss, tensor or layer."""
        found = {"loss": self.loss_deviation}
        for tensor in self.tensors:
            found[f"gradient of {tensor.name}"] = max(tensor.along_directions, tensor.along_coordinates)
        for layer in self.layers:
            found |= {f"{what} of {layer.name}": value for what, value in layer.deviations().items()}
        return found

    def worst(self) -> tuple[str, float]:
        """The name and value of the largest deviation; NaN counts as the largest."""
        return max(self.deviations().items(), key=lambda item: np.inf if np.isnan(item[1]) else item[1])

    def failures(self) -> dict[str, float]:
        """The deviations above the threshold, and those that are NaN; empty if the gradients are proved."""
        return {what: value for what, value in self.deviations().items() if not value <= THRESHOLD}


def prove(task: Task, params: Tree, state: Tree, seed: int) -> Proof:
    """Compare JAX's derivatives of the task's loss at `params` with the complex-step method, as described above.

    The batch consists of the first and last training examples. Everything is computed in float64, whatever the types of
    the arrays, and JAX's settings are restored.

    Args:
        task: the data, the model and the loss.
        params: the params of the model.
        state: its state, such as the moving statistics of batch normalization.
        seed: the seed of the random directions.

    Returns:
        The deviations, whether or not they are below the threshold.
    """
    half = SERIES // 2
    task = task._replace(model=without_randomness(task.model))
    examples = task.train.at(np.r_[:half, -half:0])
    y = examples.y if examples.y.dtype.kind == "f" else np.int64(examples.y)
    examples = examples._replace(x=_padded_with_nan(examples), y=y)
    exact_params, exact_state = jax.tree.map(lambda a: np.asarray(a, np.float64), (params, state))
    rng = np.random.default_rng(seed)
    with jax.enable_x64(True):
        value, gradient = _jax_gradient(task, exact_params, exact_state, examples)
        layers = prove_layers(task.model, exact_params, exact_state, _cut_to_shortest(examples.at(slice(half))), rng)

    def loss(trial: Tree) -> Any:
        return task.objective_reference(trial, exact_state, examples)

    reference = float(loss(exact_params))
    tensors = _prove_tensors(loss, exact_params, gradient, rng)
    return Proof(abs(value - reference) / max(abs(reference), STEP), tensors, layers)


def as_json(proof: Proof) -> dict[str, Any]:
    """The content of `gradients.json`."""
    what, worst = proof.worst()
    return {
        "threshold": THRESHOLD,
        "passed": not proof.failures(),
        "worst": {"of": what, "deviation": worst},
        "loss_deviation": proof.loss_deviation,
        "tensors": [tensor._asdict() for tensor in proof.tensors],
        "layers": [layer._asdict() for layer in proof.layers],
    }


def _padded_with_nan(examples: Examples) -> Array:
    x, _, lengths = examples
    return x if lengths is None else np.where(sample_mask(x, lengths)[..., None], x, np.nan)


def _cut_to_shortest(examples: Examples) -> Array:
    return examples.x if examples.lengths is None else examples.x[:, : examples.lengths.min()]


def _jax_gradient(task: Task, params: Tree, state: Tree, examples: Examples) -> tuple[float, Tree]:
    @jax.jit
    def value_and_gradient(params: Tree, examples: Examples) -> tuple[jax.Array, Tree]:
        return jax.value_and_grad(lambda params: task.objective(params, state, examples)[0])(params)

    value, gradient = value_and_gradient(params, jax.tree.map(jnp.asarray, examples))
    return float(value), jax.tree.map(np.asarray, gradient)


def _prove_tensors(
    loss: Callable[[Tree], Any], params: Tree, gradient: Tree, rng: np.random.Generator
) -> tuple[TensorResult, ...]:
    total_norm = float(np.sqrt(sum(np.sum(g**2) for own in gradient.values() for g in own.values())))

    def derivative(node: str, name: str, v: Array) -> float:
        moved = {**params[node], name: params[node][name] + STEP * 1j * v}
        return float(np.imag(loss({**params, node: moved})) / STEP)

    return tuple(
        _prove_tensor(f"{node}/{name}", gradient[node][name], total_norm, partial(derivative, node, name), rng)
        for node, own in params.items()
        for name in own
    )


def _prove_tensor(
    name: str, gradient: Array, total_norm: float, derivative: Callable[[Array], float], rng: np.random.Generator
) -> TensorResult:
    norm = float(np.linalg.norm(gradient))
    scale = max(norm, SMALLEST_SCALE * total_norm, np.finfo(float).tiny)
    along_directions, along_coordinates = [], []
    for _ in range(DIRECTIONS):
        v = rng.choice([-1.0, 1.0], gradient.shape)
        along_directions.append(abs(np.sum(gradient * v) - derivative(v)) / scale)
    for index in rng.choice(gradient.size, min(COORDINATES, gradient.size), replace=False):
        v = np.zeros(gradient.size)
        v[index] = 1.0
        deviation = abs(gradient.flat[index] - derivative(v.reshape(gradient.shape))) / scale
        along_coordinates.append(deviation * np.sqrt(gradient.size))
    return TensorResult(
        name,
        gradient.shape,
        norm,
        norm < ZERO_NORM * total_norm,
        # Unlike max, np.max returns NaN if any of the values is NaN.
        float(np.max(along_directions)),
        float(np.max(along_coordinates)),
    )
