"""What each face costs by each algorithm: a model of one core complex, in milliseconds.

A convolution is rows, a contraction and columns, as in a matrix product. For XLA's convolution each row is a window
that is gathered first, so a row and an element of it have a price besides the multiplications, and a product of few
columns runs at a part of full speed. The model is held to measurements by `tests/test_costs.py`: for each convolution
of its table, the algorithm chosen takes little more than the fastest that was measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from .algorithms import ALGORITHMS, FACES, grouped, matmul, polyphase, shifts, tiles, winograd_groups
from .algorithms.fft import block_sizes
from .algorithms.operands import folded
from .geometry import Geometry
from .machine import EPYC, Machine

FORWARD, INPUT_GRADIENT, KERNEL_GRADIENT = FACES
# Columns with which XLA's convolution of several outputs as one is as fast as it gets.
WIDE = 32


class Sizes(NamedTuple):
    """All that a cost depends on: the geometry, the batch (all its axes as one), and the channels of x and y."""

    geometry: Geometry
    batch: int
    in_channels: int
    out_channels: int

    @property
    def in_per_group(self) -> int:
        """In channels of one group."""
        return self.in_channels // self.geometry.groups

    @property
    def out_per_group(self) -> int:
        """Out channels of one group."""
        return self.out_channels // self.geometry.groups

    @property
    def products(self) -> int:
        """Multiplications of any one face: batch * out_length * kernel_size * in_channels * out_channels / groups."""
        g = self.geometry
        return self.batch * g.out_length * g.kernel_size * self.in_per_group * self.out_channels

    @property
    def windows(self) -> int:
        """Numbers in all windows of x: batch * out_length * kernel_size * in_channels."""
        return self.batch * self.geometry.out_length * self.geometry.kernel_size * self.in_channels

    @property
    def elements(self) -> int:
        """Numbers in x, the kernel and y together."""
        g = self.geometry
        x, y = self.batch * g.length * self.in_channels, self.batch * g.out_length * self.out_channels
        return x + y + g.kernel_size * self.in_per_group * self.out_channels


def held_by_tiles(sizes: Sizes) -> int:
    """Numbers that a kernel gradient of one group holds as `winograd`: the points of both operands and its own.

    All at once, as they are where there are cores enough; with two, a large batch is blocks.

    >>> held_by_tiles(Sizes(Geometry(150, 5, low=4), batch=5, in_channels=128, out_channels=256))
    1049984
    """
    s, g = sizes, sizes.geometry
    if g.stride > 1:
        return held_by_tiles(s._replace(geometry=folded(g), in_channels=s.in_channels * g.stride))
    t = tiles.of(g)
    copies = t.pieces if t.pieces == 1 else t.pieces + 1
    points = tiles.count_elements(t, g, s.batch, copies * s.in_channels + s.out_channels)
    return points + t.points * t.pieces * s.in_channels * s.out_channels


def held_by_matmul(face: str, sizes: Sizes) -> int:
    """Numbers that `matmul` holds of a product that it cuts the taps' shares from, or of windows.

    >>> held_by_matmul("forward", Sizes(Geometry(512, 7, low=6), batch=16, in_channels=64, out_channels=2))
    114688
    """
    s, g = sizes, sizes.geometry
    few_out = matmul.few_out(g, s.in_channels, s.out_channels)
    if face == INPUT_GRADIENT or (face == KERNEL_GRADIENT and not few_out):
        return s.windows
    return s.batch * (g.length if g.stride == 1 else g.out_length) * g.kernel_size * s.out_channels


def milliseconds(algorithm: str, face: str, sizes: Sizes, machine: Machine = EPYC) -> float:
    """The model's estimate of one face by one algorithm.

    >>> depthwise = Sizes(Geometry(512, 4, low=3, groups=64), batch=4, in_channels=64, out_channels=64)
    >>> milliseconds("shifts", "forward", depthwise) < milliseconds("lax", "forward", depthwise)
    True
    """
    return 1e-6 * machine.slower * _MODELS[algorithm](face, sizes, machine)


def _gemm(rows: float, contraction: float, columns: float, m: Machine) -> float:
    slower = 1 + m.columns / columns if columns > 1 else m.one_column
    return rows * contraction * columns * m.product * slower * (1 + m.depth / contraction)


def _sides(face: str, s: Sizes) -> tuple[float, float, float]:
    """Rows, contraction and columns of one group's face as XLA's convolution computes it."""
    g = s.geometry
    if face == FORWARD:
        return s.batch * g.out_length, g.kernel_size * s.in_per_group, s.out_per_group
    if face == INPUT_GRADIENT:  # XLA does not multiply by the zeros between the samples of a strided y_bar
        return s.batch * g.length, g.kernel_size * s.out_per_group / g.stride, s.in_per_group
    return g.kernel_size * s.in_per_group, s.batch * g.out_length, s.out_per_group


def _convolution(rows: float, contraction: float, columns: float, m: Machine, row: float) -> float:
    product = _gemm(rows, contraction, columns, m)
    if columns > 1:
        product = max(product, rows * contraction * m.least_columns * m.product)
        product *= 1 + max(0, m.shallow * (1 / contraction - 1 / m.deep))
    return rows * row + rows * contraction * m.element + product


def _taps(rows: float, m: Machine) -> float:
    """How many times as long a kernel gradient of so many rows takes as XLA's convolution of as many products."""
    return m.taps * (m.narrow_taps if rows < m.narrow_rows else 1)


def _lax(face: str, s: Sizes, m: Machine) -> float:
    g = s.geometry
    if g.pointwise and face != KERNEL_GRADIENT:
        each = _gemm(*_sides(face, s), m)  # XLA makes a matrix product of it, and gathers nothing
    else:
        each = _convolution(*_sides(face, s), m, m.row if g.groups == 1 else m.grouped_row)
    moved = s.elements * m.number
    if face == INPUT_GRADIENT and g.stride > 1:
        each *= m.strided_column if s.in_per_group == 1 else 1 + m.strided_input * math.log2(g.stride)
    elif face == INPUT_GRADIENT and not g.pointwise:
        moved += g.kernel_size * s.in_per_group * s.out_channels * m.turned_kernel
    if face == KERNEL_GRADIENT:
        rows = _sides(face, s)[0]
        each *= (1 + m.strided_taps * (g.stride > 1)) * (1 + m.few_taps / rows)
        each *= 1 if s.batch == g.groups == 1 else _taps(rows, m)
        if g.groups == 1:  # the examples are the features of this convolution, and few
            each += rows * (m.few_row + g.out_length * m.few_number) * min(1, m.few_examples / s.batch)
        moved *= 2
        if g.groups > 1:
            each += s.batch * g.out_length * (m.grouped_taps_row + s.out_per_group * m.grouped_taps_number)
        moved += 3 * m.call  # both operands and the result are transposed
    return m.convolution + g.groups * each + moved


def _grouped(face: str, s: Sizes, m: Machine) -> float:
    g = s.geometry
    rows, contraction, columns = _sides(face, s)
    if face == KERNEL_GRADIENT:
        each = _convolution(rows, contraction, columns, m, m.row)
        each *= _taps(rows, m) * (1 + m.strided_taps * (g.stride > 1))
        each += contraction * m.grouped_taps_row
    else:
        at_once = grouped.outputs_per_window(g, int(columns))
        rows, columns = rows / at_once, columns * at_once
        one_channel = contraction == g.kernel_size
        contraction *= (g.kernel_size + at_once - 1) / g.kernel_size
        each = _convolution(rows, contraction, columns, m, m.row)
        if at_once > 1:
            each *= m.several if columns >= WIDE else m.several_few
            if g.groups > 1:
                each *= m.of_one if one_channel else m.of_group
    return m.convolution + g.groups * (m.call + each) + s.elements * m.number * 2


def _einsum(face: str, s: Sizes, m: Machine) -> float:
    g = s.geometry
    if g.groups > 1:
        return g.groups * (2 * m.call + s.products / g.groups * m.scalar)
    rows, contraction, columns = _sides(face, s)
    if face == KERNEL_GRADIENT and s.batch == g.dilation == 1:
        windows = g.out_length * (m.written + rows * m.written_number)
        return 2 * m.call + windows + _gemm(rows, contraction, columns, m) + s.elements * m.number
    product = _gemm(rows, contraction, columns, m) * (m.turned if face == KERNEL_GRADIENT else 1)
    spread = g.stride**2 if face == INPUT_GRADIENT else 1  # zeros are put between the samples, and unfolded too
    windows = rows * contraction * m.unfolded * g.kernel_size * spread
    return 2 * m.call + windows + product * spread**0.5 + s.elements * m.number


def _matmul(face: str, s: Sizes, m: Machine) -> float:
    g = s.geometry
    if g.groups > 1:
        return _einsum(face, s, m)
    if face == FORWARD and s.in_channels == 1 and g.kernel_size > g.stride:
        return _shifts(face, s, m) * 1.1  # XLA makes the same loop of it
    if face == KERNEL_GRADIENT and matmul.few_out(g, s.in_channels, s.out_channels):
        rows, contraction = g.kernel_size * s.out_channels, s.batch * g.length
        windows = held_by_matmul(face, s) * m.unfolded * g.kernel_size
        product = _gemm(rows, contraction, s.in_channels, m) * m.turned
        return 2 * m.call + windows + product + s.elements * m.number
    apart = matmul.side_by_side(g)
    if not apart and (face == INPUT_GRADIENT or (face == FORWARD and g.stride == 1)):
        return _cut_products(face, s, m)
    dots = 1 if apart else g.kernel_size
    rows, columns = s.batch * g.out_length, s.in_channels if face == INPUT_GRADIENT else s.out_channels
    each = m.call + _gemm(rows, s.products / rows / columns / dots, columns, m)
    each *= (m.turned_apart if apart else m.turned) if face == KERNEL_GRADIENT else 1
    x, y = s.batch * g.length * s.in_channels, rows * s.out_channels
    moved = {FORWARD: (x + 2 * y) * dots, INPUT_GRADIENT: y + 2 * x, KERNEL_GRADIENT: y + 3 * x * dots}
    return m.call + dots * each + moved[face] * m.number


def _cut_products(face: str, s: Sizes, m: Machine) -> float:
    """One product for all taps, from which each tap's columns are cut."""
    g = s.geometry
    products = held_by_matmul(face, s)
    rows, summed = s.batch * g.length, s.in_channels
    if face == INPUT_GRADIENT:
        rows, summed = s.batch * g.out_length, s.out_channels
    far = min(max(products / m.near - 1, 0), 1)
    cut = m.cut * (1 + m.cut_far * far) * (1 + m.between * (g.stride - 1))
    product = _gemm(rows, summed, products / rows, m)
    return m.call + product + 1.5 * rows * summed * m.number + rows * g.kernel_size * m.share + products * cut


def _polyphase(face: str, s: Sizes, m: Machine) -> float:
    g = s.geometry
    phases = min(g.stride, g.kernel_size)
    taps = -(-g.kernel_size // phases)
    one = Geometry(g.out_length + taps - 1, taps, 1, 0, 0, 1, g.groups)
    inner = Sizes(one, s.batch, s.in_channels, s.out_channels)
    slower = m.phases if face == INPUT_GRADIENT else 1
    if face == INPUT_GRADIENT and polyphase.merges_phases(g, s.in_per_group):
        at_once = inner._replace(in_channels=g.stride * s.in_channels)
        return slower * _lax(face, at_once, m) + s.elements * m.number
    computed_by = polyphase.phase_algorithm(g, s.in_per_group)
    model = next(_MODELS[name] for name, module in ALGORITHMS.items() if module is computed_by)
    return m.call + slower * phases * model(face, inner, m) + s.elements * m.number


def _shifts(face: str, s: Sizes, m: Machine) -> float:
    g = s.geometry
    if face == KERNEL_GRADIENT:
        return _shifts_taps(s, m)
    summed, kept = (s.in_per_group, s.out_per_group)[:: 1 if face == FORWARD else -1]
    # A stride spreads y_bar first.
    spread = g.stride if face == INPUT_GRADIENT else 1
    loops = max(g.kernel_size / shifts.taps_per_loop(g.groups, summed, kept), 1)
    if summed == 1 < g.groups:
        moved = s.elements * (loops + (spread if spread > 1 else 0))
    else:
        x, y = s.batch * g.length * s.in_channels, s.batch * g.out_length * s.out_channels
        read, written = (x, y) if face == FORWARD else (y * spread, x)
        moved = (read + written) / 2 + (loops - 1 + (spread > 1)) * (read / 2 + written)
    return m.call + s.products * spread * _term(s, summed, kept, m) + moved * m.number


def _shifts_taps(s: Sizes, m: Machine) -> float:
    """A kernel gradient that walks rows, and adds products to one row of sums a tap."""
    g = s.geometry
    filled = shifts.padded_in_channels(s.in_per_group, s.out_per_group)
    step, number = m.step, m.number
    price = m.fused_taps * (m.many_taps if g.kernel_size > shifts.MAX_TERMS else 1)
    if s.in_per_group >= shifts.VECTOR_SIZE or s.in_per_group * s.out_per_group > 1 < g.groups:
        one_out = s.out_channels == 1  # the in channels are what lies side by side
        step = m.step if one_out else m.channel_step
        whole = one_out or s.out_per_group % shifts.VECTOR_SIZE == 0
        price = m.channel_taps * (1 if whole else m.channel_taps_narrow)
        if g.groups > 1:
            number = m.group_taps_number
        else:
            price *= 1 + min(g.kernel_size * filled * s.out_channels / m.far_sums, 1)
    copied = (
        0 if shifts.has_few_boundary_rows(g) and filled == s.in_per_group else s.batch * g.length * g.groups * filled
    )
    price *= m.strided_rows if g.stride > 1 else 1
    walked = g.out_length / shifts.ROWS_PER_STEP * step
    products = s.products * filled / s.in_per_group
    return 2 * m.call + walked + products * price + s.elements * number + copied * m.number


def _term(s: Sizes, summed: int, kept: int, m: Machine) -> float:
    """A product in a fused loop over terms, of groups of so many channels that are summed for so many that are kept."""
    g = s.geometry
    if kept < 4 and g.groups < 8 and summed * kept > 1:
        return m.scalar
    if g.groups > 1 and summed > 1:
        return m.group_term * (1 + m.group_narrow / kept) * (m.group_spilled if summed > shifts.MAX_TERMS else 1)
    terms = g.kernel_size * summed
    price = m.few if terms <= m.most_few else m.fused if g.groups > 1 else m.dense_term
    if summed > 1:
        most = m.most_summed if kept > shifts.VECTOR_SIZE else shifts.MAX_TERMS
        return price * (m.spilled * max(1, summed / (2 * shifts.MAX_TERMS)) if summed > most else 1)
    price *= m.scanned if terms > shifts.MAX_UNROLLED_LOOPS * shifts.MAX_TERMS else 1
    # A window of x and as many weights, which the next row of outputs reads again; of large ones part of the channels.
    return price * min(max(1, min(terms, shifts.MAX_TERMS) * s.out_channels / m.first_cache), m.out_of_cache)


def _winograd(face: str, s: Sizes, m: Machine) -> float:
    g = s.geometry
    if g.stride > 1 and (g.groups > 1 or g.dilation > 1):
        return _polyphase(face, s, m)
    moved = s.elements * m.number
    if g.stride > 1:
        side_by_side = s._replace(geometry=folded(g), in_channels=s.in_channels * g.stride)
        passes = m.unfolded_stride if face == INPUT_GRADIENT else 2
        return _winograd(face, side_by_side, m) + 2 * m.call + passes * moved
    x, y, outputs = s.in_channels, s.out_channels, g.out_length
    if face == INPUT_GRADIENT:
        x, y, outputs = y, x, g.length
    t = tiles.of(Geometry(outputs, g.kernel_size, low=g.reach - 1, dilation=g.dilation, groups=g.groups))
    rows, read = s.batch * t.tiles_per_phase * g.dilation, s.batch * t.input_tiles * g.dilation
    ends = t.points * read * (x + m.narrow) * t.input_length + rows * (y + m.narrow) * t.points * t.outputs
    if g.groups > 1:
        apart = winograd_groups.count_parts(g, x, face == KERNEL_GRADIENT)
        inner = Geometry(t.input_tiles * g.dilation, t.pieces, dilation=g.dilation, groups=g.groups // apart)
        sums = Sizes(inner, t.points * s.batch * apart, s.in_channels // apart, s.out_channels // apart)
        return 4 * m.call + ends * m.tiled_split + moved + _shifts(face, sums, m)
    kernel = t.points * t.pieces * x * y * (t.taps * m.tiled + m.kernel_point)
    # XLA computes them one after the other, and a small one on one core.
    products = t.points * t.pieces * _gemm(rows, x, y, m) * m.points_product
    if face == KERNEL_GRADIENT:
        products *= (m.turned_points + min(1, m.few_points / (x * y))) * (m.turned_pieces if t.pieces > 1 else 1)
    if rows * x * y < m.one_core:
        products *= m.alone_turned if face == KERNEL_GRADIENT else m.alone
    copied = t.points * t.pieces * rows * x if t.pieces > 1 else 0
    return 4 * m.call + products + ends * m.tiled + kernel + copied * m.pieces + moved


def _fft(face: str, s: Sizes, m: Machine) -> float:
    g = s.geometry
    size, _, blocks = block_sizes(g)
    numbers = s.batch * blocks * size
    transforms = numbers * (s.in_channels + s.out_channels) * size.bit_length() * m.transform / 2
    transforms += size * s.in_per_group * s.out_channels * size.bit_length() * m.transform / 2  # of the kernel
    return 5 * m.call + transforms + numbers * s.in_per_group * s.out_channels * m.spectrum


_MODELS: dict[str, Callable[[str, Sizes, Machine], float]] = {
    "einsum": _einsum,
    "fft": _fft,
    "grouped": _grouped,
    "lax": _lax,
    "matmul": _matmul,
    "polyphase": _polyphase,
    "shifts": _shifts,
    "winograd": _winograd,
}
