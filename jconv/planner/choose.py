"""Sizes, platform, hardware and context in; for one operation the algorithm and the reason out.

A pure function: nothing is measured or remembered here. What is fastest was measured, and `tree.py` looks it up.
"""

from __future__ import annotations

from typing import NamedTuple

from ..algorithms import ALGORITHMS, matmul, polyphase, tiles, toeplitz
from ..algorithms.operands import folded
from ..geometry import is_symbolic
from ..sizes import Sizes
from .hardware import UNKNOWN, Hardware
from .tree import Leaf, trees, walk

AUTO, FASTEST = "auto", "fastest"

# Algorithms made of XLA's convolutions. Many members of those at once become one convolution with groups, which is slow
# on a CPU: forward and both gradients of 16 members of (8, 128, 32, 32, 5) take 6.6 ms at once, 4.9 one by one.
OF_CONVOLUTIONS = frozenset({"grouped", "lax", "polyphase", "toeplitz"})
# Those that take any sizes, also the symbolic ones of jax.export.
OF_ANY_SIZE = frozenset({"einsum", "lax"})
# Those that make a plain product of a pointwise convolution.
OF_PRODUCTS = frozenset({"einsum", "lax", "matmul"})
# Those whose tiles want a cache for themselves, and whose sums cancel.
OF_TILES = frozenset({"winograd"})
# The most groups that are computed one after the other: more were not measured.
MOST_GROUPS = 32
# What an algorithm holds besides: at most so many times all operands. XLA may compute what depends on x alone long
# before it is used, and then hold it.
MOST_HELD = 4
# Another algorithm than lax is chosen if it takes at most this part of lax's time.
CLEAR = 0.93


class Choice(NamedTuple):
    """What computes an operation, and why.

    `one_by_one` says that the members of an equation, where it has several, are computed in a loop and not at once.
    `ratio` is its time for that of lax, as measured around these sizes; None where nothing was measured.
    """

    algorithm: str
    reason: str
    one_by_one: bool = False
    ratio: float | None = None


def check_algorithm(algorithm: str) -> None:
    """Raise `ValueError` unless `algorithm` is `"auto"`, `"fastest"` or the name of one.

    >>> check_algorithm("lax")
    """
    if not isinstance(algorithm, str) or algorithm not in (AUTO, FASTEST, *ALGORITHMS):
        names = ", ".join([AUTO, FASTEST, *sorted(ALGORITHMS)])
        raise ValueError(f"algorithm must be one of {names}, got {algorithm!r}")


def choose(
    algorithm: str,
    operation: str,
    sizes: Sizes,
    *,
    members: int = 1,
    measured: str | None = None,
    platform: str = "cpu",
    partitioned: bool = False,
    tiles: bool = True,
    hardware: Hardware = UNKNOWN,
) -> Choice:
    """The algorithm for one operation.

    `algorithm` is the caller's option (`"auto"` chooses among the local algorithms, `"fastest"` among all), `operation`
    one of `algorithms.OPERATIONS`, `members` how many independent convolutions of these sizes the equation holds (more
    than one under a vmap over kernels, or for per-example gradients), `measured` the algorithm that `jconv.tune` found
    to be fastest for one such convolution, if any, `partitioned` whether XLA's partitioner will split the operation
    over devices (it does not where `primitive.partitioning` computes one device's part, and plans for its sizes).
    `tiles` is whether algorithms of tiles may be chosen.

    >>> from jconv.geometry import Geometry
    >>> epyc = Hardware("AMD EPYC", cores=2)
    >>> long = Sizes(Geometry(length=8192, kernel_size=1024, groups=64), batch=4, in_channels=64, out_channels=64)
    >>> choose("fastest", "forward", long, hardware=epyc).algorithm
    'fft'
    >>> depthwise = Sizes(Geometry(length=512, kernel_size=5, groups=256), 16, in_channels=256, out_channels=256)
    >>> choose("auto", "forward", depthwise, hardware=epyc).algorithm
    'shifts'
    >>> choose("lax", "forward", depthwise, partitioned=True).algorithm
    'einsum'
    """
    if partitioned:
        # docs/background/sharding.md has the count of layouts that XLA's partitioner gets wrong in a bare convolution.
        return Choice("einsum", "the partitioner is right about contractions and silently wrong about convolutions")

    def is_allowed(name: str) -> bool:
        return (algorithm == FASTEST or ALGORITHMS[name].LOCAL) and (name not in OF_TILES or (tiles and members == 1))

    if algorithm not in (AUTO, FASTEST):
        if _has_symbols(sizes) and algorithm not in OF_ANY_SIZE:
            choice = Choice("lax", f"{algorithm} needs sizes that are numbers")
        else:
            choice = Choice(algorithm, "asked for by name")
    elif measured is not None and members == 1 and is_allowed(measured):
        choice = Choice(measured, "the fastest that jconv.tune measured here")
    elif platform != "cpu":
        choice = Choice("lax", f"nothing was measured for {platform}: what lax's own differentiation writes")
    elif _has_symbols(sizes):
        choice = Choice("lax", "sizes are symbolic, so nothing can be predicted")
    elif not sizes.multiply_adds:
        choice = Choice("lax", "nothing to compute")
    elif sizes.geometry.pointwise or matmul.side_by_side(sizes.geometry):
        # Kernel size 1, or stride and kernel size alike.
        choice = Choice("matmul", "windows that do not overlap: a matrix product")
    else:
        names = [name for name in candidates(operation, sizes) if is_allowed(name)]
        choices = [_best(walk(tree[operation], sizes), names) for tree in trees(hardware)]
        choice = choices[0]
        if len({choice.algorithm for choice in choices}) > 1:
            choice = Choice("lax", "the processor is unknown, and known ones differ in what is fastest")
    one_by_one = platform == "cpu" and members != 1 and choice.algorithm in OF_CONVOLUTIONS
    return choice._replace(one_by_one=one_by_one)


def _best(leaf: Leaf, names: list[str]) -> Choice:
    """The fastest of some algorithms at a leaf, or lax if none gains clearly."""
    gains = {name: leaf.ratios[name] for name in names if leaf.ratios.get(name, 1) <= CLEAR}
    measured = f"interpolated between measurements, {leaf.geometries} of them here ({leaf.path})"
    if not gains:
        return Choice("lax", f"no other algorithm gains clearly, {measured}", ratio=1.0)
    name = min(gains, key=lambda name: gains[name])
    return Choice(name, f"{gains[name]:.2f} of lax's time, {measured}", ratio=gains[name])


def candidates(operation: str, sizes: Sizes) -> list[str]:
    """The algorithms to measure for an operation: not those that do the same with more work or memory.

    >>> from jconv.geometry import Geometry
    >>> candidates("forward", Sizes(Geometry(512, 4, stride=4), 8, 16, 16))
    ['lax', 'matmul']
    """
    return [name for name in ALGORITHMS if name == "lax" or _may_gain(name, operation, sizes)]


def _may_gain(name: str, operation: str, sizes: Sizes) -> bool:
    s, g = sizes, sizes.geometry
    is_gradient, few_groups = operation == "kernel_gradient", g.groups <= MOST_GROUPS
    if g.pointwise or matmul.side_by_side(g):
        return name == "matmul"
    if name in ("einsum", "matmul"):
        held = s.windows
        if name == "matmul" and (matmul.few_out(g, s.in_channels, s.out_channels) if is_gradient else g.stride == 1):
            held = s.batch * g.length * g.kernel_size * s.out_channels
        return g.groups == 1 and held <= MOST_HELD * s.elements
    if name == "toeplitz":  # with dilation, and its kernel gradient, it is a sum of shifts
        held = g.kernel_size * s.in_channels * toeplitz.COLUMNS
        return g.dilation == 1 and not is_gradient and held <= MOST_HELD * s.elements
    if name == "polyphase":
        return g.stride > 1 and (few_groups or s.in_per_group <= polyphase.NARROW)
    if name == "grouped":  # of one group, several outputs at once
        return 1 < g.groups <= MOST_GROUPS or (g.groups == g.dilation == 1 and not is_gradient)
    if name == "fft":
        return g.kernel_size >= 16 and g.reach * s.in_per_group * s.out_channels <= MOST_HELD * s.elements
    if name == "winograd":
        if g.groups > 1:
            return g.stride == s.in_per_group == s.out_per_group == 1
        is_tiled = g.kernel_size > g.stride and 1 in (g.stride, g.dilation)
        return is_tiled and not (is_gradient and tiles.of(folded(g) if g.stride > 1 else g).pieces > 1)
    return True


def _has_symbols(sizes: Sizes) -> bool:
    g = sizes.geometry
    return any(is_symbolic(size) for size in (g.length, g.low, g.high, *sizes[1:]))
