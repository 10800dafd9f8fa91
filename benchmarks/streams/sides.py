"""The sides of the streaming benchmark: each computes a network chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..shared.machine import cores
from .networks import Array, ConvWeights, StreamedNetwork

Step = Callable[[Array], Any]
"""A function with state that returns the outputs for the next chunk (batch, samples, channels)."""


class StreamSide(NamedTuple):
    """A side's name, the function that builds a step from a network, a batch size and a chunk length, and its package.

    A side that does not stream is a lower bound of the time.
    """

    name: str
    build: Callable[[StreamedNetwork, int, int], Step]
    needs: str | None = None
    streams: bool = True


def missing(sides: list[StreamSide]) -> list[str]:
    """The names of packages that are not installed."""
    return sorted({side.needs for side in sides if side.needs and find_spec(side.needs) is None})


def _stateful(step: Callable[..., Any], params: Any, state: Any) -> Step:
    """A function of a chunk that keeps the state between its calls; `step(params, state, x)` returns `(y, state)`."""

    def call(x: Array) -> Any:
        nonlocal state
        y, state = step(params, state, x)
        return jax.block_until_ready(y)

    return call


def stream(network: StreamedNetwork, batch: int, chunk: int, form: str = "auto", has_slots: bool = False) -> Step:
    """`Model.stream_step` with the stream donated; with `has_slots`, each row has a slot and all are stepped."""
    model, params = network.model(), jax.tree.map(jnp.asarray, network.params())
    state = model.stream_init(params, {}, (batch,), form=form, chunk=chunk, slots=has_slots)
    slots = jnp.arange(batch) if has_slots else None
    step = jax.jit(lambda params, state, x: model.stream_step(params, {}, state, x, slots=slots), donate_argnums=1)
    return _stateful(step, params, state)


def window(network: StreamedNetwork, batch: int, chunk: int) -> Step:
    """Recomputes the complete window for each chunk, by `Model.apply`."""
    model, params = network.model(), jax.tree.map(jnp.asarray, network.params())
    past = jnp.zeros((batch, network.reach - 1, network.channels))

    @jax.jit
    def step(params: Any, past: Any, x: Any) -> Any:
        complete = jnp.concatenate([past, x], axis=1)
        # The first outputs of the window depend on padding, and are dropped.
        return model.apply(params, {}, complete)[0][:, -x.shape[1] :], complete[:, x.shape[1] :]

    return _stateful(step, params, past)


def sequence_layers(network: StreamedNetwork, batch: int, chunk: int) -> Step:
    """google/sequence-layers with the same arrays and a donated state."""
    import sequence_layers.jax as sl  # pyright: ignore[reportMissingImports]

    def layer(conv: ConvWeights) -> list[Any]:
        options = {"kernel_size": len(conv.kernel), "dilation_rate": conv.dilation, "padding": "causal_valid"}
        own = (
            sl.DepthwiseConv1D.Config(**options)
            if conv.depthwise
            else sl.Conv1D.Config(filters=conv.kernel.shape[2], **options)
        )
        after = {"glu": [sl.GatedLinearUnit.Config()], "relu": [sl.Relu.Config()], None: []}
        return [own, *after[conv.activation]]

    blocks = [[part for conv in block for part in layer(conv)] for block in network.blocks]
    parts = [sl.Residual.Config(block) for block in blocks] if network.residual else [p for b in blocks for p in b]
    module = sl.Serial.Config(parts).make()
    example = sl.Sequence.from_values(jnp.zeros((batch, chunk, network.channels)))
    made = module.init(jax.random.key(0), example, training=False)
    variables = _filled(made, network)
    kept = module.apply(variables, batch, example.channel_spec, training=False, method=module.get_initial_state)

    def stepped(variables: Any, kept: Any, x: Any) -> Any:
        y, kept = module.apply(variables, sl.Sequence.from_values(x), kept, training=False, method=module.step)
        return y.values, kept

    step = jax.jit(stepped, donate_argnums=1)
    return _stateful(step, variables, kept)


def _filled(variables: Any, network: StreamedNetwork) -> Any:
    """The variables with the network's arrays, which have the same order."""
    convs = iter([conv for block in network.blocks for conv in block])

    def filled(tree: Any) -> Any:
        if "kernel" in tree:
            conv = next(convs)
            kernel = conv.kernel.reshape(tree["kernel"].shape)
            return {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(conv.bias.reshape(tree["bias"].shape))}
        return {name: filled(tree[name]) for name in sorted(tree, key=_number)}

    import flax.linen as nn

    return filled(nn.meta.unbox(variables))


def _number(name: str) -> tuple[str, int]:
    stem, _, number = name.rpartition("_")
    return (stem, int(number)) if number.isdigit() else (name, 0)


def torch(network: StreamedNetwork, batch: int, chunk: int) -> Step:
    """PyTorch, with the last samples of each convolution's input concatenated to the chunk."""
    import torch as pt  # pyright: ignore[reportMissingImports]

    # For one session PyTorch is slower with two threads.
    threads = 1 if batch == 1 else cores()
    functional = pt.nn.functional
    after = {"glu": partial(functional.glu, dim=1), "relu": functional.relu, None: lambda y: y}

    def prepared(conv: ConvWeights) -> Any:
        # PyTorch's kernel is (out, in, taps), or (channels, 1, taps) for a depthwise convolution.
        kernel = conv.kernel.transpose(1, 2, 0) if conv.depthwise else conv.kernel.transpose(2, 1, 0)
        channels = conv.kernel.shape[1]
        past = pt.zeros(batch, channels, (len(conv.kernel) - 1) * conv.dilation)
        groups = channels if conv.depthwise else 1
        return [
            pt.from_numpy(kernel.copy()),
            pt.from_numpy(conv.bias),
            past,
            conv.dilation,
            groups,
            after[conv.activation],
        ]

    blocks = [[prepared(conv) for conv in block] for block in network.blocks]

    @pt.inference_mode()
    def call(x: Array) -> Any:
        if pt.get_num_threads() != threads:
            pt.set_num_threads(threads)
        y = pt.from_numpy(x).transpose(1, 2)
        for block in blocks:
            begin = y
            for conv in block:
                kernel, bias, past, dilation, groups, activation = conv
                complete = pt.cat([past, y], dim=2) if past.shape[2] else y
                y = activation(functional.conv1d(complete, kernel, bias, dilation=dilation, groups=groups))
                conv[2] = complete[:, :, complete.shape[2] - past.shape[2] :]
            y = y + begin if network.residual else y
        return y.transpose(1, 2).numpy()

    return call


def matrix_products(network: StreamedNetwork, batch: int, chunk: int) -> Step:
    """Only the matrix products of a step, one after the other, without buffers and windows.

    A lower bound for streams whose matrix products are computed by XLA.
    """
    kernels = [jnp.asarray(conv.kernel.reshape(-1, conv.kernel.shape[2])) for b in network.blocks for conv in b]

    @jax.jit
    def chained(kernels: Any, windows: Any) -> Any:
        y = jnp.zeros((1, 1))
        for kernel in kernels:
            # An element of the previous product, so that XLA does not compute several at the same time.
            windows = {**windows, len(kernel): windows[len(kernel)].at[:1, :1].set(y[:1, :1])}
            y = windows[len(kernel)] @ kernel
        return y

    windows = {len(kernel): jnp.ones((batch * chunk, len(kernel))) for kernel in kernels}
    return lambda _: jax.block_until_ready(chained(kernels, windows))


JCONV, SLOTS, WINDOW = "jconv", "jconv, slots", "window recomputed"
SEQUENCE_LAYERS, TORCH, PRODUCTS = "sequence-layers", "PyTorch", "matrix products alone"
SIDES = [
    StreamSide(JCONV, stream),
    StreamSide(SLOTS, partial(stream, has_slots=True)),
    StreamSide(SEQUENCE_LAYERS, sequence_layers, "sequence_layers"),
    StreamSide(TORCH, torch, "torch"),
    StreamSide(WINDOW, window),
    StreamSide(PRODUCTS, matrix_products, streams=False),
]


def truth(network: StreamedNetwork, x: Array) -> Array:
    """The outputs for a complete sequence, by the reference."""
    return np.asarray(network.model().reference(network.params(), {}, x))
