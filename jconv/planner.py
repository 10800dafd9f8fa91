"""Sizes, platform, machine and context in; for one face the algorithm and the reason out.

A pure function: nothing is measured, allocated or remembered here. `bilinear.py` asks it once for each equation it
lowers, when it knows for which platform and for how many devices the program is. The prices are in `costs.py`.
"""

from __future__ import annotations

from typing import NamedTuple

from .algorithms import ALGORITHMS, matmul, polyphase
from .costs import Sizes, held_by_matmul, held_by_tiles, milliseconds
from .geometry import is_symbolic
from .machine import EPYC, Machine

AUTO, FASTEST = "auto", "fastest"

# Algorithms made of XLA's convolutions. Many members of those at once become one convolution with groups, which is slow
# on a CPU. Forward and both gradients of 16 members of (8, 128, 32, 32, 5): 6.6 ms at once, 4.9 one by one; of 64 of
# (1, 150, 64, 128, 5): 33 and 25 ms (median of 7, two cores of an AMD EPYC, JAX 0.10.2, 2026-11-24).
OF_CONVOLUTIONS = frozenset({"grouped", "lax", "polyphase", "toeplitz"})
# Those that take any sizes, also the symbolic ones of jax.export.
OF_ANY_SIZE = frozenset({"einsum", "lax"})
# Those that make a plain product of a pointwise convolution.
OF_PRODUCTS = frozenset({"einsum", "lax", "matmul"})
# Those whose sums cancel and mix the samples of a tile, not for a caller who asks for the highest precision; and whose
# points want the cache that devices on the same cores share. A training step of the FCN on 8 series of 512 samples for
# each of two such devices: 124 ms with them and 84 without, where one device takes 77 and 88 for all 16 (two cores of
# an AMD EPYC, JAX 0.10.2, 2026-11-29).
OF_TILES = frozenset({"winograd"})
# The most groups for which a convolution each is considered: the model was measured up to there. Compiling is no limit:
# 64 groups of 4 channels with 9 taps took 66 s written out and 2 s as calls (grouped.py; two busy cores, 2026-11-28).
MOST_GROUPS = 32
# Kernel gradients by matmul and einsum hold the numbers of all windows at once, by winograd the points of tiles, other
# faces by matmul the products of all taps: at most so many times all operands. Of (1, 16384, 16) to 16 channels with 9
# taps the windows are 9.4 MB, lax takes 1.1 and shifts none and less time; and what depends on x alone XLA may compute,
# and then hold, long before y_bar is there: of a U-Net's training step on several devices they were 160 MB for 51 (JAX
# 0.10.2, 2026-11-29).
MOST_HELD = 4
# What is foreseen to beat lax must do so by this much: a model is not a measurement.
MARGIN = 0.87
# And by this much for several members, which lax computes four side by side, where the other's time is of one alone.
# Not with groups: 4 of (8, 1024, 128) with 9 taps in 8 groups take 18.5 ms by lax and 11.3 grouped (2026-11-29).
MARGIN_OF_MEMBERS = 0.7
# And by this much where all members are one product of a batch, which is half as long to compile as lax's four: 16 of
# (8, 128, 32) to 32 channels with 5 taps take 1.2 to 1.6 ms by it and 1.6 to 1.8 by lax; but 64 of (1, 150, 64) from
# 128, whose rows are fewer than `ROWS_OF_A_MEMBER`, 9.8 and 7.6 (the same).
MARGIN_AT_ONCE, ROWS_OF_A_MEMBER = 0.9, 512


class Choice(NamedTuple):
    """What computes one face, and why.

    `one_by_one` says that the members of an equation, where it has several, are computed in a loop and not at once.
    """

    algorithm: str
    reason: str
    one_by_one: bool = False


def check_algorithm(algorithm: str) -> None:
    """Raise `ValueError` unless `algorithm` is `"auto"`, `"fastest"` or the name of one.

    >>> check_algorithm("lax")
    """
    if not isinstance(algorithm, str) or algorithm not in (AUTO, FASTEST, *ALGORITHMS):
        names = ", ".join([AUTO, FASTEST, *sorted(ALGORITHMS)])
        raise ValueError(f"algorithm must be one of {names}, got {algorithm!r}")


def choose(
    algorithm: str,
    face: str,
    sizes: Sizes,
    *,
    members: int = 1,
    measured: str | None = None,
    platform: str = "cpu",
    partitioned: bool = False,
    tiles: bool = True,
    machine: Machine = EPYC,
) -> Choice:
    """The algorithm for one face.

    `algorithm` is the caller's wish (`"auto"` chooses among the local algorithms, `"fastest"` among all), `face` one of
    `algorithms.FACES`, `members` how many independent convolutions of
    these sizes the equation holds (more than one under a vmap over kernels, or for per-example gradients),
    `measured` what `jconv.tune` found to be fastest for one such convolution here, if it did, `partitioned` whether
    XLA's partitioner will split what is chosen over devices. It will not where `partitioned.py` computes one device's
    share, and asks about the sizes of that. `tiles` is whether algorithms of tiles may be chosen, `machine` what the
    cores of this process take for what (`machine.here`).

    >>> from jconv.geometry import Geometry
    >>> dense = Sizes(Geometry(length=512, kernel_size=5), batch=16, in_channels=128, out_channels=256)
    >>> choose("auto", "forward", dense).algorithm
    'lax'
    >>> choose("fastest", "forward", dense).algorithm
    'winograd'
    >>> depthwise = Sizes(Geometry(length=512, kernel_size=5, groups=256), 16, in_channels=256, out_channels=256)
    >>> choose("auto", "forward", depthwise).algorithm
    'shifts'
    >>> choose("lax", "forward", dense, partitioned=True).algorithm
    'einsum'
    """
    if partitioned:
        # docs/sharding.md has the count of layouts that XLA's partitioner gets wrong in a bare convolution.
        return Choice("einsum", "the partitioner is right about contractions and silently wrong about convolutions")
    if measured is not None and not _allowed(measured, algorithm, tiles):
        measured = None
    if algorithm in (AUTO, FASTEST) and measured is not None and members == 1:
        return Choice(measured, "the fastest that jconv.tune measured here")
    choice = _of_one(algorithm, face, sizes, members, platform, tiles, machine)
    one_by_one = platform == "cpu" and members != 1 and choice.algorithm in OF_CONVOLUTIONS
    return choice._replace(one_by_one=one_by_one)


def _of_one(
    algorithm: str, face: str, sizes: Sizes, members: int, platform: str, tiles: bool, machine: Machine
) -> Choice:
    if _has_symbols(sizes) and algorithm not in (AUTO, FASTEST, *OF_ANY_SIZE):
        return Choice("lax", f"{algorithm} needs sizes that are numbers")
    if algorithm not in (AUTO, FASTEST):
        return Choice(algorithm, "asked for by name")
    if platform != "cpu":
        return Choice("lax", f"nothing was measured for {platform}: what lax's own differentiation writes")
    if _has_symbols(sizes):
        return Choice("lax", "sizes are symbolic, so nothing can be foreseen")
    if not sizes.products:
        return Choice("lax", "nothing to compute")
    if sizes.geometry.pointwise:
        # Of these two faces XLA's convolution is a product too, and a little faster: forward (64, 152, 32, 128) takes
        # 0.31 ms by lax and 0.41 by matmul. Its kernel gradient is none: 0.86 and 0.44 (JAX 0.10.2, 2026-11-24).
        name = "lax" if members == 1 and face != "kernel_gradient" else "matmul"
        return Choice(name, "kernel size 1 and stride 1: a matrix product")
    few = members == 1 and sizes.products <= machine.side_by_side
    if few and face == "forward" and matmul.side_by_side(sizes.geometry):
        return Choice("matmul", "windows that do not overlap, and not very many: a matrix product")
    foreseen = foresee(face, sizes, members, tiles, machine)
    foreseen = {name: ms for name, ms in foreseen.items() if _allowed(name, algorithm, tiles)}
    best = min(foreseen, key=lambda name: foreseen[name])
    if foreseen[best] > _margin(best, sizes, members) * foreseen["lax"]:
        return Choice("lax", f"{foreseen['lax']:.3g} ms foreseen; none by much less")
    return Choice(best, f"{foreseen[best]:.3g} ms foreseen, {foreseen['lax']:.3g} by lax")


def _allowed(name: str, algorithm: str, tiles: bool) -> bool:
    """Whether the caller's wish, `"auto"` or `"fastest"`, allows an algorithm."""
    return (algorithm == FASTEST or ALGORITHMS[name].LOCAL) and (tiles or name not in OF_TILES)


def _margin(algorithm: str, sizes: Sizes, members: int) -> float:
    if members == 1 or sizes.geometry.groups > 1:
        return MARGIN
    return MARGIN_AT_ONCE if algorithm == "matmul" else MARGIN_OF_MEMBERS


def candidates(face: str, sizes: Sizes, members: int = 1, tiles: bool = True) -> list[str]:
    """The algorithms worth a thought for one face: not those that do the same with more work."""
    g = sizes.geometry
    if matmul.side_by_side(g):
        return ["lax", "matmul"]
    names = ["lax", "shifts", "fft"]
    most_held = MOST_HELD * sizes.elements
    few_groups = g.groups <= MOST_GROUPS
    # Of one group only the forward pass and the input gradient, several outputs at once, are something else than lax's.
    more_columns = g.stride == 1 and face != "kernel_gradient"
    names += ["grouped"] if few_groups and (more_columns or g.groups > 1) else []
    names += ["polyphase"] if g.stride > 1 and (few_groups or sizes.in_per_group <= polyphase.NARROW) else []
    # A single tap is a plain product; a stride with dilation or groups is not tiles of one kind, and wide groups would
    # be sums of shifts. Of several members the points are too many for the cache: 16 of (8, 128, 32, 32, 5) take 2.4 ms
    # forward and by lax 2.1, 64 of (1, 150, 64, 128, 5) 8.5 and 6.4 (two cores of an AMD EPYC, JAX 0.10.2, 2026-11-29).
    # Nor the kernel gradient of few out channels, whose windows of y_bar are fewer numbers than the points: of
    # (8, 512, 256) to 16 with 3 taps 3.9 ms by tiles and 1.4 by matmul on one core.
    depthwise = g.stride == 1 and sizes.in_per_group == sizes.out_per_group == 1
    tiled = (depthwise or g.groups == 1) and g.kernel_size > g.stride and 1 in (g.stride, g.dilation)
    if face == "kernel_gradient" and g.groups == 1:
        few_out = matmul.few_out(g, sizes.in_channels, sizes.out_channels)
        tiled = tiled and not few_out and held_by_tiles(sizes) <= most_held
    names += ["winograd"] if tiled and members == 1 else []
    if g.groups == 1:
        # A copy of x a tap for all members together is far out of the cache: for the kernel gradients of 64 times
        # (1, 150, 64) to 128 channels with 5 taps 11 ms, where einsum and shifts take 6 (JAX 0.10.2, 2026-11-28).
        gradient = face == "kernel_gradient"
        rows = 0 if gradient else sizes.batch * g.out_length
        together = members == 1 or rows >= ROWS_OF_A_MEMBER
        names += ["matmul"] if together and held_by_matmul(face, sizes) <= most_held else []
        names += ["einsum"] if gradient and sizes.windows <= most_held else []
    return [name for name in names if tiles or name not in OF_TILES]


def foresee(face: str, sizes: Sizes, members: int = 1, tiles: bool = True, machine: Machine = EPYC) -> dict[str, float]:
    """Milliseconds of one face of a member by each candidate, as the model has them for a machine.

    >>> from jconv.geometry import Geometry
    >>> times = foresee("forward", Sizes(Geometry(512, 4, low=3, groups=64), 4, in_channels=64, out_channels=64))
    >>> min(times, key=times.get)
    'shifts'
    """

    def one(name: str) -> float:
        if name != "matmul" or face == "kernel_gradient":
            return milliseconds(name, face, sizes, machine)
        # One product of a batch for all members, which is as one of so many more rows.
        return milliseconds(name, face, sizes._replace(batch=members * sizes.batch), machine) / members

    return {name: one(name) for name in candidates(face, sizes, members, tiles)}


def _has_symbols(sizes: Sizes) -> bool:
    g = sizes.geometry
    return any(is_symbolic(size) for size in (g.length, g.low, g.high, *sizes[1:]))
