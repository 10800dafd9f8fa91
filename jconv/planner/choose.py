"""Chooses the algorithm for an operation from its sizes, the platform and the hardware, and says why.

This is a pure function: it measures and stores nothing. The measurements are in the trees that `tree.py` walks.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..algorithms import ALGORITHMS, matmul, polyphase, toeplitz
from ..algorithms.shared.operands import space_to_depth_geometry
from ..algorithms.winograd import tiles
from ..geometry import is_symbolic
from ..hints import suggest
from ..sizes import Sizes
from .hardware import UNKNOWN, Hardware
from .tree import Leaf, trees, walk

AUTO: Final = "auto"
"""The option of the user that allows every local algorithm."""
FASTEST: Final = "fastest"
"""The option of the user that allows every algorithm."""

# Algorithms that consist of XLA convolutions. Under vmap XLA merges these into one grouped convolution, which is slow
# on CPUs, so an ensemble is computed in a loop.
USES_XLA_CONVOLUTION = frozenset({"grouped", "lax", "polyphase", "toeplitz"})
# Algorithms that accept the symbolic sizes of jax.export.
ACCEPTS_SYMBOLIC_SIZES = frozenset({"einsum", "lax"})
# Algorithms that compute a pointwise convolution as a plain matrix product.
POINTWISE_IS_MATMUL = frozenset({"einsum", "lax", "matmul"})
# Algorithms with tiles. Several at once compete for the cache, and their sums suffer from cancellation.
USES_TILES = frozenset({"winograd"})
# The largest number of groups that are computed one after the other. Larger numbers were not measured.
MAX_GROUPS = 32
# The largest intermediate arrays of an algorithm, relative to the operands and the result. XLA may compute what depends
# on x alone long before it is used, and keep it in memory.
MAX_MEMORY_RATIO = 4
# The largest time, relative to lax, for which an algorithm is preferred to lax.
MAX_TIME_RATIO = 0.93
# The same for an algorithm in `MATRIX_PRODUCTS` on several cores, for fewer multiply-adds than `SHORT_MULTIPLY_ADDS`.
# Most of these operations take less than a tenth of a millisecond, and in a network the time of a matrix product
# depends on whether threads are still awake from the operation before.
MAX_TIME_RATIO_IF_SHORT = 0.5
SHORT_MULTIPLY_ADDS = 8_000_000
MATRIX_PRODUCTS = frozenset({"einsum", "matmul"})


class Choice(NamedTuple):
    """The algorithm for an operation.

    Attributes:
        algorithm: A name in `ALGORITHMS`.
        reason: Why it was chosen, for the user.
        loops_over_ensemble: Whether the convolutions of an ensemble are computed in a loop instead of under vmap.
        ratio: Predicted time relative to lax. None without measurements.
    """

    algorithm: str
    reason: str
    loops_over_ensemble: bool = False
    ratio: float | None = None


def check_algorithm(algorithm: str) -> None:
    """Checks the option of the user.

    Args:
        algorithm: Any value.

    Raises:
        ValueError: It is not `"auto"`, `"fastest"` or the name of an algorithm.

    >>> check_algorithm("lax")
    """
    if not isinstance(algorithm, str) or algorithm not in (AUTO, FASTEST, *ALGORITHMS):
        names = [AUTO, FASTEST, *sorted(ALGORITHMS)]
        raise ValueError(f"algorithm must be one of {', '.join(names)}, got {algorithm!r}{suggest(algorithm, names)}")


def choose(
    algorithm: str,
    operation: str,
    sizes: Sizes,
    *,
    ensemble_size: int = 1,
    measured: str | None = None,
    platform: str = "cpu",
    partitioned: bool = False,
    allow_tiles: bool = True,
    hardware: Hardware = UNKNOWN,
) -> Choice:
    """Chooses the algorithm for one operation.

    Args:
        algorithm: The user's option: `"auto"` for any local algorithm, `"fastest"` for any algorithm, or a name.
        operation: One of `algorithms.OPERATIONS`.
        sizes: The sizes of one convolution.
        ensemble_size: Number of independent convolutions of these sizes, as under a vmap over kernels.
        measured: The algorithm that `jconv.tune` found to be fastest for one such convolution, if any.
        platform: The platform that the program is compiled for.
        partitioned: Whether XLA's partitioner splits the operation over devices. It does not where
            `primitive.partitioning` computes the part of one device; `sizes` are then the sizes of that part.
        allow_tiles: Whether algorithms with tiles may be chosen.
        hardware: The processor and its cores.

    Returns:
        The `Choice`: the algorithm, the reason, and the predicted time relative to lax.

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
        # docs/background/sharding.md lists the layouts for which XLA's partitioner computes a wrong convolution.
        return Choice("einsum", "XLA's partitioner handles contractions correctly; convolutions can be silently wrong")

    def is_allowed(name: str) -> bool:
        if name in USES_TILES and not (allow_tiles and ensemble_size == 1):
            return False
        return algorithm == FASTEST or ALGORITHMS[name].LOCAL

    if algorithm not in (AUTO, FASTEST):
        if _has_symbolic_sizes(sizes) and algorithm not in ACCEPTS_SYMBOLIC_SIZES:
            choice = Choice("lax", f"{algorithm} does not support symbolic sizes")
        else:
            choice = Choice(algorithm, "requested by name")
    elif measured is not None and ensemble_size == 1 and is_allowed(measured):
        choice = Choice(measured, "fastest in the measurements of jconv.tune on this machine")
    elif platform != "cpu":
        choice = Choice("lax", f"no measurements for {platform}: compiles to the same convolution as lax")
    elif _has_symbolic_sizes(sizes):
        choice = Choice("lax", "sizes are symbolic, so no time can be predicted")
    elif not sizes.multiply_adds:
        choice = Choice("lax", "nothing to compute")
    elif operation == "forward" and sizes.geometry.pointwise and sizes.out_channels >= sizes.in_channels > 1:
        choice = Choice(
            "lax", "kernel size 1 and at least as many out channels as in channels: XLA's own matrix product"
        )
    elif sizes.geometry.pointwise or matmul.has_disjoint_windows(sizes.geometry):
        choice = Choice("matmul", "windows that do not overlap: a matrix product")
    else:
        names = [name for name in candidates(operation, sizes) if is_allowed(name)]
        is_short = hardware.cores > 1 and sizes.multiply_adds < SHORT_MULTIPLY_ADDS
        others = "no other algorithm" if algorithm == FASTEST else "no other local algorithm"
        choices = [_best(walk(tree[operation], sizes), names, is_short, others) for tree in trees(hardware)]
        choice = choices[0]
        if len({choice.algorithm for choice in choices}) > 1:
            reason = "unknown processor or several processes, and the fastest algorithm depends on the processor"
            choice = Choice("lax", reason)
    in_loop = platform == "cpu" and ensemble_size != 1 and choice.algorithm in USES_XLA_CONVOLUTION
    return choice._replace(loops_over_ensemble=in_loop)


def _best(leaf: Leaf, names: list[str], is_short: bool, others: str) -> Choice:
    """Returns the fastest of the named algorithms at a leaf, or lax if none is clearly faster."""
    ratios = {}
    for name in names:
        max_ratio = MAX_TIME_RATIO_IF_SHORT if is_short and name in MATRIX_PRODUCTS else MAX_TIME_RATIO
        if leaf.ratios.get(name, 1) <= max_ratio:
            ratios[name] = leaf.ratios[name]
    count = leaf.geometries or "none"
    measured = f"interpolated from float32 measurements, {count} of them in this range ({leaf.path})"
    if not ratios:
        short = f" ({MAX_TIME_RATIO_IF_SHORT} for matrix products in a short operation)" if is_short else ""
        return Choice("lax", f"{others} takes at most {MAX_TIME_RATIO} of lax's time{short}, {measured}", ratio=1.0)
    name = min(ratios, key=lambda name: ratios[name])
    return Choice(name, f"{ratios[name]:.2f} of lax's time, {measured}", ratio=ratios[name])


def candidates(operation: str, sizes: Sizes) -> list[str]:
    """Returns the algorithms to measure for an operation.

    Args:
        operation: One of `OPERATIONS`.
        sizes: The sizes of one convolution.

    Returns:
        Names in `ALGORITHMS`, without algorithms that do the same as another one with more work or memory.

    >>> from jconv.geometry import Geometry
    >>> candidates("forward", Sizes(Geometry(512, 4, stride=4), 8, 16, 16))
    ['lax', 'matmul']
    """
    return [name for name in ALGORITHMS if name == "lax" or _may_be_faster(name, operation, sizes)]


def _may_be_faster(name: str, operation: str, sizes: Sizes) -> bool:
    s, g = sizes, sizes.geometry
    is_gradient, few_groups = operation == "kernel_gradient", g.groups <= MAX_GROUPS
    max_elements = MAX_MEMORY_RATIO * s.elements
    if g.pointwise or matmul.has_disjoint_windows(g):
        return name == "matmul"
    if name in ("einsum", "matmul"):
        elements = s.windows
        shifts_products = matmul.uses_y_bar_windows(g, s.in_channels, s.out_channels) if is_gradient else g.stride == 1
        if name == "matmul" and shifts_products:
            elements = s.batch * g.length * g.kernel_size * s.out_channels
        return g.groups == 1 and elements <= max_elements
    if name == "toeplitz":  # With dilation, and in the kernel gradient, it is the same as `shifts`.
        matrix = g.kernel_size * s.in_channels * toeplitz.MAX_COLUMNS
        return g.dilation == 1 and not is_gradient and matrix <= max_elements
    if name == "polyphase":
        return g.stride > 1 and (few_groups or s.in_per_group <= polyphase.MAX_CHANNELS_FOR_SHIFTS)
    if name == "grouped":  # With one group it computes several outputs per window.
        return 1 < g.groups <= MAX_GROUPS or (g.groups == g.dilation == 1 and not is_gradient)
    if name == "fft":
        return g.kernel_size >= 16 and g.reach * s.in_per_group * s.out_channels <= max_elements
    if name == "winograd":
        if g.groups > 1:
            return g.stride == s.in_per_group == s.out_per_group == 1
        is_tiled = g.kernel_size > g.stride and 1 in (g.stride, g.dilation)
        stride_one = space_to_depth_geometry(g) if g.stride > 1 else g
        return is_tiled and not (is_gradient and tiles.make_tiles(stride_one).pieces > 1)
    return True


def _has_symbolic_sizes(sizes: Sizes) -> bool:
    g = sizes.geometry
    return any(is_symbolic(size) for size in (g.length, g.low, g.high, *sizes[1:]))
