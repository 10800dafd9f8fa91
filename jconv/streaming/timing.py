"""When an output sample of a sequence is there: integers and fractions only, for what is computed a chunk at a time."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..geometry import Padding, pad_amounts, reach, transposed_geometry


@dataclass(frozen=True)
class Pace:
    """How outputs follow inputs: output sample i needs input samples up to `(i * stride + lead) // rate`.

    A convolution has its own `stride`, rate 1, and `lead = reach - 1 - low`; a transposed one stride 1, its stride as
    the `rate`, and `lead = low`. A negative `lead` means that outputs are there before any input.

    >>> Pace(stride=2, lead=4).count(9), Pace(rate=3).count(2)
    (3, 6)
    """

    stride: int = 1
    rate: int = 1
    lead: int = 0

    def needs(self, output: int) -> int:
        """The number of the last input sample that output sample `output` reads or waits for; -1 or less for none."""
        return (output * self.stride + self.lead) // self.rate

    def count(self, samples: int) -> int:
        """How many outputs are there after so many inputs."""
        return max(0, -((self.lead - samples * self.rate) // self.stride))

    @property
    def ratio(self) -> Fraction:
        """Output samples for each input sample."""
        return Fraction(self.rate, self.stride)

    @property
    def latency(self) -> Fraction:
        """How far, in input samples, outputs trail behind: the greatest `needs(i) - i / ratio`, exactly."""
        return max(self.needs(i) - i / self.ratio for i in range(self.ratio.numerator))


SAMPLE = Pace()
"""An output sample for each input sample, at once."""


def convolution_pace(kernel_size: int, *, stride: int = 1, padding: Padding = "valid", dilation: int = 1) -> Pace:
    """The pace of a convolution or of pooling.

    `"same"` pads the start by what a length that is a multiple of the stride asks for: that length is not known yet.

    >>> convolution_pace(5, padding="causal").latency, convolution_pace(5, padding="same").latency
    (Fraction(0, 1), Fraction(2, 1))
    """
    low, _ = pad_amounts(stride, kernel_size, stride=stride, padding=padding, dilation=dilation)
    return Pace(stride=stride, lead=reach(kernel_size, dilation) - 1 - low)


def transposed_pace(
    kernel_size: int, *, stride: int = 1, padding: str = "valid", output_padding: int | None = None, dilation: int = 1
) -> Pace:
    """The pace of a transposed convolution: its outputs are whole once no later input adds to them.

    >>> transposed_pace(4, stride=2).count(3), transposed_pace(4, stride=2, padding="same").latency
    (6, Fraction(1, 2))
    """
    # Cropping does not depend on the length, once it is long enough to be cropped.
    span = reach(kernel_size, dilation)
    geometry = transposed_geometry(
        span, kernel_size, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation
    )
    # Where the stride is longer than what the taps reach, zeros at the end may not be part of the output.
    held = max(0, span * stride - geometry.length - geometry.low)
    return Pace(rate=stride, lead=geometry.low + held)
