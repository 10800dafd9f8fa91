"""The gradient proof: JAX's derivatives of the model being trained, held to its NumPy definition in float64.

Along a direction v the derivative of a real function f is `imag(f(p + 1e-30j * v)) / 1e-30`, exact to rounding: the
complex step, which has no difference to cancel. Here f is the NumPy forward pass of the whole network and its loss,
with batch normalization by the statistics of a small real batch, in complex128. It is held against JAX's gradient for
every parameter tensor, along random directions of signs over the whole tensor and along single coordinates.

A deviation is `|jax - complex step| / scale`. Along random signs, a gradient g of n numbers is about |g| in size, which
is the scale; a single coordinate is about |g| / sqrt(n). The norm |g| of a tensor counts as at least 1e-3 of that of
the whole gradient: a bias in front of batch normalization has a gradient of exactly zero, since the mean is
subtracted, and what is left to compare there is rounding. Such tensors are marked.

A network from a file may draw at random in training, as dropout does: its proof is of the network that draws nothing.

Of series of unequal length the definition takes each alone, but for batch normalization, whose statistics are of all
samples of all of them; JAX gets them with NaN behind, which must not reach a number.

`layers.py` proves the adjoints and second derivatives of each convolution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..networks.pretrained import still
from ..tasks import Examples, Task
from .layers import LayerResult, prove_layers

Array = np.ndarray[Any, Any]
Tree = dict[str, dict[str, Any]]

THRESHOLD = 1e-11
STEP = 1e-30
SERIES = 4
DIRECTIONS = 2
COORDINATES = 2
SMALLEST_NORM = 1e-3
# Below this share of the whole gradient a tensor's own is rounding.
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
    """What was found. `loss_deviation` is that of the loss itself, JAX against NumPy."""

    loss_deviation: float
    tensors: tuple[TensorResult, ...]
    layers: tuple[LayerResult, ...]

    def deviations(self) -> dict[str, float]:
        """Every deviation by what it is of."""
        found = {"loss": self.loss_deviation}
        for tensor in self.tensors:
            found[f"gradient of {tensor.name}"] = max(tensor.along_directions, tensor.along_coordinates)
        for layer in self.layers:
            found |= {f"{what} of {layer.name}": value for what, value in layer.deviations().items()}
        return found

    def worst(self) -> tuple[str, float]:
        """The largest deviation and what it is of. One that is not a number is the largest."""
        return max(self.deviations().items(), key=lambda item: np.inf if np.isnan(item[1]) else item[1])

    def failures(self) -> dict[str, float]:
        """The deviations above the threshold, or not a number; empty when the gradients are proved."""
        return {what: value for what, value in self.deviations().items() if not value <= THRESHOLD}


def prove(task: Task, params: Tree, state: Tree, seed: int) -> Proof:
    """Hold JAX's derivatives of the task's loss at `params` to the complex step; see the module for how.

    The batch is the first and last examples of the training set, the random directions are drawn from `seed`. Computes
    in float64 whatever the arrays are, and leaves JAX's settings as they were.
    """
    half = SERIES // 2
    task = task._replace(model=still(task.model))
    picked = task.train.at(np.r_[:half, -half:0])
    examples = picked._replace(x=_spoiled(picked), y=picked.y if picked.y.dtype.kind == "f" else np.int64(picked.y))
    exact_params, exact_state = jax.tree.map(lambda a: np.asarray(a, np.float64), (params, state))
    rng = np.random.default_rng(seed)
    with jax.enable_x64(True):
        value, gradient = _jax_gradient(task, exact_params, exact_state, examples)
        layers = prove_layers(task.model, exact_params, exact_state, _whole(examples.at(slice(half))), rng)

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


def _spoiled(examples: Examples) -> Array:
    """The inputs with NaN behind those that are shorter."""
    x, _, lengths = examples
    return x if lengths is None else np.where(np.arange(x.shape[1])[:, None] < lengths[:, None, None], x, np.nan)


def _whole(examples: Examples) -> Array:
    """The inputs, cut to the shortest."""
    return examples.x if examples.lengths is None else examples.x[:, : examples.lengths.min()]


def _jax_gradient(task: Task, params: Tree, state: Tree, examples: Examples) -> tuple[float, Tree]:
    @jax.jit
    def value_and_gradient(params: Tree, examples: Examples) -> tuple[jax.Array, Tree]:
        def loss(params: Tree) -> jax.Array:
            return task.objective(params, state, examples)[0]

        return jax.value_and_grad(loss)(params)

    value, gradient = value_and_gradient(params, jax.tree.map(jnp.asarray, examples))
    return float(value), jax.tree.map(np.asarray, gradient)


def _prove_tensors(
    loss: Callable[[Tree], Any], params: Tree, gradient: Tree, rng: np.random.Generator
) -> tuple[TensorResult, ...]:
    whole = float(np.sqrt(sum(np.sum(g**2) for own in gradient.values() for g in own.values())))
    results = []
    for node, own in params.items():
        for name, tensor in own.items():

            def derivative(v: Array, node: str = node, name: str = name, tensor: Array = tensor) -> float:
                moved = {**params[node], name: tensor + STEP * 1j * v}
                return float(np.imag(loss({**params, node: moved})) / STEP)

            results.append(_prove_tensor(f"{node}/{name}", gradient[node][name], whole, derivative, rng))
    return tuple(results)


def _prove_tensor(
    name: str, gradient: Array, whole: float, derivative: Callable[[Array], float], rng: np.random.Generator
) -> TensorResult:
    norm = float(np.linalg.norm(gradient))
    scale = max(norm, SMALLEST_NORM * whole, np.finfo(float).tiny)
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
        norm < ZERO_NORM * whole,
        # np.max, unlike max, keeps a NaN wherever it stands.
        float(np.max(along_directions)),
        float(np.max(along_coordinates)),
    )
