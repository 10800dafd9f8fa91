"""Gradients of single examples find wrong labels.

    pip install -e ".[examples]" && python examples/per_example_gradients.py

Eight labels of GunPoint's test series are flipped. The gradient of the loss with respect to all parameters is computed
for each example by itself, with `vmap` of `grad`: the examples with flipped labels have the largest gradients.
Differentially private training and influence functions need the same gradients. On a CPU XLA computes the kernel
gradients of such a program slowly; jconv computes them as one matrix product. Draws `per_example_gradients.png`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import jconv.keras
from training.data import datasets, scaling

MODEL = Path(__file__).parents[1] / "docs/gun_point.keras"
FLIPPED = 8


def gradient_norms(model: jconv.Model, params: dict, state: dict, x: np.ndarray, labels: np.ndarray) -> jax.Array:
    """The norm of each example's gradient, shape (examples,)."""

    def loss(params: dict, x: jax.Array, label: jax.Array) -> jax.Array:
        probabilities, _ = model.apply(params, state, x[None])
        return -jnp.log(probabilities[0, label] + 1e-7)

    gradients = jax.vmap(jax.grad(loss), (None, 0, 0))(params, x, labels)
    return jnp.sqrt(sum((leaf.reshape(len(x), -1) ** 2).sum(-1) for leaf in jax.tree.leaves(gradients)))


def main() -> None:
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("per_example_gradients.png"), help="default %(default)s")
    options = parser.parse_args()
    model, params, state = jconv.keras.load(MODEL)
    data, _, _ = scaling.standardize(datasets.load("gunpoint"))
    x, labels = data.x_test.astype("float32"), np.array(data.y_test)
    flipped = np.random.default_rng(0).choice(len(x), FLIPPED, replace=False)
    labels[flipped] = 1 - labels[flipped]

    seconds = {}
    for algorithm in ("auto", "lax"):
        with jconv.default_algorithm(algorithm):
            norms = jax.jit(lambda params, x, labels: gradient_norms(model, params, state, x, labels))
            found = np.asarray(norms(params, x, labels))
            began = time.perf_counter()
            for _ in range(5):
                norms(params, x, labels).block_until_ready()
            seconds[algorithm] = (time.perf_counter() - began) / 5
    largest = np.argsort(found)[::-1][:FLIPPED]
    print(f"of the {FLIPPED} largest gradients {len({*largest} & {*flipped})} belong to flipped labels")
    print(f"{1e3 * seconds['auto']:.1f} ms for {len(x)} gradients; by lax {1e3 * seconds['lax']:.1f} ms")

    figure, axes = plt.subplots(figsize=(8, 3.5), layout="constrained")
    wrong = np.isin(np.arange(len(x)), flipped)
    for chosen, color, name in ((~wrong, "tab:blue", "right label"), (wrong, "tab:red", "flipped label")):
        axes.scatter(np.flatnonzero(chosen), found[chosen] + 1e-8, s=14, color=color, label=name)
    axes.set_yscale("log")
    axes.set_xlabel("example")
    axes.set_ylabel("norm of its gradient")
    axes.legend(frameon=False)
    figure.savefig(options.out, dpi=110)


if __name__ == "__main__":
    main()
