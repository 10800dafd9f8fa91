"""The convolutions that are measured: layers of published networks, and extreme sizes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import jconv

Array = np.ndarray[Any, Any]
Padding = str | tuple[int, int]


class Row(NamedTuple):
    """One convolution, or one transposed convolution, or an ensemble of either.

    `length` is the input's. With `ensemble` above one there are that many inputs, each with its own kernel. With
    `shared_kernel` they share one, and the kernel's gradient is computed for each input separately.
    """

    name: str
    family: str
    batch: int
    length: int
    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    padding: Padding = "causal"
    transposed: bool = False
    ensemble: int = 1
    shared_kernel: bool = False

    @property
    def reach(self) -> int:
        """The length of the window of one output sample."""
        return (self.kernel_size - 1) * self.dilation + 1

    @property
    def amounts(self) -> tuple[int, int]:
        """The zeros before and after the input; none for a transposed row."""
        if not isinstance(self.padding, str):
            return self.padding
        if self.padding == "same":
            total = max((-(-self.length // self.stride) - 1) * self.stride + self.reach - self.length, 0)
            return total // 2, total - total // 2
        return {"causal": (self.reach - 1, 0), "valid": (0, 0)}[self.padding]

    @property
    def out_length(self) -> int:
        """The length of the output."""
        if self.transposed:
            return (self.length - 1) * self.stride + max(self.reach, self.stride)
        return jconv.output_length(self.length, self.kernel_size, **self.geometry, padding=self.amounts)

    @property
    def geometry(self) -> dict[str, Any]:
        """Stride and dilation."""
        return {"stride": self.stride, "dilation": self.dilation}

    @property
    def kernel_shape(self) -> tuple[int, int, int]:
        """The shape of one kernel, in Keras's layout."""
        if self.transposed:
            return self.kernel_size, self.out_channels, self.in_channels
        return self.kernel_size, self.in_channels // self.groups, self.out_channels

    @property
    def flops(self) -> int:
        """The FLOPs of the forward pass by the definition."""
        windows = self.length if self.transposed else self.out_length
        one = 2 * self.batch * windows * self.kernel_size * self.in_channels * self.out_channels // self.groups
        return one * self.ensemble

    @property
    def bytes(self) -> int:
        """The bytes of float32 that the forward pass must read and write: x, kernel and y, once each."""
        kernels = 1 if self.shared_kernel else self.ensemble
        x_and_y = self.batch * (self.length * self.in_channels + self.out_length * self.out_channels)
        return 4 * (self.ensemble * x_and_y + kernels * int(np.prod(self.kernel_shape)))

    @property
    def depthwise(self) -> bool:
        """Whether the convolution is depthwise."""
        return 1 < self.groups == self.in_channels

    @property
    def sizes(self) -> str:
        """Batch, length, in, out, kernel size, stride, dilation and groups, as text for the tables."""
        return ", ".join(map(str, self[2:10]))


class Operands(NamedTuple):
    """x, kernel and a cotangent of y, in float32; each with a leading ensemble axis if the row is an ensemble."""

    x: Array
    kernel: Array
    y_bar: Array


def operands(row: Row) -> Operands:
    """Random operands of a row, the same in every call."""
    rng = np.random.default_rng(0)
    ensemble = (row.ensemble,) if row.ensemble > 1 else ()
    shapes = (
        (*ensemble, row.batch, row.length, row.in_channels),
        (*(() if row.shared_kernel else ensemble), *row.kernel_shape),
        (*ensemble, row.batch, row.out_length, row.out_channels),
    )
    return Operands(*(rng.standard_normal(shape, np.float32) for shape in shapes))


def _depthwise(name: str, batch: int, length: int, channels: int, kernel_size: int, **others: Any) -> Row:
    return Row(name, "depthwise", batch, length, channels, channels, kernel_size, groups=channels, **others)


def _long(kernel_size: int) -> Row:
    return _depthwise(f"long kernel, {kernel_size}", 4, 8192, 64, kernel_size)._replace(family="long")


def _wav2vec(layer: int, length: int, kernel_size: int, in_channels: int = 512, stride: int = 2) -> Row:
    name = f"wav2vec 2.0, layer {layer}"
    return Row(name, "strided", 1, length, in_channels, 512, kernel_size, stride, padding="valid")


def _decoder(name: str, batch: int, length: int, channels: tuple[int, int], kernel_size: int, stride: int) -> Row:
    return Row(name, "transposed", batch, length, *channels, kernel_size, stride, padding="valid", transposed=True)


ROWS = [
    # A kernel for each channel.
    _depthwise("Mamba, short convolution", 4, 2048, 512, 4),
    _depthwise("Hyena, short convolution", 4, 2048, 768, 3),
    _depthwise("Conformer, depthwise", 4, 2048, 256, 31, padding="same"),
    _depthwise("ConvNeXt in one dimension", 4, 512, 256, 7, padding="same"),
    _depthwise("depthwise, dilated", 4, 2048, 256, 7, dilation=8),
    Row("depthwise, multiplier 2", "depthwise", 4, 1024, 128, 256, 5, groups=128),
    _depthwise("depthwise, strided", 4, 2048, 256, 5, stride=2, padding="same"),
    # Groups of several channels.
    Row("8 groups", "grouped", 8, 1024, 128, 128, 9, groups=8),
    Row("32 groups (ResNeXt)", "grouped", 8, 1024, 256, 256, 3, groups=32),
    Row("16 groups", "grouped", 8, 700, 256, 256, 3, groups=16),
    Row("4 groups, more out than in", "grouped", 6, 900, 96, 192, 5, groups=4),
    # All channels with all channels.
    Row("dense", "dense", 16, 512, 128, 256, 5),
    Row("dense, fewer out than in", "dense", 16, 512, 256, 128, 3),
    Row("FCN, first layer", "dense", 5, 150, 1, 128, 8),
    Row("FCN, second layer", "dense", 5, 150, 128, 256, 5),
    Row("FCN, third layer", "dense", 5, 150, 256, 128, 3),
    Row("first layer, one channel in", "dense", 16, 512, 1, 128, 8),
    Row("one channel in and out", "dense", 8, 16000, 1, 1, 64),
    Row("InceptionTime, kernel size 40", "dense", 64, 152, 32, 32, 40, padding="same"),
    Row("InceptionTime, kernel size 20", "dense", 64, 152, 32, 32, 20, padding="same"),
    Row("InceptionTime, kernel size 10", "dense", 64, 152, 32, 32, 10, padding="same"),
    # Kernel size 1: a matrix product.
    Row("InceptionTime, bottleneck", "pointwise", 64, 152, 128, 32, 1),
    Row("pointwise", "pointwise", 16, 512, 128, 256, 1),
    # Dilated kernels.
    Row("WaveNet, dilation 1", "dilated", 2, 4096, 64, 128, 2),
    Row("WaveNet, dilation 64", "dilated", 2, 4096, 64, 128, 2, dilation=64),
    Row("TCN, dilation 8", "dilated", 8, 512, 64, 64, 3, dilation=8),
    # With a stride, up to windows that do not overlap.
    _wav2vec(1, 16000, 10, in_channels=1, stride=5),
    _wav2vec(2, 3199, 3),
    _wav2vec(3, 1599, 3),
    _wav2vec(4, 799, 3),
    _wav2vec(5, 399, 3),
    _wav2vec(6, 199, 2),
    _wav2vec(7, 99, 2),
    Row("strided, causal", "strided", 1, 3199, 512, 512, 3, 2),
    Row("ECG network, first layer", "strided", 32, 1000, 12, 64, 15, 2, padding="same"),
    Row("ECG network, deeper layer", "strided", 32, 250, 128, 196, 17, 4, padding="same"),
    Row("windows that do not overlap", "strided", 64, 108, 1, 16, 12, 12),
    Row("patch embedding", "strided", 32, 2048, 8, 128, 16, 16, padding="valid"),
    # Kernels as long as the series.
    _long(64),
    _long(256),
    _long(1024),
    _long(8192),
    # Decoders.
    _decoder("EnCodec, decoder", 4, 250, (256, 128), 16, 8),
    _decoder("HiFi-GAN, first upsampling", 2, 100, (512, 256), 16, 8),
    _decoder("U-Net, upsampling", 8, 256, (128, 64), 2, 2),
    _decoder("decoder, kernel size 4", 8, 512, (128, 64), 4, 2),
    # Ensembles.
    Row("ensemble of 16", "ensemble", 8, 128, 32, 32, 5, ensemble=16),
    Row("gradients of 64 examples", "per-example", 1, 150, 64, 128, 5, ensemble=64, shared_kernel=True),
]
"""Every row of the benchmark; names are unique."""

QUICK = (
    "ConvNeXt in one dimension",
    "4 groups, more out than in",
    "FCN, first layer",
    "FCN, second layer",
    "TCN, dilation 8",
    "windows that do not overlap",
    "U-Net, upsampling",
    "ensemble of 16",
)
"""The names of the rows of `--quick`: one or two of most families, each measured in a few seconds."""
