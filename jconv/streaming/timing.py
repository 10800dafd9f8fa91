"""When the outputs of a stream are available: exact arithmetic with integers and fractions, without arrays."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from ..geometry import Padding, pad_amounts, reach, transposed_geometry


@dataclass(frozen=True)
class OutputTiming:
    """When outputs are available: output sample i waits for input sample `(i * stride + delay) // upsampling`.

    A convolution has its own `stride` and `delay = reach - 1 - low`. A transposed convolution has its stride as
    `upsampling` and `delay = low`. With a negative `delay`, outputs are available before any input.

    >>> OutputTiming(stride=2, delay=4).count(9), OutputTiming(upsampling=3).count(2)
    (3, 6)
    """

    stride: int = 1
    upsampling: int = 1
    delay: int = 0

    def last_input(self, output: int) -> int:
        """The index of the last input sample that an output sample waits for; negative if it waits for none."""
        return (output * self.stride + self.delay) // self.upsampling

    def count(self, samples: int) -> int:
        """The number of outputs that are available after a number of input samples."""
        return max(0, -((self.delay - samples * self.upsampling) // self.stride))

    @property
    def ratio(self) -> Fraction:
        """Output samples per input sample."""
        return Fraction(self.upsampling, self.stride)

    @property
    def latency(self) -> Fraction:
        """The largest delay of an output in input samples: the maximum of `last_input(i) - i / ratio`."""
        return max(self.last_input(i) - i / self.ratio for i in range(self.ratio.numerator))


IMMEDIATE = OutputTiming()
"""One output sample for each input sample, without delay."""


def convolution_timing(
    kernel_size: int, *, stride: int = 1, padding: Padding = "valid", dilation: int = 1
) -> OutputTiming:
    """The timing of a convolution or of pooling.

    The length of a stream is not known. `"same"` therefore pads the start as for a multiple of the stride.

    >>> convolution_timing(5, padding="causal").latency, convolution_timing(5, padding="same").latency
    (Fraction(0, 1), Fraction(2, 1))
    """
    low, _ = pad_amounts(stride, kernel_size, stride=stride, padding=padding, dilation=dilation)
    return OutputTiming(stride=stride, delay=reach(kernel_size, dilation) - 1 - low)


class OverlapSizes(NamedTuple):
    """Sizes in output samples. After n input samples, `n * stride - withheld` outputs are complete.

    `low` outputs are cropped from the start and `high` are added at the end. `overlap` partial sums, to which later
    inputs add, extend beyond `n * stride`. If the stride exceeds the reach, zeros follow the sums of each input. Those
    after the last input may not be part of the output, so `withheld` outputs are returned one input later.
    """

    low: int
    withheld: int
    high: int
    overlap: int


def overlap_sizes(
    kernel_size: int,
    *,
    stride: int = 1,
    padding: str = "valid",
    output_padding: int | None = None,
    dilation: int = 1,
) -> OverlapSizes:
    """The sizes for these options of `jconv.conv1d_transpose`."""
    # The sizes are the same for all lengths that are long enough to be cropped.
    span = reach(kernel_size, dilation)
    geometry = transposed_geometry(
        span, kernel_size, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation
    )
    extra = geometry.length + geometry.low - span * stride
    return OverlapSizes(geometry.low, max(0, -extra), max(0, extra), max(0, span - stride))


def transposed_timing(
    kernel_size: int, *, stride: int = 1, padding: str = "valid", output_padding: int | None = None, dilation: int = 1
) -> OutputTiming:
    """The timing of a transposed convolution, whose outputs are available once no later input adds to them.

    >>> transposed_timing(4, stride=2).count(3), transposed_timing(4, stride=2, padding="same").latency
    (6, Fraction(1, 2))
    """
    sizes = overlap_sizes(kernel_size, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation)
    return OutputTiming(upsampling=stride, delay=sizes.low + sizes.withheld)
