"""Polyphase decomposition: a strided convolution as one convolution of stride 1 per phase of the samples.

Window `t` multiplies sample `u = t * stride + k * dilation` of the padded input by tap `k`. So the samples with the
same phase, `u % stride`, are multiplied only by the taps with that phase, at stride 1. No gradient multiplies by zeros
that the stride inserts, and kernels that are fast only at stride 1 can be used. (Vaidyanathan, Multirate Systems and
Filter Banks, 1993, chapter 4.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..geometry import Geometry
from . import grouped, lax, shifts
from .shared.operands import (
    add_all,
    depth_to_space,
    space_to_depth,
    space_to_depth_geometry,
    space_to_depth_kernel,
    space_to_depth_length,
    upcast,
)

LOCAL = True

# Up to this number of in channels per group, `shifts` is the fastest convolution of stride 1.
MAX_CHANNELS_FOR_SHIFTS = 2
# Up to this number of in channels, one convolution for all phases is faster than one per phase: its matrix product has
# more columns. Beyond that, transposing the kernel of all phases costs more than it gains.
MAX_CHANNELS_FOR_MERGED_PHASES = 128


class Phase(NamedTuple):
    """One phase: its taps are `first_tap :: tap_step`, and `geometry` is its convolution of stride 1."""

    number: int
    first_tap: int
    tap_step: int
    geometry: Geometry


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Convolves the samples of each phase with its taps, and adds the results."""
    g = geometry
    algorithm = phase_algorithm(g, kernel.shape[1])
    # 16-bit floats are upcast first, so that the results of the phases are added in float32.
    samples, rows = _split_phases(upcast(x), g), upcast(kernel)
    parts = [
        algorithm.forward(samples[p.number], rows[p.first_tap :: p.tap_step], p.geometry, precision)
        for p in _phases_with_taps(g)
    ]
    return add_all(parts).astype(x.dtype)


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Computes the samples of each phase from its taps, then interleaves the phases."""
    g = geometry
    if merges_phases(g, kernel.shape[1]):
        phases = lax.input_gradient(y_bar, space_to_depth_kernel(kernel, g), space_to_depth_geometry(g), precision)
    else:
        phases = _separate_phases(y_bar, kernel, g, precision)
    return depth_to_space(
        phases.reshape(y_bar.shape[0], space_to_depth_length(g), g.stride * kernel.shape[1] * g.groups), g
    )


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Computes the taps of each phase from its samples, then interleaves the taps."""
    g = geometry
    algorithm = phase_algorithm(g, x.shape[-1] // g.groups)
    samples = _split_phases(x, g)
    parts = [algorithm.kernel_gradient(samples[p.number], y_bar, p.geometry, precision) for p in _phases_with_taps(g)]
    # Tap `k` is tap `k // tap_step` of part `k % tap_step`. Later parts may have one tap less.
    max_taps = parts[0].shape[0]
    parts = [jnp.pad(part, [(0, max_taps - part.shape[0]), (0, 0), (0, 0)]) for part in parts]
    return jnp.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:])[: g.kernel_size]


def phase_algorithm(g: Geometry, in_per_group: int) -> ModuleType:
    """Returns the algorithm that computes each phase."""
    if in_per_group <= MAX_CHANNELS_FOR_SHIFTS:
        return shifts
    return lax if g.groups == 1 else grouped


def merges_phases(g: Geometry, in_per_group: int) -> bool:
    """Returns whether the input gradient computes all phases as the channels of one convolution.

    That is possible if all phases have the same number of taps and read the same samples of `y_bar`. It is up to 1.5
    times as fast as one convolution per phase, and there is only one convolution to compile.
    """
    return (
        g.groups == g.dilation == 1
        and g.kernel_size % g.stride == 0
        and MAX_CHANNELS_FOR_SHIFTS < in_per_group <= MAX_CHANNELS_FOR_MERGED_PHASES
    )


def _separate_phases(y_bar: jax.Array, kernel: jax.Array, g: Geometry, precision: Any) -> jax.Array:
    """Returns (batch, phase length, stride, in channels), with one convolution per phase."""
    algorithm = phase_algorithm(g, kernel.shape[1])
    parts = {
        p.number: algorithm.input_gradient(y_bar, kernel[p.first_tap :: p.tap_step], p.geometry, precision)
        for p in _phases_with_taps(g)
    }
    zeros = jnp.zeros_like(y_bar, shape=(y_bar.shape[0], space_to_depth_length(g), kernel.shape[1] * g.groups))
    return jnp.stack([parts.get(phase, zeros) for phase in range(g.stride)], axis=2)


def _split_phases(x: jax.Array, g: Geometry) -> list[jax.Array]:
    """Returns the padded samples of each phase, as `stride` arrays (batch, phase length, channels)."""
    phases = space_to_depth(x, g).reshape(x.shape[0], space_to_depth_length(g), g.stride, x.shape[-1])
    return [phases[:, :, phase] for phase in range(g.stride)]


def _phases_with_taps(g: Geometry) -> Iterator[Phase]:
    """Yields the phases that have taps. The phase of tap `k`, `k * dilation % stride`, has period `tap_step`."""
    common = math.gcd(g.stride, g.dilation)
    tap_step, dilation = g.stride // common, g.dilation // common
    for first_tap in range(min(tap_step, g.kernel_size)):
        delay, number = divmod(first_tap * g.dilation, g.stride)
        taps = -(-(g.kernel_size - first_tap) // tap_step)
        length = space_to_depth_length(g)
        # The first window starts at sample `delay` of the phase: negative padding crops the samples before.
        high = g.out_length + (taps - 1) * dilation + delay - length
        yield Phase(number, first_tap, tap_step, Geometry(length, taps, 1, -delay, high, dilation, g.groups))
