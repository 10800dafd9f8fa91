"""A U-Net that denoises one long recording, whose length is sharded over eight devices.

    pip install -e ".[examples]" && python examples/unet_sharded.py

The devices are simulated on a CPU, so nothing gets faster here. The example shows how the work is divided: neighbours
exchange the few samples that windows read across a boundary, gradients are summed, no device ever holds the complete
recording, and the result equals one device's. Draws `unet_sharded.png`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from training.networks.unet import unet

DEVICES, LENGTH = 8, 8192
COLLECTIVES = ("collective-permute", "all-reduce", "all-gather", "all-to-all")


def main() -> None:
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("unet_sharded.png"), help="the picture; default %(default)s")
    parser.add_argument("--steps", type=int, default=40, help="training steps; default %(default)s")
    options = parser.parse_args()
    # JAX creates its devices at the first computation, so this comes before it.
    jax.config.update("jax_num_cpu_devices", DEVICES)
    rng, t = np.random.default_rng(0), np.arange(LENGTH)
    clean = np.sin(2 * np.pi * t / (60 + 40 * np.sin(2 * np.pi * t / LENGTH)))[None, :, None].astype("float32")
    noisy = clean + 0.5 * rng.standard_normal(clean.shape).astype("float32")

    model = unet(1, (LENGTH, 1))
    params, state = model.init(jax.random.key(0), (LENGTH, 1))
    optimizer = optax.adam(3e-3)

    def loss(params: Any, state: Any, x: jax.Array, y: jax.Array) -> Any:
        found, state = model.apply(params, state, x, training=True)
        return jnp.mean((found - y) ** 2), (state, found)

    @jax.jit
    def step(params: Any, state: Any, moments: Any, x: jax.Array, y: jax.Array) -> Any:
        (value, (state, found)), gradient = jax.value_and_grad(loss, has_aux=True)(params, state, x, y)
        updates, moments = optimizer.update(gradient, moments)
        return optax.apply_updates(params, updates), state, moments, value, found

    mesh = jax.make_mesh((DEVICES,), ("length",), (AxisType.Auto,))
    along, replicated = (NamedSharding(mesh, spec) for spec in (PartitionSpec(None, "length"), PartitionSpec()))
    x, y = jax.device_put((noisy, clean), along)
    sharded = jax.device_put((params, state, optimizer.init(params)), replicated)

    program = step.lower(*sharded, x, y).compile().as_text()
    counts = {name: sum(f" {name}" in line for line in program.splitlines()) for name in COLLECTIVES}
    print(f"one step, {LENGTH // DEVICES} samples on each device: {counts}")
    one = step(params, state, optimizer.init(params), noisy, clean)[3]
    losses, found = [], None
    for _ in range(options.steps):
        *sharded, value, found = step(*sharded, x, y)
        losses.append(float(value))
    print(f"first loss {losses[0]:.6f}, on one device {float(one):.6f}; after {options.steps} steps {losses[-1]:.4f}")

    figure, axes = plt.subplots(figsize=(9, 3.5), layout="constrained")
    shard = LENGTH // DEVICES
    middle = slice(3 * shard - 200, 3 * shard + 200)
    axes.plot(t[middle], noisy[0, middle, 0], color="0.7", linewidth=1, label="noisy")
    axes.plot(t[middle], clean[0, middle, 0], color="tab:orange", linewidth=3, alpha=0.6, label="clean")
    axes.plot(t[middle], np.asarray(found)[0, middle, 0], color="tab:blue", linewidth=1.5, label="denoised")
    axes.axvline(3 * shard - 0.5, color="tab:red", linestyle=":", label="boundary of devices 2 and 3")
    axes.set_xlabel("sample")
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.15))
    figure.savefig(options.out, dpi=110)


if __name__ == "__main__":
    main()
