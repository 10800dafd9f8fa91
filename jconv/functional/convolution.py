"""The public convolutions: check, pad, compute, add bias, activate.

All are pure functions of a params dict in Keras's layout and an array with channels last and any number of leading
axes. What they mean is written in `reference.py`; what they refuse, in `checks.py`.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, Unpack, overload

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks, ragged
from ..geometry import Geometry, Padding, check_positive, is_symbolic
from ..hints import known_arguments
from ..primitive import bilinear
from ..primitive.placement import replicate_length
from ..primitive.precision import canonical_precision
from . import variable_length
from .activations import resolve as resolve_activation
from .default_algorithm import resolved
from .options import Activation, Extended, Grouped, Padded, Params, Transposed


@overload
def conv1d(params: Params, x: Any, **options: Unpack[Grouped]) -> jax.Array: ...
@overload
def conv1d(params: Params, x: Any, *, lengths: Any, **options: Unpack[Grouped]) -> Extended: ...
@overload
def conv1d(params: Params, x: Any, *, segment_ids: Any, **options: Unpack[Grouped]) -> Extended: ...
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
    """1-D cross-correlation, exactly Keras's `Conv1D`.

    `y[..., t, o] = bias[o] + sum_k sum_c x[..., t * stride + k * dilation - low, c] * kernel[k, c, o]`

    With `algorithm="auto"` every output depends on its own sum alone, as with lax:

    - Its error is at most `64 * u` times the same sum over `|x|` and `|kernel|`, whatever the other outputs are, for
      sums of up to 10^4 terms; beyond that, at most twice lax's own error. u is 2^-24 in float32, 2^-53 in float64,
      2^-8 in bfloat16 and 2^-11 in float16. The elements of both gradients have the bound of their own sums.
    - A NaN or infinite sample changes exactly the outputs whose windows read it.
    - With causal padding, outputs before sample t do not depend on the samples from t on, to the last bit.

    `"fastest"` gives up all three: FFTs and Winograd's tiles compute several outputs from a block of samples, so their
    error is relative to the largest sample of the block, and a NaN reaches all outputs of the block.

    Args:
      params: `{"kernel": (kernel_size, in_channels // groups, out_channels), "bias": (out_channels,)}`; without
        `"bias"` there is none.
      x: (..., length, in_channels); any leading axes, none included.
      stride: samples from one window to the next.
      padding: `"valid"`, `"same"` (Keras's: ceil(length / stride) samples come out), `"causal"`, `"full"`, a number
        of samples for both ends, or `(low, high)`.
      dilation: samples from one tap to the next; combines freely with `stride`.
      groups: in channels and out channels are split into this many groups that do not see each other.
      padding_mode: `"zeros"`, `"reflect"`, `"edge"` or `"wrap"`, as in `numpy.pad`.
      activation: `None`, one of Keras's names, or a function.
      algorithm: how to compute the output and both gradients. `"auto"`: the algorithm that the planner predicts to be
        fastest among the local ones, which keep the guarantee below; `jconv.default_algorithm` changes what it means.
        `"fastest"`: the fastest of all, without that guarantee. Or the name of one of `jconv.algorithms.ALGORITHMS`.
      precision: as in `jax.lax.conv_general_dilated`; `"highest"`, here or by `jax.default_matmul_precision`, also
        keeps `"fastest"` from Winograd's tiles, which round more than a plain sum.
      lengths: integers of the leading axes of `x`: the samples of each row, behind which is padding of any values.
        Each row is convolved as if it were alone, its padding being that of its own length.
      segment_ids: integers (..., length): a run of one id is a sequence by itself, a negative id is padding. The
        outputs of a segment, in order, begin where it begins; `padding` must not make segments longer.

    Returns:
      (..., out_length, out_channels), of the type that `x` and the params promote to. bfloat16 and float16
      accumulate in float32. With `lengths` a tuple of it and the output's lengths; with `segment_ids` a tuple of
      (..., length, out_channels) and the output's ids, -1 where there is no output. The output is zero in padding.

    Raises:
      ValueError: for anything that cannot be computed, naming the argument.
      TypeError: for params that are no dict, and dtypes other than float32, float64, bfloat16 and float16.

    >>> params = {"kernel": jnp.ones((2, 1, 1)), "bias": jnp.zeros(1)}
    >>> conv1d(params, jnp.arange(4.0)[:, None], padding="causal")[:, 0].tolist()
    [0.0, 1.0, 3.0, 5.0]
    """
    act = resolve_activation(activation)
    algorithm = resolved(algorithm)
    checks.check_params(params, {"kernel": 3}, "conv1d")
    checks.check_input(x, "conv1d")
    x, kernel, bias = _promoted(x, params, "kernel", "bias")
    geometry, amounts = checks.conv_geometry(
        x,
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_mode=padding_mode,
    )
    checks.check_bias(params, kernel.shape[2])
    how = {"algorithm": algorithm, "precision": canonical_precision(precision)}
    sequences = ragged.of(x.shape[:-1], lengths, segment_ids)
    if sequences is None:
        return act(add_bias(bilinear.forward(_pad(x, *amounts, padding_mode), kernel, geometry, **how), bias))
    window = ragged.Window(kernel.shape[0], stride, padding, dilation, padding_mode)
    y, sequences = variable_length.forward(x, kernel, sequences, window, geometry.groups, **how)
    return sequences.only(act(add_bias(y, bias))), sequences.extent


class Problem(NamedTuple):
    """The one equation that a call of `conv1d` is: shapes and types of `x` and kernel, checked and padded.

    With segment ids it is the product of the samples' windows with the kernel, of as many multiply-adds; `packed` has
    the types of the caller's `x` and kernel. A kernel of one in channel a group then has no equation, and no algorithm.
    """

    x: jax.ShapeDtypeStruct
    kernel: jax.ShapeDtypeStruct
    geometry: Geometry
    algorithm: str | None
    precision: Any
    packed: tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct] | None = None


def problem(params: Params, x: Any, **options: Any) -> Problem:
    """The equation of `conv1d(params, x, **options)`, which is traced and not computed."""
    # The activation may be anything, and is not part of the equation.
    run = functools.partial(conv1d, **{name: value for name, value in options.items() if name != "activation"})
    resolve_activation(options.get("activation"))
    equations = [e for e in jax.make_jaxpr(run)(params, x).eqns if e.primitive is bilinear.forward_p]
    packed = None
    if options.get("segment_ids") is not None:
        packed = tuple(jax.eval_shape(lambda params, x: _promoted(x, params, "kernel"), params, x))
    if not equations:
        assert packed, "conv1d binds one convolution"
        (kernel_size, per_group, out_channels), (*lead, length, groups) = packed[1].shape, packed[0].shape
        x = jax.ShapeDtypeStruct((*lead, length, groups * kernel_size * per_group), packed[0].dtype)
        kernel = jax.ShapeDtypeStruct((1, kernel_size * per_group, out_channels), x.dtype)
        return Problem(x, kernel, Geometry(length, 1, groups=groups), None, None, packed)
    (equation,) = equations
    x, kernel = (jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in equation.invars)
    known = {name: equation.params[name] for name in ("geometry", "algorithm", "precision")}
    return Problem(x, kernel, **known, packed=packed)


@overload
def depthwise_conv1d(params: Params, x: Any, **options: Unpack[Padded]) -> jax.Array: ...
@overload
def depthwise_conv1d(params: Params, x: Any, *, lengths: Any, **options: Unpack[Padded]) -> Extended: ...
@overload
def depthwise_conv1d(params: Params, x: Any, *, segment_ids: Any, **options: Unpack[Padded]) -> Extended: ...
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
    """Each channel with its own kernels, exactly Keras's `DepthwiseConv1D`.

    `params["kernel"]` is (kernel_size, in_channels, multiplier) and `"bias"` (in_channels * multiplier,) or absent;
    out channel `c * multiplier + m` reads in channel `c`. Options and errors are those of `conv1d`.

    >>> params = {"kernel": jnp.array([[[1.0], [10.0]]])}
    >>> depthwise_conv1d(params, jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[1.0, 20.0], [3.0, 40.0]]
    """
    checks.check_params(params, {"kernel": 3}, "depthwise_conv1d")
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
def separable_conv1d(params: Params, x: Any, **options: Unpack[Padded]) -> jax.Array: ...
@overload
def separable_conv1d(params: Params, x: Any, *, lengths: Any, **options: Unpack[Padded]) -> Extended: ...
@overload
def separable_conv1d(params: Params, x: Any, *, segment_ids: Any, **options: Unpack[Padded]) -> Extended: ...
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
    """A depthwise convolution, then one of kernel size 1, exactly Keras's `SeparableConv1D`.

    `params` has `"depthwise_kernel"` (kernel_size, in_channels, multiplier), `"pointwise_kernel"`
    (1, in_channels * multiplier, out_channels) and `"bias"` (out_channels,) or none. Options and errors are those of
    `conv1d`; they act on the depthwise part, bias and activation come last.

    >>> params = {"depthwise_kernel": jnp.ones((2, 1, 1)), "pointwise_kernel": jnp.full((1, 1, 1), 3.0)}
    >>> separable_conv1d(params, jnp.array([[1.0], [2.0]])).tolist()
    [[9.0]]
    """
    checks.check_params(params, {"depthwise_kernel": 3, "pointwise_kernel": 3}, "separable_conv1d")
    checks.check_pointwise(params)
    checks.check_input(x, "separable_conv1d")
    extents: Any = {"lengths": lengths, "segment_ids": segment_ids}
    # The output, or with lengths or segment ids a tuple.
    inner: Any = depthwise_conv1d(
        {"kernel": params["depthwise_kernel"]},
        x,
        stride=stride,
        padding=padding,
        dilation=dilation,
        padding_mode=padding_mode,
        algorithm=algorithm,
        precision=precision,
        **extents,
    )
    outer = {"kernel": params["pointwise_kernel"], **{name: params[name] for name in ("bias",) if name in params}}
    how: Any = {"activation": activation, "algorithm": algorithm, "precision": precision}
    if lengths is not None:
        return conv1d(outer, inner[0], **how, lengths=inner[1])
    return conv1d(outer, inner, **how) if segment_ids is None else conv1d(outer, inner[0], **how, segment_ids=inner[1])


@overload
def conv1d_transpose(params: Params, x: Any, **options: Unpack[Transposed]) -> jax.Array: ...
@overload
def conv1d_transpose(params: Params, x: Any, *, lengths: Any, **options: Unpack[Transposed]) -> Extended: ...
@overload
def conv1d_transpose(params: Params, x: Any, *, segment_ids: Any, **options: Unpack[Transposed]) -> Extended: ...
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
    """The transposed convolution, exactly Keras's `Conv1DTranspose`: the input gradient of a convolution.

    Args:
      params: `{"kernel": (kernel_size, out_channels, in_channels), "bias": (out_channels,)}`; the bias may be absent.
      x: (..., length, in_channels).
      stride: samples of output from one sample of `x` to the next.
      padding: `"valid"` or `"same"`.
      output_padding: samples, below `stride`, that the output is longer; `None` is Keras's default.
      dilation: samples from one tap to the next.
      activation: as in `conv1d`, like `algorithm`, `precision`, `lengths` and `segment_ids`. A segment begins at
        `stride` times where it began, in an output of `stride` times the length.

    Returns:
      (..., out_length, out_channels). Without `output_padding`, out_length is `length * stride` for same and
      `(length - 1) * stride + max(reach, stride)` for valid; with it `(length - 1) * stride + reach + output_padding`,
      less `2 * (reach // 2)` for same.

    Raises:
      ValueError, TypeError: as `conv1d`.

    >>> conv1d_transpose({"kernel": jnp.ones((2, 1, 1))}, jnp.array([[1.0], [2.0]]), stride=2)[:, 0].tolist()
    [1.0, 1.0, 2.0, 2.0]
    """
    act = resolve_activation(activation)
    algorithm = resolved(algorithm)
    checks.check_params(params, {"kernel": 3}, "conv1d_transpose")
    checks.check_input(x, "conv1d_transpose")
    x, kernel, bias = _promoted(x, params, "kernel", "bias")
    geometry = checks.transpose_geometry(
        x, kernel, stride=stride, padding=padding, output_padding=output_padding, dilation=dilation
    )
    checks.check_bias(params, kernel.shape[1])
    how = {"algorithm": algorithm, "precision": canonical_precision(precision)}
    sequences = ragged.of(x.shape[:-1], lengths, segment_ids)
    if sequences is None:
        return act(add_bias(bilinear.input_gradient(x, kernel, geometry, **how), bias))
    y, sequences = variable_length.transposed(x, kernel, sequences, geometry, **how)
    return sequences.only(act(add_bias(y, bias))), sequences.extent


@known_arguments
def init_conv1d(
    key: jax.Array,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    groups: int = 1,
    bias: bool = True,
    dtype: Any = jnp.float32,
) -> dict[str, jax.Array]:
    """Params for `conv1d` as Keras draws them: a Glorot-uniform kernel and a bias of zeros.

    The kernel, (kernel_size, in_channels // groups, out_channels), is uniform within
    `sqrt(6 / (fan_in + fan_out))`, where `fan_in = kernel_size * in_channels // groups` and
    `fan_out = kernel_size * out_channels` (Glorot and Bengio, 2010; the fans are those of Keras).

    Raises `ValueError` for sizes below one and groups that do not divide the channels.

    >>> {name: p.shape for name, p in init_conv1d(jax.random.key(0), 4, 6, 3, groups=2).items()}
    {'kernel': (3, 2, 6), 'bias': (6,)}
    """
    checks.check_key(key)
    sizes = {"in_channels": in_channels, "out_channels": out_channels, "kernel_size": kernel_size, "groups": groups}
    for name, size in sizes.items():
        check_positive(name, size)
    if in_channels % groups or out_channels % groups:
        raise ValueError(f"groups={groups} must divide in_channels={in_channels} and out_channels={out_channels}")
    shape = (kernel_size, in_channels // groups, out_channels)
    params = {"kernel": glorot_uniform(key, shape, dtype)}
    return params | ({"bias": jnp.zeros(out_channels, dtype)} if bias else {})


def glorot_uniform(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """A Glorot-uniform draw; the last two axes of `shape` are in and out, those before them the receptive field."""
    *field, fan_in, fan_out = shape
    limit = float(np.sqrt(6.0 / (np.prod(field, initial=1.0) * (fan_in + fan_out))))
    return jax.random.uniform(key, shape, dtype, -limit, limit)


def _promoted(x: Any, params: Params, *names: str) -> list[Any]:
    """`x` and the named params as JAX arrays of the one type they promote to; None for a name that is absent."""
    arrays = {"x": jnp.asarray(x)}
    arrays |= {f"params[{name!r}]": jnp.asarray(params[name]) for name in names if name in params}
    for name, array in arrays.items():
        checks.check_dtype(name, array)
    dtype = jnp.result_type(*arrays.values())
    found = {name: array.astype(dtype) for name, array in arrays.items()}
    return [found["x"], *(found.get(f"params[{name!r}]") for name in names)]


def _wide(x: jax.Array) -> jax.Array:
    """`x` in float32 if it is of a half type: what its adjoint sums is then summed in float32."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def add_bias(y: jax.Array, bias: jax.Array | None) -> jax.Array:
    """`y` with the bias, where there is one: half types are added in float32."""
    return y if bias is None else (_wide(y) + _wide(bias)).astype(y.dtype)


def _pad(x: jax.Array, low: int, high: int, mode: Any) -> jax.Array:
    if (low, high) == (0, 0):
        return x
    # JAX has no slices of a cut length that are not cut themselves.
    x, length = replicate_length(x), x.shape[-2]
    if is_symbolic(length) or max(low, high) < length:
        padded = jnp.pad(_wide(x), [(0, 0)] * (x.ndim - 2) + [(low, high), (0, 0)], mode=mode)
    else:
        # jnp.pad writes some ten equations for each time that a short input is reflected; a gather is one.
        source = np.pad(np.arange(length), (low, high), mode=mode)
        padded = jnp.take(_wide(x), source, axis=-2, mode="clip")
    return padded.astype(x.dtype)
