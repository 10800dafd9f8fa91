"""The networks of the streaming benchmark, as data from which each side builds them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jconv import Model, Node
from jconv.layers import Add, Conv1D, DepthwiseConv1D

Array = np.ndarray[Any, Any]


class ConvWeights(NamedTuple):
    """A causal convolution: kernel (kernel_size, in, out), or (kernel_size, channels, 1) for a depthwise one."""

    kernel: Array
    bias: Array
    dilation: int = 1
    activation: str | None = None
    depthwise: bool = False


class StreamedNetwork(NamedTuple):
    """Blocks of convolutions, one after the other; with `residual` each block's input is added to its output."""

    name: str
    blocks: tuple[tuple[ConvWeights, ...], ...]
    residual: bool

    @property
    def channels(self) -> int:
        """The channels of the input."""
        return self.blocks[0][0].kernel.shape[1]

    @property
    def reach(self) -> int:
        """The receptive field in samples."""
        return 1 + sum((len(conv.kernel) - 1) * conv.dilation for block in self.blocks for conv in block)

    def model(self) -> Model:
        """The network in jconv, with nodes named as in `params`."""
        nodes: list[Node] = []
        at = "x"
        for number, block in enumerate(self.blocks):
            begin = at
            for part, conv in enumerate(block):
                nodes.append(Node(f"{number}.{part}", _layer(conv), (at,)))
                at = f"{number}.{part}"
            if self.residual:
                nodes.append(Node(f"{number}.sum", Add(), (at, begin)))
                at = f"{number}.sum"
        return Model(tuple(nodes), ("x",), (at,), ((None, self.channels),))

    def params(self) -> dict[str, dict[str, Array]]:
        """The arrays by node name."""
        return {
            f"{number}.{part}": {"kernel": conv.kernel, "bias": conv.bias}
            for number, block in enumerate(self.blocks)
            for part, conv in enumerate(block)
        }


def _layer(conv: ConvWeights) -> Conv1D | DepthwiseConv1D:
    size, _, out = conv.kernel.shape
    options: dict[str, Any] = {"padding": "causal", "dilation": conv.dilation, "activation": conv.activation}
    return DepthwiseConv1D(size, **options) if conv.depthwise else Conv1D(out, size, **options)


def networks() -> list[StreamedNetwork]:
    """The three networks, with random arrays."""
    rng = np.random.default_rng(0)

    def conv(size: int, channels: int, out: int, **options: Any) -> ConvWeights:
        kernel = rng.normal(size=(size, channels, out)) / np.sqrt(size * channels)
        return ConvWeights(kernel.astype("float32"), 0.1 * rng.normal(size=out).astype("float32"), **options)

    gated = tuple((conv(2, 64, 128, dilation=2**i, activation="glu"), conv(1, 64, 64)) for i in range(10))
    temporal = tuple(tuple(conv(3, 64, 64, dilation=2**i, activation="relu") for _ in range(2)) for i in range(8))
    kernel = rng.normal(size=(4, 2048, 1)).astype("float32")
    depthwise = ConvWeights(kernel, rng.normal(size=2048).astype("float32"), depthwise=True)
    return [
        StreamedNetwork("WaveNet, 10 dilations, 64 channels", gated, residual=True),
        StreamedNetwork("TCN, 16 layers of 3 taps, 64 channels", temporal, residual=True),
        StreamedNetwork("depthwise, 4 taps, 2048 channels", ((depthwise,),), residual=False),
    ]
