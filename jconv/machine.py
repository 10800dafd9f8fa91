"""What the steps of each algorithm take on a machine: the measured constants of the model in `costs.py`.

Of two kinds of processors, each by two cores and by one. They differ in what a number moved costs for a product made:
1.2 to 1.5 times as much on one as on the other, which decides about tiles and kernel gradients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .cores import cores
from .processor import processor


class Machine(NamedTuple):
    """The constants of the model, those of `EPYC` by default. Times are in nanoseconds.

    Each algorithm's face was measured alone in a jit, medians of 5 to 41, over the convolutions of
    `tests/test_costs.py`, JAX 0.10.2, float32.
    """

    slower: float = 1.0  # all of it takes so many times as long
    call: float = 10_000.0  # a fused loop or a matrix product, beyond its arithmetic
    convolution: float = 25_000.0  # one of XLA's convolutions, beyond its arithmetic
    product: float = 0.0095  # a multiplication and addition of a wide matrix product: 210 GFLOP a second
    columns: float = 4.0  # a product of this many columns runs at half speed
    one_column: float = 4.0  # of one it takes so many times as long
    least_columns: float = 22.0  # XLA's convolution takes as long for fewer, except for one
    shallow: float = 32.0  # XLA's convolution that sums this many products takes nearly twice as long
    deep: float = 96.0  # one of so many or more does not
    depth: float = 4.0  # one that sums this many products takes twice as long
    row: float = 9.0  # gathering a window for XLA's convolution
    element: float = 0.03  # each number of a window
    grouped_row: float = 32.0  # gathering a window of one group in XLA's convolution with groups
    grouped_taps_row: float = 15.0  # a row of y_bar of one group in a kernel gradient
    grouped_taps_number: float = 2.0  # a number of y_bar in the kernel gradient of XLA's convolution with groups
    strided_taps: float = 0.38  # added to XLA's kernel gradient for a stride
    taps: float = 1.15  # XLA's kernel gradient for a forward pass of as many products
    narrow_taps: float = 1.4  # one of fewer rows than this, taps times in channels, for another
    narrow_rows: int = 512
    few_taps: float = 2.0  # a kernel gradient of this many rows takes twice as long
    few_examples: float = 2.0  # XLA's kernel gradient of this many examples or fewer gathers windows number by number
    few_row: float = 600.0  # a row of those; the price of more examples goes down with their number
    few_number: float = 0.5  # each sample of it
    most_columns: int = 32  # a dense convolution computes several outputs as one while they have no more
    several: float = 0.83  # one that does, of `costs.WIDE` columns or more
    several_few: float = 1.25  # of fewer
    of_group: float = 1.45  # the same of a group
    of_one: float = 1.45  # of one channel
    turned: float = 1.4  # a matrix product that sums over the rows of both operands, for one that does not
    turned_apart: float = 1.0  # the same of windows that do not overlap
    strided_input: float = 0.47  # added to XLA's input gradient for each doubling of the stride
    strided_column: float = 0.5  # the same of one column
    turned_kernel: float = 0.0  # each number of a kernel that is turned round for an input gradient
    number: float = 0.06  # reading and writing a number of a large array once
    phases: float = 1.12  # the convolutions of an input gradient's phases, for others
    unfolded_stride: float = 6.0  # passes over x, y and the kernel to lay a stride's samples in a row again
    share: float = 0.6  # cutting a row of a tap's share from the products of all taps
    cut: float = 0.15  # and each number of it
    near: float = 3e6  # of so many products more take so much longer, from twice as many all
    cut_far: float = 1.0
    between: float = 1.2  # so much more for each sample that a stride puts between them
    unfolded: float = 0.07  # a number of the windows written out, for each tap that it is put together from
    written: float = 20.0  # a window of one example written out as a row of a matrix
    written_number: float = 0.65  # each number of it
    fused: float = 0.022  # a product in a fused loop over memory, vectorized, of more than `most_few` terms
    few: float = 0.012  # the same of so few
    most_few: int = 16
    dense_term: float = 0.0175  # the same of one group, also of several channels
    most_summed: int = 12  # with more of them, for more out than one vector holds, it takes `spilled` times as long
    spilled: float = 1.25  # terms whose samples are more than the registers hold
    group_term: float = 0.0115  # the same of groups of several channels
    group_narrow: float = 12.0  # with this many out channels in one, twice as much
    group_spilled: float = 1.5  # with more in channels than a loop has terms
    scalar: float = 0.25  # a product where too few channels lie side by side
    first_cache: float = 4096.0  # numbers of a window, with as many weights; of more a product takes longer by as much
    out_of_cache: float = 2.0  # at most
    fused_taps: float = 0.023  # a product of the kernel gradient that walks rows
    many_taps: float = 1.5  # the same of more taps than a loop has terms
    channel_taps: float = 0.0155  # the same of several channels in a group
    channel_taps_narrow: float = 2.0  # of out channels that are no whole vectors, for those that are
    channel_step: float = 800.0  # a step of its loop, which the cores share
    # Rows of `y_bar` that the kernel gradient multiplies in one step. Depthwise (4, 2048, 512) with 4 taps: 2.8, 2.8,
    # 1.7 and 2.5 ms with 4, 8, 16 and 32 rows; with 256 channels and 31 taps 3.0, 3.2, 3.0 and 3.7 (2026-11-28).
    rows: int = 16
    rows_of_long: int = 16  # the same of more than four depthwise taps
    far_sums: float = 50000.0  # a kernel of one group, of this many numbers: twice as much, which is the most
    group_taps_number: float = 0.2  # and each number of x, the kernel and y, where there are groups
    strided_rows: float = 1.25  # a kernel gradient that walks rows with a stride, for one without
    scanned: float = 1.4  # fused loops that are walked by a scan, for some written out
    step: float = 400.0  # a step of a loop
    narrow: float = 8.0  # channels of x or y that a tile costs as much as, beyond its own
    tiled: float = 0.038  # a term of a number that is read from or written to the points of tiles
    tiled_split: float = 0.05  # the same of groups, whose channels are split first
    kernel_point: float = 0.06  # a number of the kernel's points, written and read
    points_product: float = 1.2  # the products of all points, for one as large
    one_core: float = 16e6  # with fewer multiplications a product of a batch is one core's, and takes so much longer:
    alone: float = 1.25
    alone_turned: float = 0.85  # the same in a kernel gradient, which then takes no longer
    turned_points: float = 1.1  # the products of a kernel gradient, for those of the forward pass
    turned_pieces: float = 1.2  # and of more pieces than one
    few_points: float = 1024.0  # a kernel tap of this many numbers or fewer: about as long again
    pieces: float = 0.4  # a number of those, copied for each piece of a long kernel
    transform: float = 0.5  # a number of a real transform, for each doubling of its length
    spectrum: float = 0.09  # a product of two numbers of spectra
    # Multiplications up to which the forward pass of windows that do not overlap is a product, before which XLA has
    # less to do than before a convolution. (16, 224, 3) to 64 channels in windows of 7 takes 0.03 ms and 0.16 by lax,
    # (1, 99, 512) in windows of 2 0.49 and 0.62, (32, 2048, 8) to 128 in windows of 16 0.74 and 0.82, of which the
    # arithmetic is 0.65, (1, 3199, 512) 10.2 and 9.6 (2026-11-29).
    side_by_side: float = 100e6


# Two cores of an AMD EPYC with AVX-512 (2026-11-24 to 29), one machine of them; the model was held to a faster one too.
EPYC = Machine()
# One core for two, of both kinds (2026-11-29): products take twice as long, a call half of its start, most loops over
# memory and all transforms what they take with two; and the small products of a batch leave no other core idle.
ONE_CORE: dict[str, Any] = {
    "call": 5_000.0,
    "shallow": 0.0,
    "convolution": 12_500.0,
    "several_few": 1.4,
    "share": 0.2,
    "cut": 0.05,
    "cut_far": 5.0,
    "between": 1.35,
    "channel_step": 100.0,
    "narrow": 4.0,
    "few": 0.009,
    "dense_term": 0.012,
    "tiled_split": 0.03,
    "turned_pieces": 1.4,
    "alone": 1.0,
    "alone_turned": 1.0,
    "transform": 0.28,
    "spectrum": 0.05,
}
EPYC_CORE = EPYC._replace(
    **ONE_CORE,
    slower=2.0,
    columns=3.0,
    narrow_taps=1.0,
    several=0.75,
    fused=0.018,
    group_term=0.0072,
    many_taps=1.2,
    tiled=0.015,
    points_product=1.0,
)

# Two cores of an Intel Xeon with AVX-512 and 2 MiB of second cache each (2026-11-29): products are a third faster and
# loops over memory slower, so tiles gain less, and XLA's kernel gradients take less for it.
XEON = EPYC._replace(
    slower=1.75,
    product=0.007,
    shallow=45.0,
    taps=0.85,
    strided_taps=0.24,
    few_taps=2.7,
    few_examples=2.7,
    # Groups of 24 channels: (4, 1020, 48) with 9 taps 1.5 ms by one output at a time and 1.1 by two, of 12: (4, 1020,
    # 24) with 15 1.1 by two and 0.62 by four; by one core 2.1 and 1.5, 0.85 and 0.68. More gain nothing.
    most_columns=48,
    several=0.75,
    of_group=1.4,
    of_one=2.8,
    turned_apart=1.4,
    turned_kernel=1.0,  # 1.1 ns each of (5, 128, 256), 1.3 of (3, 512, 512), 3.6 of (3, 1024, 1024)
    number=0.08,
    share=0.04,
    cut=0.165,
    fused=0.016,
    spilled=0.93,
    out_of_cache=1.0,
    channel_taps=0.017,
    group_taps_number=0.13,
    # Depthwise (4, 2048, 256) with 5 taps 1.4 ms with 8 rows and 1.8 with 16, (4, 512, 256) with 7 0.53 and 0.69, (4,
    # 8192, 64) with 64 8.8 and 11.3; but Mamba's 2.4 and 2.1, dense (4, 4096, 16) to 16 with 5 taps 2.4 and 1.6.
    rows_of_long=8,
    step=110.0,
    points_product=1.4,
    turned_points=1.25,
    side_by_side=60e6,
)
XEON_CORE = XEON._replace(
    **ONE_CORE,
    rows=8,  # Mamba's 2.0 ms and 2.5 with 16, in 8 groups of 16 channels with 9 taps 6.5 and 10
    slower=2.3,
    narrow_taps=1.2,
    several=0.6,
    of_group=1.7,
    fused=0.01,
    step=50.0,
    channel_taps=0.0108,
    channel_taps_narrow=1.25,
    group_term=0.011,
    many_taps=0.9,
    tiled=0.023,
    points_product=1.35,
    side_by_side=0.0,
)


def here() -> Machine:
    """The constants of the cores that this process may use.

    Of a processor that was not measured they are the Xeon's, by which fewer algorithms are foreseen to beat lax.

    >>> here() in (EPYC, EPYC_CORE, XEON, XEON_CORE)
    True
    """
    several, one = (EPYC, EPYC_CORE) if "AMD" in processor() else (XEON, XEON_CORE)
    return one if cores() == 1 else several
