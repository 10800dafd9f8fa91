"""The public convolutions: check, pad, compute, add the bias, activate.

All are pure functions of a params dict in Keras's layout and an array with channels last and any number of leading
axes. `jconv.reference` defines their results, `checks.py` their errors.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Unpack, cast, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.errors import InconclusiveDimensionOperation

from .. import checks, ragged
from ..algorithms.shared.operands import upcast
from ..geometry import Padding, is_symbolic
from ..hints import known_arguments
from ..primitive import bilinear
from ..primitive.placement import replicate_length
from ..primitive.precision import canonical_precision
from ..ragged.windows import position_inside
from . import variable_length
from .activations import resolve as resolve_activation
from .default_algorithm import resolve as resolve_algorithm
from .options import Activation, Conv1DOptions, DepthwiseOptions, OutputAndExtent, Params, TransposeOptions


@overload
def conv1d(params: Params, x: Any, **options: Unpack[Conv1DOptions]) -> jax.Array: ...
@overload
def conv1d(params: Params, x: Any, *, lengths: Any, **options: Unpack[Conv1DOptions]) -> OutputAndExtent: ...
@overload
def conv1d(params: Params, x: Any, *, segment_ids: Any, **options: Unpack[Conv1DOptions]) -> OutputAndExtent: ...
@known_arguments
def conv1d(
    params: Params,
    x: Any,
    *,
    stride: int = 1,
    padding: Padding = "valid",
    dilation: int = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    activation: Activation = None,
    algorithm: str = "auto",
    precision: Any = None,
    lengths: Any = None,
    segment_ids: Any = None,
) -> Any:
    """1-D cross-correlation with the results of Keras's `Conv1D`.

    `y[..., t, o] = bias[o] + sum_k sum_c x[..., t * stride + k * dilation - low, c] * kernel[k, c, o]`

    With `algorithm="auto"` every output depends only on the samples that its window reads, as with lax:

    - Its error is at most `64 * u` times the sum above over `|x|` and `|kernel|`, for up to 10^4 terms; for more terms,
      it is at most twice lax's error. u is 2^-24 in float32, 2^-53 in float64, 2^-8 in bfloat16 and 2^-11 in float16.
      The same bound holds for both gradients. Two kinds of sums can exceed it: sums of hundreds of equal terms, because
      XLA then rounds all of them in one direction, and, in float64, sums of thousands of terms, which XLA adds one
      after another on CPUs.
    - A NaN or infinite sample changes only the outputs whose windows read it.
    - With causal padding, outputs before sample t are bitwise independent of the samples from t on.

    `"fastest"` gives up all three: FFTs and Winograd tiles compute several outputs from a block of samples. Their error
    is relative to the largest sample of the block, and a NaN affects all outputs of the block.

    Args:
        params: `{"kernel": (kernel_size, in_channels // groups, out_channels), "bias": (out_channels,)}`; the bias is
            optional.
        x: (..., length, in_channels), with any number of leading axes.
        stride: Samples from one window to the next.
        padding: `"valid"`, `"same"` (as in Keras: ceil(length / stride) outputs), `"causal"`, `"full"`, the number of
            samples at both ends, or `(low, high)`.
        dilation: Samples from one tap to the next. It can be combined with a stride.
        groups: In and out channels are split into this number of groups, which are convolved independently.
        padding_mode: `"zeros"`, `"reflect"`, `"edge"` or `"wrap"`, as in `numpy.pad`.
        activation: None, the name of a Keras activation, or a function.
        algorithm: How the output and both gradients are computed. `"auto"`: the algorithm that is predicted to be
            fastest among all with the guarantees above; `jconv.default_algorithm` changes this meaning. `"fastest"`:
            the fastest of all algorithms. Or the name of an algorithm, as in `jconv.algorithms.ALGORITHMS`.
        precision: As in `jax.lax.conv_general_dilated`. With `"highest"`, here or in `jax.default_matmul_precision`,
            `"fastest"` does not use Winograd tiles, which have larger rounding errors than a plain sum.
        lengths: Integers with the shape of the leading axes of `x`: the number of samples of each row, followed by
            padding with any values. Each row is convolved as if it were alone.
        segment_ids: Integers (..., length): a run of equal ids is one sequence, and negative ids are padding. The
            outputs of a segment start at the position where the segment starts; `padding` must not make segments
            longer.

    Returns:
        (..., out_length, out_channels), with the dtype that `x` and the params promote to. 16-bit floats accumulate in
        float32. With `lengths`: a tuple of this array and the lengths of the outputs. With `segment_ids`: a tuple of
        an array (..., length, out_channels) and the ids of the outputs, -1 where there is none. The output is zero
        where there is no sample.

    Raises:
        ValueError: An argument cannot be used. The message names it.
        TypeError: `params` is not a dict, or a dtype is not float32, float64, bfloat16 or float16.

    >>> params = {"kernel": jnp.ones((2, 1, 1)), "bias": jnp.zeros(1)}
    >>> conv1d(params, jnp.arange(4.0)[:, None], padding="causal")[:, 0].tolist()
    [0.0, 1.0, 3.0, 5.0]
    """
    act = resolve_activation(activation)
    algorithm = resolve_algorithm(algorithm)
    checks.check_params(params, checks.KERNEL, "conv1d")
    checks.check_input(x, "conv1d")
    x, kernel, bias = promote(x, params, "kernel", "bias")
    options: Any = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    geometry, amounts = checks.conv_geometry(x, kernel, padding_mode=padding_mode, **options)
    checks.check_bias(params, kernel.shape[2])
    how = {"algorithm": algorithm, "precision": canonical_precision(precision)}
    sequences = ragged.make_sequences(x.shape[:-1], lengths, segment_ids)
    if sequences is None:
        return act(add_bias(bilinear.forward(_pad(x, *amounts, padding_mode), kernel, geometry, **how), bias))
    window = ragged.Window(kernel.shape[0], stride, padding, dilation, padding_mode)
    y, sequences = variable_length.forward(x, kernel, sequences, window, geometry.groups, **how)
    return sequences.replace_padding(act(add_bias(y, bias))), sequences.extent


@overload
def depthwise_conv1d(params: Params, x: Any, **options: Unpack[DepthwiseOptions]) -> jax.Array: ...
@overload
def depthwise_conv1d(
    params: Params, x: Any, *, lengths: Any, **options: Unpack[DepthwiseOptions]
) -> OutputAndExtent: ...
@overload
def depthwise_conv1d(
    params: Params, x: Any, *, segment_ids: Any, **options: Unpack[DepthwiseOptions]
) -> OutputAndExtent: ...
@known_arguments
def depthwise_conv1d(
    params: Params,
    x: Any,
    *,
    stride: int = 1,
    padding: Padding = "valid",
    dilation: int = 1,
    padding_mode: str = "zeros",
    activation: Activation = None,
    algorithm: str = "auto",
    precision: Any = None,
    lengths: Any = None,
    segment_ids: Any = None,
) -> Any:
    """Convolves each channel with its own kernels, with the results of Keras's `DepthwiseConv1D`.

    Args:
        params: `{"kernel": (kernel_size, in_channels, multiplier), "bias": (in_channels * multiplier,)}`; the bias is
            optional. Out channel `c * multiplier + m` reads in channel `c`.
        x: (..., length, in_channels).
        stride: As in `conv1d`, like all options below.
        padding: See `conv1d`.
        dilation: See `conv1d`.
        padding_mode: See `conv1d`.
        activation: See `conv1d`.
        algorithm: See `conv1d`.
        precision: See `conv1d`.
        lengths: See `conv1d`.
        segment_ids: See `conv1d`.

    Returns:
        (..., out_length, in_channels * multiplier). With `lengths` or `segment_ids` a tuple, as in `conv1d`.

    Raises:
        ValueError: As in `conv1d`.
        TypeError: As in `conv1d`.

    >>> params = {"kernel": jnp.array([[[1.0], [10.0]]])}
    >>> depthwise_conv1d(params, jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[1.0, 20.0], [3.0, 40.0]]
    """
    checks.check_params(params, checks.KERNEL, "depthwise_conv1d")
    checks.check_input(x, "depthwise_conv1d")
    x = jnp.asarray(x)
    kernel = checks.depthwise_kernel(jnp.asarray(params["kernel"]), x)
    extents: Any = {"lengths": lengths, "segment_ids": segment_ids}
    return conv1d(
        {**params, "kernel": kernel},
        x,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=x.shape[-1],
        padding_mode=padding_mode,
        activation=activation,
        algorithm=algorithm,
        precision=precision,
        **extents,
    )


@overload
def separable_conv1d(params: Params, x: Any, **options: Unpack[DepthwiseOptions]) -> jax.Array: ...
@overload
def separable_conv1d(
    params: Params, x: Any, *, lengths: Any, **options: Unpack[DepthwiseOptions]
) -> OutputAndExtent: ...
@overload
def separable_conv1d(
    params: Params, x: Any, *, segment_ids: Any, **options: Unpack[DepthwiseOptions]
) -> OutputAndExtent: ...
@known_arguments
def separable_conv1d(
    params: Params,
    x: Any,
    *,
    stride: int = 1,
    padding: Padding = "valid",
    dilation: int = 1,
    padding_mode: str = "zeros",
    activation: Activation = None,
    algorithm: str = "auto",
    precision: Any = None,
    lengths: Any = None,
    segment_ids: Any = None,
) -> Any:
    """A depthwise convolution followed by a pointwise one, with the results of Keras's `SeparableConv1D`.

    The options act on the depthwise convolution; bias and activation follow the pointwise one.

    Args:
        params: `{"depthwise_kernel": (kernel_size, in_channels, multiplier), "pointwise_kernel":
            (1, in_channels * multiplier, out_channels), "bias": (out_channels,)}`; the bias is optional.
        x: (..., length, in_channels).
        stride: As in `conv1d`, like all options below.
        padding: See `conv1d`.
        dilation: See `conv1d`.
        padding_mode: See `conv1d`.
        activation: See `conv1d`.
        algorithm: See `conv1d`.
        precision: See `conv1d`.
        lengths: See `conv1d`.
        segment_ids: See `conv1d`.

    Returns:
        (..., out_length, out_channels). With `lengths` or `segment_ids` a tuple, as in `conv1d`.

    Raises:
        ValueError: As in `conv1d`.
        TypeError: As in `conv1d`.

    >>> params = {"depthwise_kernel": jnp.ones((2, 1, 1)), "pointwise_kernel": jnp.full((1, 1, 1), 3.0)}
    >>> separable_conv1d(params, jnp.array([[1.0], [2.0]])).tolist()
    [[9.0]]
    """
    checks.check_params(params, checks.SEPARABLE_KERNELS, "separable_conv1d")
    checks.check_pointwise(params)
    checks.check_input(x, "separable_conv1d")
    pointwise = {"kernel": params["pointwise_kernel"], **{name: params[name] for name in ("bias",) if name in params}}
    how: Any = {"algorithm": algorithm, "precision": precision}
    extents = {"lengths": lengths, "segment_ids": segment_ids}
    extent: Any = {name: value for name, value in extents.items() if value is not None}
    y: Any = depthwise_conv1d(
        {"kernel": params["depthwise_kernel"]},
        x,
        stride=stride,
        padding=padding,
        dilation=dilation,
        padding_mode=padding_mode,
        **how,
        **extent,
    )
    if extent:
        y, of_output = y
        extent = dict.fromkeys(extent, of_output)
    return conv1d(pointwise, y, activation=activation, **how, **extent)


@overload
def conv1d_transpose(params: Params, x: Any, **options: Unpack[TransposeOptions]) -> jax.Array: ...
@overload
def conv1d_transpose(
    params: Params, x: Any, *, lengths: Any, **options: Unpack[TransposeOptions]
) -> OutputAndExtent: ...
@overload
def conv1d_transpose(
    params: Params, x: Any, *, segment_ids: Any, **options: Unpack[TransposeOptions]
) -> OutputAndExtent: ...
@known_arguments
def conv1d_transpose(
    params: Params,
    x: Any,
    *,
    stride: int = 1,
    padding: str = "valid",
    output_padding: int | None = None,
    dilation: int = 1,
    activation: Activation = None,
    algorithm: str = "auto",
    precision: Any = None,
    lengths: Any = None,
    segment_ids: Any = None,
) -> Any:
    """The transposed convolution, with the results of Keras's `Conv1DTranspose`: the input gradient of a convolution.

    Args:
        params: `{"kernel": (kernel_size, out_channels, in_channels), "bias": (out_channels,)}`; the bias is optional.
        x: (..., length, in_channels).
        stride: Samples of output from one sample of `x` to the next.
        padding: `"valid"` or `"same"`.
        output_padding: Additional samples of output, fewer than `stride`. None is Keras's default.
        dilation: Samples from one tap to the next.
        activation: As in `conv1d`.
        algorithm: As in `conv1d`.
        precision: As in `conv1d`.
        lengths: As in `conv1d`.
        segment_ids: As in `conv1d`, except that the output has `stride` times the length, and a segment starts at
            `stride` times the position where it started.

    Returns:
        (..., out_length, out_channels). Without `output_padding`, out_length is `length * stride` for `"same"` and
        `(length - 1) * stride + max(reach, stride)` for `"valid"`. With `output_padding`, it is
        `(length - 1) * stride + reach + output_padding` for `"valid"`, and `2 * (reach // 2)` less for `"same"`.

    Raises:
        ValueError: As in `conv1d`.
        TypeError: As in `conv1d`.

    >>> conv1d_transpose({"kernel": jnp.ones((2, 1, 1))}, jnp.array([[1.0], [2.0]]), stride=2)[:, 0].tolist()
    [1.0, 1.0, 2.0, 2.0]
    """
    act = resolve_activation(activation)
    algorithm = resolve_algorithm(algorithm)
    checks.check_params(params, checks.KERNEL, "conv1d_transpose")
    checks.check_input(x, "conv1d_transpose")
    x, kernel, bias = promote(x, params, "kernel", "bias")
    geometry = checks.transpose_geometry(
        x, kernel, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation
    )
    checks.check_bias(params, kernel.shape[1])
    how = {"algorithm": algorithm, "precision": canonical_precision(precision)}
    sequences = ragged.make_sequences(x.shape[:-1], lengths, segment_ids)
    if sequences is None:
        return act(add_bias(bilinear.input_gradient(x, kernel, geometry, **how), bias))
    y, sequences = variable_length.transposed(x, kernel, sequences, geometry, **how)
    return sequences.replace_padding(act(add_bias(y, bias))), sequences.extent


def promote(x: Any, params: Params, *names: str) -> list[Any]:
    """Returns `x` and the named params as JAX arrays of their common dtype, with None for a missing param."""
    arrays = {"x": jnp.asarray(x)}
    arrays |= {f"params[{name!r}]": jnp.asarray(params[name]) for name in names if name in params}
    for name, array in arrays.items():
        checks.check_dtype(name, array)
    dtype = jnp.result_type(*arrays.values())
    promoted = {name: array.astype(dtype) for name, array in arrays.items()}
    return [promoted["x"], *(promoted.get(f"params[{name!r}]") for name in names)]


def add_bias(y: jax.Array, bias: jax.Array | None) -> jax.Array:
    """Adds the bias, if there is one. 16-bit floats are added in float32."""
    return y if bias is None else (upcast(y) + upcast(bias)).astype(y.dtype)


def _pad(x: jax.Array, low: Any, high: Any, mode: str) -> jax.Array:
    if (low, high) == (0, 0):
        return x
    # JAX cannot slice an explicitly sharded length into slices that are not sharded.
    x, length = replicate_length(x), x.shape[-2]
    wide = upcast(x)  # the adjoint sums over repeated samples
    # Slices of the length alone: jnp.pad would also slice the other axes, which JAX cannot do if they are explicitly
    # sharded.
    samples = partial(jax.lax.slice_in_dim, wide, axis=x.ndim - 2)
    if mode == "edge":
        first, last = jnp.repeat(samples(0, 1), low, axis=-2), jnp.repeat(samples(length - 1, length), high, axis=-2)
    elif not _is_repeated_once(length, low, high, mode):
        # With 64-bit indices XLA's partitioner aborts the process for the gradient, if the length of y is sharded.
        if is_symbolic(length):
            at = jnp.arange(low + length + high, dtype=np.int32) - jnp.asarray(low, np.int32)
            indices = position_inside(at, jnp.asarray(length, np.int32), mode)
        else:
            indices = np.pad(np.arange(length, dtype=np.int32), (low, high), mode=cast(Any, mode))
        return jnp.take(wide, indices, axis=-2, mode="clip").astype(x.dtype)
    elif mode == "wrap":
        first, last = samples(length - low, length), samples(0, high)
    else:
        first, last = jnp.flip(samples(1, low + 1), -2), jnp.flip(samples(length - 1 - high, length - 1), -2)
    return jnp.concatenate([first, wide, last], axis=-2).astype(x.dtype)


def _is_repeated_once(length: Any, low: Any, high: Any, mode: str) -> bool:
    """Returns whether the padding at each end repeats samples only once, as far as a symbolic length tells."""
    repeatable = length if mode == "wrap" else length - 1
    try:
        return bool(low <= repeatable and high <= repeatable)
    except InconclusiveDimensionOperation:
        return False
