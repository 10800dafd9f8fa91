"""A sum of shifted copies of `x`, each times one row of the kernel: for depthwise kernels and very few channels.

XLA's CPU compiler has no fast convolution for these; it does fuse a few dozen elementwise products into one loop over
memory, which is all that a depthwise convolution is. A product is a `term`: one tap and one in channel of each group.
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

from ..apart import for_each_number
from ..geometry import Geometry
from .operands import as_forward, by_group, pad, padded, swap_channels, total, wide, wide_type

LOCAL = True

# Terms in one fused loop. Depthwise (4, 8192, 64) with 64 taps in a scan of loops of 8, 16 and 32 terms: 25, 3.9 and
# 3.0 ms; one loop of 144 terms takes 39 ms where 24 take 1.3 (two cores of an AMD EPYC, JAX 0.10.2).
TERMS = 32
# Sums side by side in a loop of as many terms or more, or each number would wait for all its additions one after the
# other. (8, 1024, 256) with 3 taps in 32 groups takes 1.43, 1.16 and 1.17 ms with 1, 2 and 4 sums, one channel of 16000
# samples with 64 taps 0.32, 0.28 and 0.31 (the same, 2026-11-29).
CHAINS, LEAST_IN_CHAINS = 2, 8
# The same of groups whose samples each stand in a register, for more out channels than one vector holds: (8, 700, 256)
# with 3 taps in 16 groups takes 2.4 ms with one tap to a loop and 4.8 with two, (4, 1024, 256) to 512 channels with 5
# taps in 32 groups 3.6 with three and 5.5 with four; of groups of 4 channels, 15 taps, 1.5 with eight and 2.8 with six
# (the same, 2026-11-29).
TERMS_OF_WIDE_GROUPS = 24
VECTOR = 8
# The samples of a depthwise window lie a row of channels apart, and where that is a power of two in few sets of the
# first cache, which has 64 of 8 lines: with `CROWD` bytes or more of a loop's taps times what the rows and `PAGE`, all
# its sets, have in common, the channels are cut into parts of so many numbers of a window as it holds, with their
# weights. 31 taps of (4, 1024, 512) take 6.6 ms at once and 2.4 as 4 parts, of (4, 512, 1024) 14.4 and 2.5, the kernel
# gradients 4.4 and 3.2, 15.8 and 5.3; 640 and 384 channels are no quicker in parts, nor 31 taps of 256 (the same,
# 2026-11-29).
PAGE, CROWD, OF_PART = 4096, 8 * 4096, 4000
# With more loops than this they become one loop body, walked by a scan: (4, 8192, 64) with 128 taps takes 46 ms as four
# loops written out.
MOST_LOOPS = 2
# Rows of `y_bar` that the kernel gradient multiplies in one step. Depthwise (4, 2048, 512) with 4 taps: 4.2, 3.6, 2.3
# and 2.2 ms with 4, 8, 12 and 16 rows; most others are alike from 8 on (two cores of an AMD EPYC, 2026-11-30).
ROWS = 16
# The most rows of `y_bar` that the kernel gradient multiplies by themselves since their windows reach into the padding.
MOST_OUTSIDE = 16
# With so many out channels in a group XLA computes a kernel gradient's products one at a time, unless the in channels
# are one, four or a multiple of eight: they are filled up with zeros. With 7 taps, about 128 channels and (8, 1024)
# samples, groups of 3 channels take 6.5 ms and, filled up to 4, 2.8; of 6, as 8, 6.8 and 3.5; of 12 to 4 out, as 16,
# 4.4 and 2.8; of 2, as 4, 4.1 and 2.8; by one core 8.2 and 4.1, 12.3 and 5.2, 7.8 and 3.5, 5.4 and 4.4 (the same,
# 2026-11-29). Not in float64, of which four channels are a vector: of 12 to 4 3.9 and, filled up, 5.9.
NARROW = range(2, 7)
# Numbers of a batch of kernels that XLA sums as fast, by a library, as by a loop that has to be compiled first, 12 ms.
# More of them it reads one at a time: (16, 40, 32, 32) take 3.9 ms and 0.11, (4, 64, 64) 0.013 and 0.009 (the same,
# 2026-11-29; with JAX 0.12 0.06 and 0.10).
FEW = 16384


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """`y[n, t] = sum_k x[n, t * stride + k * dilation - low] * kernel[k]`, a product a tap and in channel."""
    return _in_parts(_correlate, x, kernel, geometry, min(geometry.kernel_size, TERMS))


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """The same sum over `y_bar`, the kernel reversed in time; a stride spreads `y_bar` with zeros first."""
    # Turned round first, or every product of the fused loop would look for its weight anew: 15 ms for 3.
    turned = jax.lax.optimization_barrier(swap_channels(kernel, geometry))
    operand, forward_geometry = as_forward(y_bar, geometry)
    return _in_parts(_correlate, operand, turned, forward_geometry, min(geometry.kernel_size, TERMS))


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Rows of `y_bar` and their windows walked in blocks: each adds its products to one row of sums a tap.

    For a depthwise (4, 2048, 512) and 4 taps 1.9 ms; rows cut from blocks that are cut from a padded `x` first, 4.4
    (2026-11-28). As one sum over batch and time XLA reads both operands once for each tap, one number at a time: 29 ms
    on faster cores.
    """
    in_per_group = x.shape[-1] // geometry.groups
    added = filled(in_per_group, y_bar.shape[-1] // geometry.groups) - in_per_group
    if added and wide_type(x) == jnp.float32:
        x = jnp.pad(by_group(x, geometry.groups), [(0, 0), (0, 0), (0, 0), (0, added)])
        x = x.reshape(*x.shape[:2], geometry.groups * (in_per_group + added))
        return _kernel_gradient(x, y_bar, geometry)[:, :in_per_group]
    return _in_parts(_kernel_gradient, x, y_bar, geometry, geometry.kernel_size)


def _kernel_gradient(x: jax.Array, y_bar: jax.Array, g: Geometry) -> jax.Array:
    """Of all channels, or a part of them."""
    batch, in_per_group, out_per_group = x.shape[0], x.shape[-1] // g.groups, y_bar.shape[-1] // g.groups
    if not few_outside(g):
        x, g = padded(x, g), replace(g, length=g.low + g.length + g.high, low=0, high=0)
    first, last = _inside(g)
    stop = last - (last - first) % ROWS

    def rows(x: jax.Array, start: Any, count: int, sample: Any) -> list[jax.Array]:
        """Products of so many rows of `y_bar`, the first of whose windows begins at this sample of x."""
        return [
            _products_by_tap(x, y_bar, sample + np.int32(row * g.stride), start + np.int32(row), g)
            for row in range(count)
        ]

    outside = []
    for begin, end in ((0, first), (stop, last), (last, g.out_length)):
        sample = begin * g.stride - g.low
        if begin < end:
            own = _cut(x, sample, sample + (end - 1 - begin) * g.stride + g.reach)
            outside += rows(own, np.int32(begin), end - begin, np.int32(0))
    if outside:
        sums = total(outside)
    else:  # Zeros like x, which inside jax.shard_map vary over the same mesh axes.
        channels = (in_per_group, out_per_group) if in_per_group * out_per_group > 1 else ()
        sums = jax.lax.full_like(x, 0, wide_type(x), (batch, g.kernel_size, g.groups, *channels))
    sums = _added(sums, lambda row: total(rows(x, row, ROWS, row * g.stride - g.low)), range(first, stop, ROWS))
    sums = _over_batch(sums).astype(x.dtype)
    if in_per_group > 1:
        sums = sums.reshape(g.kernel_size, g.groups, in_per_group, out_per_group).transpose(0, 2, 1, 3)
    # Not transposed without need, or XLA compiles a loop that does nothing.
    return sums.reshape(g.kernel_size, in_per_group, y_bar.shape[-1])


def _in_parts(
    face: Callable[[jax.Array, jax.Array, Geometry], jax.Array], a: jax.Array, b: jax.Array, g: Geometry, taps: int
) -> jax.Array:
    """`face` of each part of the channels, side by side, where it reads so many taps of long depthwise windows."""
    channels = a.shape[-1]
    depthwise = channels == b.shape[-1] == g.groups
    counts = [count for count in range(2, channels // VECTOR + 1) if channels % (count * VECTOR) == 0]
    if not depthwise or not counts or min(taps, TERMS) * math.gcd(channels * a.dtype.itemsize, PAGE) < CROWD:
        return face(a, b, g)
    parts = next((count for count in counts if taps * channels <= count * OF_PART), counts[-1])

    def one(a: jax.Array, b: jax.Array, part: jax.Array) -> jax.Array:
        size = channels // parts
        a, b = (jax.lax.dynamic_slice_in_dim(x, part * size, size, -1, allow_negative_indices=False) for x in (a, b))
        return face(a, b, replace(g, groups=size))

    return jnp.concatenate(for_each_number(one, parts, a, b), axis=-1)


def _correlate(x: jax.Array, kernel: jax.Array, g: Geometry) -> jax.Array:
    """The forward pass, which the input gradient is too, over other operands."""
    rows = _kernel_rows(wide(kernel), g.groups)
    pieces = []
    # Where y is much the larger, a padded copy of x is nothing and one loop is best. And what a scan adds up has to be
    # put side by side in a pass of its own, with twice as many loops to compile.
    whole = 4 * x.shape[-1] <= kernel.shape[-1] or _taps_of_loops(rows, g)[1]
    for start, stop in [(0, g.out_length)] if whole else _ends(g):
        first, last = start * g.stride - g.low, (stop - 1) * g.stride - g.low + g.reach
        pieces.append(_sum_of_terms(wide(_cut(x, first, last)), rows, replace(g, length=last - first, low=0, high=0)))
    y = jnp.concatenate(pieces, axis=1)
    return y.reshape(x.shape[0], g.out_length, kernel.shape[-1]).astype(x.dtype)


@partial(jax.jit, static_argnames="g")
def _products_by_tap(x: jax.Array, y_bar: jax.Array, sample: Any, row: Any, g: Geometry) -> jax.Array:
    """(batch, kernel_size, groups, in a group, out a group): of a row of `y_bar`, whose window begins at `sample`.

    Each row is cut from the whole arrays, so that the loop that adds the products reads them where they are. Traced
    once for all rows.
    """
    taps = jax.lax.dynamic_slice_in_dim(x, sample, g.reach, axis=1, allow_negative_indices=False)
    taps = wide(jax.lax.slice_in_dim(taps, 0, g.reach, g.dilation, axis=1))
    own = wide(jax.lax.dynamic_slice_in_dim(y_bar, row, 1, axis=1, allow_negative_indices=False))
    if x.shape[-1] > g.groups or y_bar.shape[-1] > g.groups:
        taps, own = by_group(taps, g.groups)[..., :, None], by_group(own, g.groups)[..., None, :]
    return taps * own


def _over_batch(sums: jax.Array) -> jax.Array:
    """The sum over the first axis."""
    batch = sums.shape[0]
    return sums.sum(0) if sums.size <= FEW or batch > MOST_LOOPS * TERMS else _in_loops([sums[i] for i in range(batch)])


def _ends(g: Geometry) -> list[tuple[int, int]]:
    """The outputs in up to three ranges: those that read the padding in front, none, and that behind.

    Only the ends are padded: a copy of all of `x` is a pass over memory, and a padding that joins the loop asks of each
    number whether it is there. Depthwise (4, 512, 256) with 7 taps: 0.23 ms so, 0.28 as a copy, 0.75 as one loop.
    """
    first, last = _inside(g)
    if first < 0 or not first < last:
        return [(0, g.out_length)]
    return [(a, b) for a, b in ((0, first), (first, last), (last, g.out_length)) if a < b]


def few_outside(g: Geometry) -> bool:
    """Whether a kernel gradient multiplies the rows whose windows reach into the padding by themselves.

    Of many a padded copy of `x` is less to compile.
    """
    first, last = _inside(g)
    return 0 <= first <= last and first + g.out_length - last <= MOST_OUTSIDE


def filled(in_per_group: int, out_per_group: int) -> int:
    """The in channels of a group that a kernel gradient multiplies in float32, those that are only zeros with them.

    >>> filled(3, 3), filled(6, 6), filled(16, 4), filled(3, 8)
    (4, 8, 16, 3)
    """
    if in_per_group == 1 or out_per_group not in NARROW:
        return in_per_group
    return 4 if in_per_group <= 4 else -(-in_per_group // VECTOR) * VECTOR


def terms_in_a_loop(groups: int, in_per_group: int, out_per_group: int) -> int:
    """The most terms of one fused loop.

    >>> terms_in_a_loop(256, 1, 1), terms_in_a_loop(16, 16, 16)
    (32, 24)
    """
    return TERMS_OF_WIDE_GROUPS if groups > 1 and in_per_group > 1 and out_per_group > VECTOR else TERMS


def taps_in_a_loop(groups: int, in_per_group: int, out_per_group: int) -> int:
    """The taps whose terms are those of one loop, one at least.

    >>> taps_in_a_loop(256, 1, 1), taps_in_a_loop(16, 16, 16)
    (32, 1)
    """
    return max(terms_in_a_loop(groups, in_per_group, out_per_group) // in_per_group, 1)


def _inside(g: Geometry) -> tuple[int, int]:
    """The outputs that read no padding, from the first to before the last."""
    first = min(-(-g.low // g.stride), g.out_length)
    return first, min((g.length + g.low - g.reach) // g.stride + 1, g.out_length)


def _cut(x: jax.Array, first: int, last: int) -> jax.Array:
    """Samples `first` to `last` of `x`, zeros outside it."""
    start = min(max(first, 0), x.shape[1])
    # Cut before it is padded: a negative padding would copy all of `x` first.
    inside = jax.lax.slice_in_dim(x, start, max(min(last, x.shape[1]), start), axis=1)
    low = min(max(-first, 0), last - first)
    return pad(inside, low, last - first - low - inside.shape[1])


def _kernel_rows(kernel: jax.Array, groups: int) -> jax.Array:
    """(kernel_size, in a group, out channels) to what `_terms` multiplies with, its first axes kept."""
    if groups == 1 or kernel.shape[1:] == (1, groups):
        return kernel
    return by_group(kernel, groups)


@partial(jax.jit, static_argnames="g")
def _sum_of_terms(x: jax.Array, rows: jax.Array, g: Geometry) -> jax.Array:
    """The terms of a padded `x`, in loops of `TERMS`.

    Traced once for all that is alike in it: the input gradient's is often that of the forward pass.
    """
    kernel_size, in_per_group = rows.shape[:2]
    taps, scanned = _taps_of_loops(rows, g)
    blocks, rest = divmod(kernel_size, taps)
    samples = _samples(x, rows, g)

    def terms(first: int, last: int) -> list[jax.Array]:
        return [samples(tap, i) * rows[tap, i] for tap in range(first, last) for i in range(in_per_group)]

    if not scanned:
        return _in_loops(terms(0, kernel_size))

    def block(first: Any) -> jax.Array:
        own = jax.lax.dynamic_slice_in_dim(rows, first, taps, axis=0, allow_negative_indices=False)
        return _in_loops([samples(first + tap, i) * own[tap, i] for tap in range(taps) for i in range(in_per_group)])

    first = _in_loops(terms(blocks * taps, kernel_size)) if rest else block(0)
    return _added(first, block, range(0 if rest else taps, blocks * taps, taps))


def _taps_of_loops(rows: jax.Array, g: Geometry) -> tuple[int, bool]:
    """The taps of one loop, and whether a scan walks the loops."""
    kernel_size, in_per_group = rows.shape[:2]
    channels = (g.groups, in_per_group, rows.shape[-1])
    taps, written_out = taps_in_a_loop(*channels), MOST_LOOPS if terms_in_a_loop(*channels) == TERMS else 0
    return taps, kernel_size > taps and kernel_size // taps > written_out


def _samples(x: jax.Array, rows: jax.Array, g: Geometry) -> Callable[[Any, int], jax.Array]:
    """What a term multiplies its weights with: of a tap, a number or not, and an in channel of each group.

    Each is cut from all of x: XLA would copy what many terms are cut from. XLA makes slower loops of arrays with axes
    of one element, so those are left out where there are any: 0.08 ms for 0.03 in a depthwise (1, 300, 64).
    """
    depthwise = x.shape[-1] == g.groups and rows.ndim == 3 and rows.shape[-1] == g.groups
    if g.groups > 1 and not depthwise:
        x = by_group(x, g.groups)
    span = (g.out_length - 1) * g.stride + 1

    def samples(tap: Any, i: int) -> jax.Array:
        start = tap * g.dilation
        if isinstance(tap, int):
            own = jax.lax.slice_in_dim(x, start, start + span, g.stride, axis=1)
            return own if depthwise else own[..., i : i + 1]
        # Of one type, also in JAX's 64-bit mode.
        starts: list[Any] = [np.int32(0)] * x.ndim
        starts[1], starts[-1] = start, np.int32(0 if depthwise else i)
        own = jax.lax.dynamic_slice(
            x, starts, (x.shape[0], span, *x.shape[2:-1], x.shape[-1] if depthwise else 1), allow_negative_indices=False
        )
        return jax.lax.slice_in_dim(own, 0, span, g.stride, axis=1)

    return samples


def _added(first: jax.Array, block: Callable[[Any], jax.Array], starts: range) -> jax.Array:
    """`first` and the block at each of `starts`, added by a scan."""
    if not starts:  # the body would be traced all the same, for slices that do not fit
        return first

    def step(carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        start, sums = carry
        return start + np.int32(starts.step), sums + block(start)

    # Not a scan, which counts for itself too: another loop to compile.
    end = np.int32(starts[-1] + starts.step)
    return jax.lax.while_loop(lambda carry: carry[0] < end, step, (np.int32(starts.start), first))[1]


def _in_loops(terms: list[jax.Array]) -> jax.Array:
    """Their sum, `TERMS` to a fused loop."""
    sums = _in_chains(terms[:TERMS])
    for first in range(TERMS, len(terms), TERMS):
        sums = jax.lax.optimization_barrier(sums) + _in_chains(terms[first : first + TERMS])
    return sums


def _in_chains(terms: list[jax.Array]) -> jax.Array:
    if len(terms) < LEAST_IN_CHAINS:
        return total(terms)
    each = -(-len(terms) // CHAINS)
    return total([total(terms[first : first + each]) for first in range(0, len(terms), each)])
