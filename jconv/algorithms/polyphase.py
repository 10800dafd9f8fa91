"""A strided convolution as convolutions of stride 1, one for each phase of the samples.

Sample `u` of the padded input meets tap `k` in window `t` where `u = t * stride + k * dilation`. So the samples of one
phase, `u % stride`, meet only the taps of that phase, at stride 1: no gradient multiplies by a zero that a stride put
in between, and XLA's fast kernels, which know no stride, serve each phase. (Vaidyanathan, Multirate Systems and Filter
Banks, 1993, chapter 4.)
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
from .operands import fold, fold_kernel, folded, folded_length, total, unfold, wide

LOCAL = True

# In channels a group up to which a sum of shifts is the better convolution of stride 1.
NARROW = 2
# In channels up to which a phase's product gains by the columns of the other phases more than turning them all costs.
WIDE = 128


class Phase(NamedTuple):
    """The taps `first_tap :: tap_step` of one phase, and their convolution of stride 1 over its samples."""

    number: int
    first_tap: int
    tap_step: int
    geometry: Geometry


def forward(x: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """The sum over phases of the convolution of a phase's samples with its taps."""
    g = geometry
    inner = inner_algorithm(g, kernel.shape[1])
    # The parts are sums, so they stay in float32 until they are added, where x is of a half type.
    samples, rows = _phases(wide(x), g), wide(kernel)
    parts = [inner.forward(samples[p.number], rows[p.first_tap :: p.tap_step], p.geometry, precision) for p in _each(g)]
    return total(parts).astype(x.dtype)


def input_gradient(y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """Each phase of the samples from its own taps, then the phases in turn."""
    g = geometry
    phases = _all_phases if at_once(g, kernel.shape[1]) else _phase_by_phase
    joined = phases(y_bar, kernel, g, precision)
    return unfold(joined.reshape(y_bar.shape[0], folded_length(g), g.stride * kernel.shape[1] * g.groups), g)


def kernel_gradient(x: jax.Array, y_bar: jax.Array, geometry: Geometry, precision: Any = None) -> jax.Array:
    """The taps of each phase from its own samples, then each tap from its phase."""
    g = geometry
    inner = inner_algorithm(g, x.shape[-1] // g.groups)
    samples = _phases(x, g)
    parts = [inner.kernel_gradient(samples[p.number], y_bar, p.geometry, precision) for p in _each(g)]
    # Tap `k` is tap `k // tap_step` of part `k % tap_step`, and later parts may have one less.
    most = parts[0].shape[0]
    parts = [jnp.pad(part, [(0, most - part.shape[0]), (0, 0), (0, 0)]) for part in parts]
    return jnp.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:])[: g.kernel_size]


def inner_algorithm(g: Geometry, in_per_group: int) -> ModuleType:
    """What computes each phase."""
    if in_per_group <= NARROW:
        return shifts
    return lax if g.groups == 1 else grouped


def at_once(g: Geometry, in_per_group: int) -> bool:
    """Whether the input gradient computes all phases as the channels of one convolution.

    They read the same samples of `y_bar`, each by as many taps, and lie side by side as the result has them. The time
    of phase by phase for that of all at once, and by lax for it: 1.17 and 1.38 for (8, 1026, 64) from 128 channels with
    4 taps and stride 2; 1.08 and 1.10 for (4, 2008, 128) from 256 with 16 and 8; 1.54 and 1.54 for (32, 1000, 12) from
    64 with 16 and 2; but 0.66 and 0.72 for (2, 808, 255) from 512 with 16 and 8 (medians of 13, two cores of an AMD
    EPYC, JAX 0.10.2, 2026-11-28). It is one convolution to compile instead of one a phase.
    """
    return g.groups == g.dilation == 1 and g.kernel_size % g.stride == 0 and NARROW < in_per_group <= WIDE


def _phase_by_phase(y_bar: jax.Array, kernel: jax.Array, g: Geometry, precision: Any) -> jax.Array:
    """(batch, phase length, stride, in channels): the samples of each phase from a convolution of its own."""
    inner = inner_algorithm(g, kernel.shape[1])
    parts = {
        p.number: inner.input_gradient(y_bar, kernel[p.first_tap :: p.tap_step], p.geometry, precision)
        for p in _each(g)
    }
    none = jnp.zeros_like(y_bar, shape=(y_bar.shape[0], folded_length(g), kernel.shape[1] * g.groups))
    return jnp.stack([parts.get(phase, none) for phase in range(g.stride)], axis=2)


def _all_phases(y_bar: jax.Array, kernel: jax.Array, g: Geometry, precision: Any) -> jax.Array:
    """(batch, phase length, stride * in channels): the same from one convolution."""
    return lax.input_gradient(y_bar, fold_kernel(kernel, g), folded(g), precision)


def _phases(x: jax.Array, g: Geometry) -> list[jax.Array]:
    """`stride` arrays (batch, phase length, channels): the padded samples of each phase."""
    apart = fold(x, g).reshape(x.shape[0], folded_length(g), g.stride, x.shape[-1])
    return [apart[:, :, phase] for phase in range(g.stride)]


def _each(g: Geometry) -> Iterator[Phase]:
    """The phases that have taps. `k * dilation % stride` has a period of `tap_step` taps."""
    common = math.gcd(g.stride, g.dilation)
    tap_step, dilation = g.stride // common, g.dilation // common
    for first_tap in range(min(tap_step, g.kernel_size)):
        samples_late, number = divmod(first_tap * g.dilation, g.stride)
        taps = -(-(g.kernel_size - first_tap) // tap_step)
        length = folded_length(g)
        # Windows start `samples_late` samples in: a crop in front, which is what a negative padding is.
        high = g.out_length + (taps - 1) * dilation + samples_late - length
        yield Phase(number, first_tap, tap_step, Geometry(length, taps, 1, -samples_late, high, dilation, g.groups))
