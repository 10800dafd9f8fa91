"""A WaveNet that learns to continue a signal, then generates it sample by sample from a stream.

    pip install -e ".[examples]" && python examples/wavenet.py

Training computes all outputs of a recording at once. Generating feeds each output back as the next input: a stream
keeps the samples that the dilated convolutions still need, so a step costs the same for any receptive field. (After van
den Oord et al., WaveNet: A Generative Model for Raw Audio, 2016, with one real output instead of a distribution.) Draws
`wavenet.png`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jconv import Model, Node, layers

FILTERS, BLOCKS = 24, 7
CHUNK, BATCH = 512, 8


def network() -> Model:
    """Gated blocks of dilations 1, 2, 4, ... with residual and skip connections; (length, 1) to (length, 1)."""

    def conv(filters: int, taps: int = 1, **options: Any) -> layers.Layer:
        return layers.Conv1D(filters, taps, padding="causal", **options)

    nodes, at, skips = [Node("first", conv(FILTERS, 2), ("x",))], "first", []
    for i in range(BLOCKS):
        for gate in ("tanh", "sigmoid"):
            nodes.append(Node(f"{i}.{gate}", conv(FILTERS, 2, dilation=2**i, activation=gate), (at,)))
        nodes.append(Node(f"{i}.product", layers.Multiply(), (f"{i}.tanh", f"{i}.sigmoid")))
        nodes.append(Node(f"{i}.skip", conv(FILTERS), (f"{i}.product",)))
        skips.append(f"{i}.skip")
        if i < BLOCKS - 1:
            nodes.append(Node(f"{i}.in", conv(FILTERS), (f"{i}.product",)))
            nodes.append(Node(f"{i}.out", layers.Add(), (f"{i}.in", at)))
            at = f"{i}.out"
    nodes.append(Node("skips", layers.Add(), tuple(skips)))
    nodes.append(Node("relu", layers.Activation("relu"), ("skips",)))
    nodes.append(Node("hidden", conv(FILTERS, activation="relu"), ("relu",)))
    nodes.append(Node("head", conv(1), ("hidden",)))
    return Model(tuple(nodes), ("x",), ("head",), ((None, 1),))


def signal(length: int) -> np.ndarray:
    """A tone whose loudness and harmonics change periodically, (length, 1)."""
    t = np.arange(length)
    tone = np.sin(2 * np.pi * t / 23) + 0.5 * np.sin(2 * np.pi * t / 11.5 + 1)
    return ((0.6 + 0.4 * np.sin(2 * np.pi * t / 161)) * tone)[:, None].astype("float32")


def train(model: Model, params: Any, recording: np.ndarray, steps: int) -> tuple[Any, np.ndarray]:
    """The parameters after `steps` steps of Adam, compiled as one scan, and the losses."""
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, steps))
    recording = jnp.asarray(recording)

    def loss(params: Any, x: jax.Array) -> jax.Array:
        y, _ = model.apply(params, {}, x[:, :-1])
        return jnp.mean((y - x[:, 1:])[:, 2**BLOCKS :] ** 2)

    def step(carry: Any, key: jax.Array) -> Any:
        params, state = carry
        starts = jax.random.randint(key, (BATCH,), 0, len(recording) - CHUNK)
        noise = 0.02 * jax.random.normal(key, (BATCH, CHUNK, 1))
        chunks = jax.vmap(lambda start: jax.lax.dynamic_slice_in_dim(recording, start, CHUNK))(starts)
        value, gradient = jax.value_and_grad(loss)(params, chunks + noise)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), value

    keys = jax.random.split(jax.random.key(1), steps)
    (params, _), losses = jax.jit(lambda carry: jax.lax.scan(step, carry, keys))((params, optimizer.init(params)))
    return params, np.asarray(losses)


def generate(model: Model, params: Any, start: np.ndarray, count: int) -> np.ndarray:
    """`count` samples that continue `start` (length, 1): each output is the next input of the stream."""
    stream = model.stream_init(params, {}, (1,))
    y, stream = model.stream_step(params, {}, stream, start[None])

    def step(carry: Any, _: None) -> Any:
        stream, sample = carry
        y, stream = model.stream_step(params, {}, stream, sample)
        return (stream, y), sample[0, 0]

    _, samples = jax.jit(lambda carry: jax.lax.scan(step, carry, length=count))((stream, y[:, -1:]))
    return np.asarray(samples)


def main() -> None:
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("wavenet.png"), help="the picture; default %(default)s")
    parser.add_argument("--steps", type=int, default=800, help="training steps; default %(default)s")
    options = parser.parse_args()
    model, recording = network(), signal(6000)
    params, _ = model.init(jax.random.key(0))
    began = time.perf_counter()
    params, losses = train(model, params, recording, options.steps)
    print(f"{options.steps} steps in {time.perf_counter() - began:.0f} s; mean squared error {losses[-20:].mean():.1e}")

    at, count = 5000, 400
    began = time.perf_counter()
    samples = generate(model, params, recording[at - 600 : at], count)
    print(f"{count} samples in {time.perf_counter() - began:.1f} s, compilation included")
    # Compares the stream with the model applied to the complete recording.
    x = np.concatenate([recording[at - 600 : at], samples])[None]
    y = np.asarray(model.apply(params, {}, x)[0])[0]
    print(f"streamed and complete outputs differ by {np.abs(y[599:-1] - samples).max():.0e}")
    print(f"error of the continuation: {np.sqrt(np.mean((samples - recording[at : at + count]) ** 2)):.2f} of 0.6")

    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 5), layout="constrained")
    above.semilogy(losses, color="tab:blue", linewidth=1)
    above.set_xlabel("training step")
    above.set_ylabel("mean squared error")
    time_axis = np.arange(-100, count)
    below.plot(time_axis, recording[at - 100 : at + count], color="tab:orange", linewidth=3, alpha=0.5, label="signal")
    below.plot(np.arange(count), samples, color="tab:blue", linewidth=1, label="generated")
    below.axvline(0, color="0.5", linestyle=":")
    below.set_xlabel("samples since generation began")
    below.legend(frameon=False, loc="upper right", ncols=2)
    figure.savefig(options.out, dpi=110)


if __name__ == "__main__":
    main()
