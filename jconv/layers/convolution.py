"""The convolution layers. They call `jconv.conv1d` and the related functions, with Keras's defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import jax

from .. import reference, streaming
from ..checks import check_padding_mode
from ..functional import convolution
from ..geometry import (
    Geometry,
    Padding,
    check_positive,
    make_geometry,
    pad_amounts,
    reach,
    transposed_geometry,
)
from ..planner.choose import check_algorithm
from ..ragged.sequences import make_sequences
from ..streaming.buffers import StreamOptions
from ..streaming.timing import OutputTiming, convolution_timing, transposed_timing
from .activations.activation_option import (
    activation_shapes,
    check_activation,
    jax_activation,
    numpy_activation,
    reads_complete_length,
    remove_activation_params,
)
from .base import Activation, Layer, check_sizes_known, name_layer_in_errors, sequence_shape, shape_after_activation
from .types import Array, ArrayShapes, Params, ReceptiveField, Shape, State

OPTIONS = ("stride", "padding", "output_padding", "dilation", "groups", "padding_mode")
SIZES = ("filters", "kernel_size", "depth_multiplier", "stride", "dilation", "groups")


class Convolution(Layer):
    """Base class; `function` and `definition` are the convolution in JAX and in NumPy."""

    function: ClassVar[Callable[..., jax.Array]]
    definition: ClassVar[Callable[..., Array]]

    filters: int
    kernel_size: int
    stride: int
    padding: Any
    dilation: int
    activation: Activation
    use_bias: bool
    algorithm: str

    def __post_init__(self) -> None:
        if isinstance(self.padding, list):
            object.__setattr__(self, "padding", tuple(self.padding))
        with name_layer_in_errors(self):
            for name in SIZES:
                if hasattr(self, name):
                    check_positive(name, getattr(self, name))
            check_padding_mode(getattr(self, "padding_mode", "zeros"))
            check_activation("activation", self.activation)
            check_algorithm(self.algorithm)
            self._check_padding()

    def output_shape(self, input_shape: Any) -> Shape:
        """`(out_length, out_channels)`; an unknown length stays unknown."""
        return shape_after_activation(self, self.activation, self._linear_shape(input_shape))

    def param_shapes(self, input_shape: Any) -> ArrayShapes:
        """The kernels in Keras's layout, `"bias"` with `use_bias`, and the params of the activation."""
        channels = input_shape[-1]
        bias = {"bias": (self._out_channels(channels),)} if self.use_bias else {}
        shapes = self._kernel_shapes(channels) | bias
        if isinstance(self.activation, Layer):
            shapes |= activation_shapes(self.activation, self._linear_shape(input_shape))
        return shapes

    def _jax_sequences(self, params: Params, x: Any, sequences: Any) -> tuple[Any, Any]:
        with name_layer_in_errors(self):
            y, extent = self._call(
                params, x, activation=jax_activation(self.activation, params), **sequences.as_argument
            )
        return y, make_sequences(y.shape[:2], **dict.fromkeys(sequences.as_argument, extent))

    def flops(self, input_shape: Any) -> int:
        """2 per multiply-add, including multiply-adds with padding."""
        check_sizes_known(self, input_shape)
        self.output_shape(input_shape)
        positions = self._positions(input_shape[0])
        shapes = self._kernel_shapes(input_shape[1]).values()
        return sum(2 * positions * shape[0] * shape[1] * shape[2] for shape in shapes)

    def window(self) -> ReceptiveField | None:
        """`((kernel_size - 1) * dilation + 1, stride)`, or None if the activation is over the length."""
        return None if reads_complete_length(self.activation) else (reach(self.kernel_size, self.dilation), self.stride)

    def _linear_shape(self, input_shape: Any) -> Shape:
        """The output shape before the activation."""
        length, channels = sequence_shape(self, input_shape)
        self._check_channels(channels)
        with name_layer_in_errors(self):
            out_length = None if length is None else self._out_length(length)
        return out_length, self._out_channels(channels)

    def output_timing(self) -> OutputTiming:
        """Same as for `jconv.streaming` with this convolution."""
        self._check_chunks()
        with name_layer_in_errors(self):
            options = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
            return convolution_timing(self.kernel_size, **options)

    def stream_init(self, params: Params, state: State, x: Any, options: StreamOptions) -> Any:
        """The state of `jconv.streaming.init`, or None for a layer that works sample by sample."""
        if self._sample_by_sample:
            return super().stream_init(params, state, x, options)
        with name_layer_in_errors(self):
            activation_shapes(self.activation, (None, self._out_channels(x.shape[-1])))
            own, params = self._streamed(params), remove_activation_params(params)
            return streaming.init(params, x.shape[:-2], dtype=x.dtype, **options._asdict(), **own)

    def stream_step(
        self, params: Params, state: State, stream: Any, x: Any, *, last: bool = False, slots: jax.Array | None = None
    ) -> tuple[Any, Any]:
        """See `jconv.streaming.step`."""
        if self._sample_by_sample:
            return super().stream_step(params, state, stream, x, last=last, slots=slots)
        with name_layer_in_errors(self):
            return streaming.resume(
                remove_activation_params(params), stream, x, last=last, slots=slots, **self._streamed(params)
            )

    @property
    def _sample_by_sample(self) -> bool:
        # Each array in the stream state costs time per call, even if it is empty.
        return self.window() == (1, 1) and self._out_length(5) == 5

    def _check_chunks(self) -> None:
        if reads_complete_length(self.activation):
            raise ValueError(f"{self} cannot be computed a chunk at a time: it needs the complete length")

    def _streamed(self, params: Params) -> dict[str, Any]:
        options = {"activation": jax_activation(self.activation, params), "algorithm": self.algorithm}
        return {"convolution": type(self).function, **self._options(), **options}

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in OPTIONS if hasattr(self, name)}

    def _call(self, params: Params, x: Any, **options: Any) -> Any:
        params = remove_activation_params(params)
        return type(self).function(params, x, **self._options(), algorithm=self.algorithm, **options)

    def _jax(self, params: Params, x: Any) -> jax.Array:
        return jax_activation(self.activation, params)(self._call(params, x))

    def _numpy(self, params: Params, x: Any) -> Array:
        y = type(self).definition(remove_activation_params(params), x, **self._options())
        return numpy_activation(self.activation, params)(y)

    def _check_padding(self) -> None:
        pad_amounts(self.kernel_size, self.kernel_size, padding=self.padding)

    def _check_channels(self, channels: int) -> None:
        pass

    def _out_length(self, length: int) -> int:
        return self._geometry(length).out_length

    def _positions(self, length: int) -> int:
        return self._out_length(length)

    def _geometry(self, length: int) -> Geometry:
        return make_geometry(length, self.kernel_size, stride=self.stride, padding=self.padding, dilation=self.dilation)

    def _kernel_shapes(self, channels: int) -> ArrayShapes:
        raise NotImplementedError

    def _out_channels(self, channels: int) -> int:
        return self.filters


@dataclass(frozen=True)
class Conv1D(Convolution):
    """1-D convolution, as Keras's `Conv1D`: (length, channels) to (out_length, filters).

    Params: `kernel` (kernel_size, channels // groups, filters) and, with `use_bias`, `bias` (filters,). `stride`,
    `padding`, `dilation`, `groups`, `padding_mode` and `algorithm` are as in `jconv.conv1d`; `activation` may also be a
    layer, as in `Dense`. Raises `ValueError` for invalid options.

    >>> Conv1D(16, 12, stride=12, padding="same").output_shape((100, 1))
    (9, 16)
    """

    function = staticmethod(convolution.conv1d)
    definition = staticmethod(reference.conv1d)

    filters: int
    kernel_size: int
    stride: int = 1
    padding: Padding = "valid"
    dilation: int = 1
    groups: int = 1
    padding_mode: str = "zeros"
    activation: Activation = None
    use_bias: bool = True
    algorithm: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.filters % self.groups:
            raise ValueError(f"Conv1D: groups={self.groups} must divide filters={self.filters}")

    def _check_channels(self, channels: int) -> None:
        if channels % self.groups:
            raise ValueError(f"Conv1D: groups={self.groups} must divide the {channels} channels of the input")

    def _kernel_shapes(self, channels: int) -> ArrayShapes:
        return {"kernel": (self.kernel_size, channels // self.groups, self.filters)}


@dataclass(frozen=True)
class DepthwiseConv1D(Convolution):
    """Depthwise 1-D convolution, as Keras's `DepthwiseConv1D`: `depth_multiplier` kernels per channel.

    (length, channels) to (out_length, channels * depth_multiplier). Params: `kernel` (kernel_size, channels,
    depth_multiplier) and, with `use_bias`, `bias`. The other options are as in `Conv1D`.

    >>> DepthwiseConv1D(3, depth_multiplier=2).output_shape((10, 4))
    (8, 8)
    """

    function = staticmethod(convolution.depthwise_conv1d)
    definition = staticmethod(reference.depthwise_conv1d)

    kernel_size: int
    depth_multiplier: int = 1
    stride: int = 1
    padding: Padding = "valid"
    dilation: int = 1
    padding_mode: str = "zeros"
    activation: Activation = None
    use_bias: bool = True
    algorithm: str = "auto"

    def _kernel_shapes(self, channels: int) -> ArrayShapes:
        return {"kernel": (self.kernel_size, channels, self.depth_multiplier)}

    def _out_channels(self, channels: int) -> int:
        return channels * self.depth_multiplier


@dataclass(frozen=True)
class SeparableConv1D(Convolution):
    """Separable 1-D convolution, as Keras's `SeparableConv1D`: depthwise, then pointwise.

    (length, channels) to (out_length, filters). Params: `depthwise_kernel` (kernel_size, channels, depth_multiplier),
    `pointwise_kernel` (1, channels * depth_multiplier, filters) and, with `use_bias`, `bias` (filters,). The other
    options are as in `Conv1D`.

    >>> SeparableConv1D(6, 3, padding="same").output_shape((None, 4))
    (None, 6)
    """

    function = staticmethod(convolution.separable_conv1d)
    definition = staticmethod(reference.separable_conv1d)

    filters: int
    kernel_size: int
    depth_multiplier: int = 1
    stride: int = 1
    padding: Padding = "valid"
    dilation: int = 1
    padding_mode: str = "zeros"
    activation: Activation = None
    use_bias: bool = True
    algorithm: str = "auto"

    def _kernel_shapes(self, channels: int) -> ArrayShapes:
        return {
            "depthwise_kernel": (self.kernel_size, channels, self.depth_multiplier),
            "pointwise_kernel": (1, channels * self.depth_multiplier, self.filters),
        }


@dataclass(frozen=True)
class Conv1DTranspose(Convolution):
    """Transposed 1-D convolution, as Keras's `Conv1DTranspose`: it upsamples by `stride`.

    (length, channels) to (out_length, filters). Params: `kernel` (kernel_size, filters, channels) and, with `use_bias`,
    `bias` (filters,). `padding` is `"valid"` or `"same"`. The other options are as in `jconv.conv1d_transpose`.

    >>> Conv1DTranspose(8, 4, stride=2, padding="same").output_shape((10, 3))
    (20, 8)
    """

    function = staticmethod(convolution.conv1d_transpose)
    definition = staticmethod(reference.conv1d_transpose)

    filters: int
    kernel_size: int
    stride: int = 1
    padding: str = "valid"
    output_padding: int | None = None
    dilation: int = 1
    activation: Activation = None
    use_bias: bool = True
    algorithm: str = "auto"

    def window(self) -> ReceptiveField | None:
        """`(1 + (reach - 1) / stride, 1 / stride)`, in input samples.

        Output samples t to t + n - 1 depend on the inputs i with `t - (reach - 1) <= stride * i <= t + n - 1`: at most
        `1 + (reach - 1 + n - 1) / stride` of them, rounded down.
        """
        if reads_complete_length(self.activation):
            return None
        span = reach(self.kernel_size, self.dilation)
        return 1 + Fraction(span - 1, self.stride), Fraction(1, self.stride)

    def output_timing(self) -> OutputTiming:
        """Same as for `jconv.streaming` with this transposed convolution."""
        self._check_chunks()
        with name_layer_in_errors(self):
            return transposed_timing(self.kernel_size, **self._options())

    def _check_padding(self) -> None:
        # A short length could be cropped to nothing, so check the options with a sufficient length.
        self._transposed_geometry(reach(self.kernel_size, self.dilation))

    def _out_length(self, length: int) -> int:
        return self._transposed_geometry(length).length

    def _positions(self, length: int) -> int:
        return length

    def _transposed_geometry(self, length: int) -> Geometry:
        return transposed_geometry(length, self.kernel_size, **self._options())

    def _kernel_shapes(self, channels: int) -> ArrayShapes:
        return {"kernel": (self.kernel_size, self.filters, channels)}
