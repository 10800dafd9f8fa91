"""A sum of shifted copies of `x`, each multiplied by one row of the kernel: for depthwise kernels and few in channels.

XLA's CPU compiler has no fast convolution for these, but it fuses a few dozen elementwise products into one loop over
memory, and a depthwise convolution needs no more. Below, a term is one such product: one tap and one in channel of
each group.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..geometry import Geometry
from .shared.no_fusion import call_per_index
from .shared.operands import (
    accumulation_dtype,
    add_all,
    input_gradient_as_forward,
    pad,
    pad_input,
    split_groups,
    transpose_kernel,
    upcast,
)

LOCAL = True

# The largest number of terms in one fused loop. Fewer terms need more loops, and a loop with many more is slow: one
# with 144 terms takes 30 times as long as one with 24.
MAX_TERMS = 32
# A loop with at least `MIN_TERMS_TO_SPLIT` terms has this many independent partial sums: 1.2 times as fast, because an
# addition does not have to wait for the one before it.
PARTIAL_SUMS, MIN_TERMS_TO_SPLIT = 2, 8
# The largest number of terms in a loop for groups with several in channels and more out channels than fit into one
# vector. Each sample then occupies a register, and more terms take up to twice as long.
MAX_TERMS_WIDE_GROUPS = 24
# Float32 elements in a vector register.
VECTOR_SIZE = 8
# Size of one way (64 sets of 64-byte lines) and of all 8 ways of the first-level cache. If the distance between the
# samples of a depthwise window is a multiple of a large power of two, the window falls into few sets of this cache. The
# channels are then split into parts, with about `WINDOW_ELEMENTS_PER_PART` elements of a window and as many weights
# each: up to 5.8 times as fast.
CACHE_WAY_BYTES, CACHE_BYTES, WINDOW_ELEMENTS_PER_PART = 4096, 8 * 4096, 4000
# More loops than this become one loop body in a while loop.
MAX_UNROLLED_LOOPS = 2
# Samples of `y_bar` per step of the kernel gradient: 1.9 times as fast as with 4, and about as fast as with 12.
ROWS_PER_STEP = 16
# The largest number of blocks that a while loop adds to one sum, and of examples in one sum. Rounding errors grow with
# it: a kernel gradient of 10,000 equal terms, 16 in each block, has an error of 103 units if all blocks are in one sum.
MAX_BLOCKS_PER_SUM = 64
# The kernel gradient handles samples of `y_bar` whose windows read padding separately, if there are at most this many.
MAX_BOUNDARY_ROWS = 16
# With this number of out channels per group, XLA does not vectorize the float32 kernel gradient unless the group has 1,
# 4 or a multiple of 8 in channels. Padding the in channels with zeros makes it up to 2.4 times as fast. In float64 it
# would be slower.
NARROW_OUT_CHANNELS = range(2, 7)
# Up to this size, XLA's own reduction over the batch is as fast as a fused loop, and compiles faster. Beyond this size
# it takes up to 35 times as long, because it reads one element at a time.
MAX_REDUCTION_ELEMENTS = 16384


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """`y[n, t] = sum_k x[n, t * stride + k * dilation - low] * kernel[k]`, one term per tap and in channel."""
    return _split_channels(_correlate, x, kernel, geometry, min(geometry.kernel_size, MAX_TERMS))


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """The forward pass of the dilated `y_bar` with the transposed kernel."""
    # The barrier keeps the transpose out of the fused loop, which would compute every weight's index again for each
    # product: 5 times as slow.
    transposed = jax.lax.optimization_barrier(transpose_kernel(kernel, geometry))
    operand, forward_geometry = input_gradient_as_forward(y_bar, geometry)
    return _split_channels(_correlate, operand, transposed, forward_geometry, min(geometry.kernel_size, MAX_TERMS))


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Adds the products of each sample of `y_bar` with its window, several samples per step of a loop.

    A single sum over batch and time would be more than 10 times as slow: XLA would read both operands once per tap, one
    element at a time.
    """
    in_per_group = x.shape[-1] // geometry.groups
    missing = padded_in_channels(in_per_group, y_bar.shape[-1] // geometry.groups) - in_per_group
    if missing and accumulation_dtype(x) == jnp.float32:
        x = jnp.pad(split_groups(x, geometry.groups), [(0, 0), (0, 0), (0, 0), (0, missing)])
        x = x.reshape(*x.shape[:2], geometry.groups * (in_per_group + missing))
        return _kernel_gradient(x, y_bar, geometry)[:, :in_per_group]
    return _split_channels(_kernel_gradient, x, y_bar, geometry, geometry.kernel_size)


def _kernel_gradient(x: jax.Array, y_bar: jax.Array, g: Geometry) -> jax.Array:
    """The kernel gradient for all channels, or for one part of them."""
    batch, in_per_group, out_per_group = x.shape[0], x.shape[-1] // g.groups, y_bar.shape[-1] // g.groups
    if not has_few_boundary_rows(g):
        x, g = pad_input(x, g), replace(g, length=g.low + g.length + g.high, low=0, high=0)
    first, last = _interior(g)
    stop = last - (last - first) % ROWS_PER_STEP

    def products(x: jax.Array, start: Any, count: int, sample: Any) -> list[jax.Array]:
        """Products of `count` samples of `y_bar` from `start` on. The first window begins at `sample` of `x`."""
        return [
            _products_by_tap(x, y_bar, sample + np.int32(row * g.stride), start + np.int32(row), g)
            for row in range(count)
        ]

    boundary = []
    for begin, end in ((0, first), (stop, last), (last, g.out_length)):
        sample = begin * g.stride - g.low
        if begin < end:
            windows = _slice_with_zeros(x, sample, sample + (end - 1 - begin) * g.stride + g.reach)
            boundary += products(windows, np.int32(begin), end - begin, np.int32(0))
    if boundary:
        sums = add_all(boundary)
    else:  # full_like, so that inside shard_map the zeros vary over the same mesh axes as x.
        channels = (in_per_group, out_per_group) if in_per_group * out_per_group > 1 else ()
        sums = jax.lax.full_like(x, 0, accumulation_dtype(x), (batch, g.kernel_size, g.groups, *channels))
    sums = _add_blocks(
        sums,
        lambda row: add_all(products(x, row, ROWS_PER_STEP, row * g.stride - g.low)),
        range(first, stop, ROWS_PER_STEP),
    )
    sums = _sum_over_batch(sums).astype(x.dtype)
    if in_per_group > 1:
        sums = sums.reshape(g.kernel_size, g.groups, in_per_group, out_per_group).transpose(0, 2, 1, 3)
    # The transpose above is conditional, because XLA would compile a loop even for one that does nothing.
    return sums.reshape(g.kernel_size, in_per_group, y_bar.shape[-1])


def _split_channels(
    operation: Callable[[jax.Array, jax.Array, Geometry], jax.Array], a: jax.Array, b: jax.Array, g: Geometry, taps: int
) -> jax.Array:
    """Applies an operation to parts of the channels, where the windows of a depthwise kernel fall into few cache sets.

    `taps` is the number of taps that the operation reads at a time. All other operations are computed as one part.
    """
    channels = a.shape[-1]
    depthwise = channels == b.shape[-1] == g.groups
    counts = [count for count in range(2, channels // VECTOR_SIZE + 1) if channels % (count * VECTOR_SIZE) == 0]
    if (
        not depthwise
        or not counts
        or min(taps, MAX_TERMS) * math.gcd(channels * a.dtype.itemsize, CACHE_WAY_BYTES) < CACHE_BYTES
    ):
        return operation(a, b, g)
    parts = next((count for count in counts if taps * channels <= count * WINDOW_ELEMENTS_PER_PART), counts[-1])

    def one(a: jax.Array, b: jax.Array, part: jax.Array) -> jax.Array:
        size = channels // parts
        a, b = (jax.lax.dynamic_slice_in_dim(x, part * size, size, -1, allow_negative_indices=False) for x in (a, b))
        return operation(a, b, replace(g, groups=size))

    return jnp.concatenate(call_per_index(one, parts, a, b), axis=-1)


def _correlate(x: jax.Array, kernel: jax.Array, g: Geometry) -> jax.Array:
    """The cross-correlation that both the forward pass and the input gradient compute."""
    weights = _broadcastable_kernel(upcast(kernel), g.groups)
    ranges = []
    # One range if y is much larger than x: a padded copy of x then costs little. Also one range if while loops compute
    # the sums: concatenating their results would be a separate pass, with twice as many loops to compile.
    is_one_range = 4 * x.shape[-1] <= kernel.shape[-1] or _loop_structure(weights, g)[1]
    for start, stop in [(0, g.out_length)] if is_one_range else _output_ranges(g):
        first, last = start * g.stride - g.low, (stop - 1) * g.stride - g.low + g.reach
        samples = upcast(_slice_with_zeros(x, first, last))
        ranges.append(_sum_terms(samples, weights, replace(g, length=last - first, low=0, high=0)))
    y = jnp.concatenate(ranges, axis=1)
    return y.reshape(x.shape[0], g.out_length, kernel.shape[-1]).astype(x.dtype)


@partial(jax.jit, static_argnames="g")
def _products_by_tap(x: jax.Array, y_bar: jax.Array, sample: Any, row: Any, g: Geometry) -> jax.Array:
    """Returns the products of sample `row` of `y_bar` with its window, which begins at `sample` of `x`.

    The shape is (batch, kernel_size, groups, in per group, out per group), without the last two axes for depthwise
    kernels. The slices are taken from the complete arrays, so that the loop that adds the products reads them in place.
    The function is jitted so that it is traced only once.
    """
    taps = jax.lax.dynamic_slice_in_dim(x, sample, g.reach, axis=1, allow_negative_indices=False)
    taps = upcast(jax.lax.slice_in_dim(taps, 0, g.reach, g.dilation, axis=1))
    y_row = upcast(jax.lax.dynamic_slice_in_dim(y_bar, row, 1, axis=1, allow_negative_indices=False))
    if x.shape[-1] > g.groups or y_bar.shape[-1] > g.groups:
        taps, y_row = split_groups(taps, g.groups)[..., :, None], split_groups(y_row, g.groups)[..., None, :]
    return taps * y_row


def _sum_over_batch(sums: jax.Array) -> jax.Array:
    """Returns the sum over the first axis."""
    batch = sums.shape[0]
    if batch > MAX_BLOCKS_PER_SUM:
        rest = batch % MAX_BLOCKS_PER_SUM
        parts = sums[rest:].reshape(-1, MAX_BLOCKS_PER_SUM, *sums.shape[1:]).sum(1)
        parts = jnp.concatenate([sums[:rest].sum(0, keepdims=True), parts]) if rest else parts
        # The barrier keeps XLA from making one reduction of both.
        return jax.lax.optimization_barrier(parts).sum(0)
    if sums.size <= MAX_REDUCTION_ELEMENTS:
        return sums.sum(0)
    return _sum_in_loops([sums[i] for i in range(batch)])


def _output_ranges(g: Geometry) -> list[tuple[int, int]]:
    """Splits the outputs into up to three ranges: those that read padding at the start, none, and padding at the end.

    Then only the samples at the ends are copied to pad them. A padded copy of all of `x` would be another pass over
    memory. If XLA fused the padding into the loop, it would test for every element whether it is in the padding: 3
    times as slow.
    """
    first, last = _interior(g)
    if first < 0 or not first < last:
        return [(0, g.out_length)]
    return [(a, b) for a, b in ((0, first), (first, last), (last, g.out_length)) if a < b]


def has_few_boundary_rows(g: Geometry) -> bool:
    """Returns whether the kernel gradient handles the samples of `y_bar` whose windows read padding separately.

    If there are many, it pads all of `x` instead, which compiles faster.
    """
    first, last = _interior(g)
    return 0 <= first <= last and first + g.out_length - last <= MAX_BOUNDARY_ROWS


def padded_in_channels(in_per_group: int, out_per_group: int) -> int:
    """Returns the in channels per group in a float32 kernel gradient, including channels of zeros.

    >>> padded_in_channels(3, 3), padded_in_channels(6, 6), padded_in_channels(16, 4), padded_in_channels(3, 8)
    (4, 8, 16, 3)
    """
    if in_per_group == 1 or out_per_group not in NARROW_OUT_CHANNELS:
        return in_per_group
    return 4 if in_per_group <= 4 else -(-in_per_group // VECTOR_SIZE) * VECTOR_SIZE


def max_terms_per_loop(groups: int, in_per_group: int, out_per_group: int) -> int:
    """Returns the largest number of terms in one fused loop.

    >>> max_terms_per_loop(256, 1, 1), max_terms_per_loop(16, 16, 16)
    (32, 24)
    """
    return MAX_TERMS_WIDE_GROUPS if groups > 1 and in_per_group > 1 and out_per_group > VECTOR_SIZE else MAX_TERMS


def taps_per_loop(groups: int, in_per_group: int, out_per_group: int) -> int:
    """Returns the number of taps whose terms are in one loop, at least 1.

    >>> taps_per_loop(256, 1, 1), taps_per_loop(16, 16, 16)
    (32, 1)
    """
    return max(max_terms_per_loop(groups, in_per_group, out_per_group) // in_per_group, 1)


def _interior(g: Geometry) -> tuple[int, int]:
    """Returns the range `[first, last)` of the outputs that read no padding."""
    first = min(-(-g.low // g.stride), g.out_length)
    return first, min((g.length + g.low - g.reach) // g.stride + 1, g.out_length)


def _slice_with_zeros(x: jax.Array, first: int, last: int) -> jax.Array:
    """Returns samples `first` to `last - 1`, with zeros for samples outside `x`."""
    start = min(max(first, 0), x.shape[1])
    # Slice, then pad: negative padding would copy all of `x` first.
    inside = jax.lax.slice_in_dim(x, start, max(min(last, x.shape[1]), start), axis=1)
    low = min(max(-first, 0), last - first)
    return pad(inside, low, last - first - low - inside.shape[1])


def _broadcastable_kernel(kernel: jax.Array, groups: int) -> jax.Array:
    """Returns the kernel with an axis for the groups where `_sample_reader` has one.

    The first two axes remain (kernel_size, in channels per group).
    """
    if groups == 1 or kernel.shape[1:] == (1, groups):
        return kernel
    return split_groups(kernel, groups)


@partial(jax.jit, static_argnames="g")
def _sum_terms(x: jax.Array, weights: jax.Array, g: Geometry) -> jax.Array:
    """Returns the sum of all terms of a padded `x`.

    The function is jitted so that equal calls are traced only once: the input gradient is often the same program as the
    forward pass.
    """
    kernel_size, in_per_group = weights.shape[:2]
    taps, uses_while = _loop_structure(weights, g)
    blocks, rest = divmod(kernel_size, taps)
    samples = _sample_reader(x, weights, g)

    def terms(first: int, last: int) -> list[jax.Array]:
        return [samples(tap, i) * weights[tap, i] for tap in range(first, last) for i in range(in_per_group)]

    if not uses_while:
        return _sum_in_loops(terms(0, kernel_size))

    def block(first: Any) -> jax.Array:
        of_block = jax.lax.dynamic_slice_in_dim(weights, first, taps, axis=0, allow_negative_indices=False)
        return _sum_in_loops(
            [samples(first + tap, i) * of_block[tap, i] for tap in range(taps) for i in range(in_per_group)]
        )

    first = _sum_in_loops(terms(blocks * taps, kernel_size)) if rest else block(0)
    return _add_blocks(first, block, range(0 if rest else taps, blocks * taps, taps))


def _loop_structure(weights: jax.Array, g: Geometry) -> tuple[int, bool]:
    """Returns the number of taps per fused loop, and whether the loops are the body of a while loop."""
    kernel_size, in_per_group = weights.shape[:2]
    channels = (g.groups, in_per_group, weights.shape[-1])
    taps = taps_per_loop(*channels)
    max_unrolled = MAX_UNROLLED_LOOPS if max_terms_per_loop(*channels) == MAX_TERMS else 0
    return taps, kernel_size > taps and kernel_size // taps > max_unrolled


def _sample_reader(x: jax.Array, weights: jax.Array, g: Geometry) -> Callable[[Any, int], jax.Array]:
    """Returns a function `samples(tap, i)`: the samples that a term multiplies by the weights of in channel `i`.

    `tap` is an int or a traced array. Each slice is taken from all of `x`, because XLA would copy an intermediate slice
    that many terms read. Depthwise arrays have no axis of size 1, with which XLA's loops are up to 2.7 times as slow.
    """
    depthwise = x.shape[-1] == g.groups and weights.ndim == 3 and weights.shape[-1] == g.groups
    if g.groups > 1 and not depthwise:
        x = split_groups(x, g.groups)
    span = (g.out_length - 1) * g.stride + 1

    def samples(tap: Any, i: int) -> jax.Array:
        start = tap * g.dilation
        if isinstance(tap, int):
            window = jax.lax.slice_in_dim(x, start, start + span, g.stride, axis=1)
            return window if depthwise else window[..., i : i + 1]
        # All indices have the same dtype, also in JAX's 64-bit mode.
        starts: list[Any] = [np.int32(0)] * x.ndim
        starts[1], starts[-1] = start, np.int32(0 if depthwise else i)
        window = jax.lax.dynamic_slice(
            x, starts, (x.shape[0], span, *x.shape[2:-1], x.shape[-1] if depthwise else 1), allow_negative_indices=False
        )
        return jax.lax.slice_in_dim(window, 0, span, g.stride, axis=1)

    return samples


def _add_blocks(first: jax.Array, block: Callable[[Any], jax.Array], starts: range) -> jax.Array:
    """Returns the sum of `first` and `block(start)` for each of `starts`, computed by while loops.

    More than `MAX_BLOCKS_PER_SUM` blocks have several sums, which are then added.
    """
    if not starts:  # The body would still be traced, with slices that are out of bounds.
        return first
    end, stride = np.int32(starts[-1] + starts.step), np.int32(MAX_BLOCKS_PER_SUM * starts.step)

    def step(carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        start, sums = carry
        return start + np.int32(starts.step), sums + block(start)

    def add_until(stop: Any, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        # A scan would have a counter of its own, with another loop to compile.
        return jax.lax.while_loop(lambda carry: carry[0] < stop, step, carry)

    def add_one_sum(carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        start, sums = carry
        start, one = add_until(jnp.minimum(start + stride, end), (start, jax.lax.full_like(first, 0)))
        return start, sums + one

    carry = np.int32(starts.start), first
    if len(starts) <= MAX_BLOCKS_PER_SUM:
        return add_until(end, carry)[1]
    return jax.lax.while_loop(lambda carry: carry[0] < end, add_one_sum, carry)[1]


def _sum_in_loops(terms: list[jax.Array]) -> jax.Array:
    """Returns the sum of the terms, in fused loops of at most `MAX_TERMS` terms."""
    sums = _sum_in_one_loop(terms[:MAX_TERMS])
    for first in range(MAX_TERMS, len(terms), MAX_TERMS):
        sums = jax.lax.optimization_barrier(sums) + _sum_in_one_loop(terms[first : first + MAX_TERMS])
    return sums


def _sum_in_one_loop(terms: list[jax.Array]) -> jax.Array:
    """Returns the sum of the terms, with `PARTIAL_SUMS` partial sums if there are many."""
    if len(terms) < MIN_TERMS_TO_SPLIT:
        return add_all(terms)
    each = -(-len(terms) // PARTIAL_SUMS)
    return add_all([add_all(terms[first : first + each]) for first in range(0, len(terms), each)])
