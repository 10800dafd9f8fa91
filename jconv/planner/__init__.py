"""Chooses the algorithm for an operation from its sizes, the platform and the hardware, and says why.

The names are for programs that measure algorithms, such as `python -m benchmarks.planner`. A convolution is described
by `Sizes` with a `Geometry`. `ALGORITHMS` maps names to modules, whose `LOCAL` says whether `"auto"` may choose it.
"""

from ..algorithms import ALGORITHMS, OPERATIONS
from ..geometry import Geometry, make_geometry
from ..sizes import Sizes
from .choose import AUTO, FASTEST, Choice, candidates, choose
from .hardware import UNKNOWN, Hardware, cores, this_machine
from .tree import features, save_trees

__all__ = [
    "ALGORITHMS",
    "AUTO",
    "FASTEST",
    "OPERATIONS",
    "UNKNOWN",
    "Choice",
    "Geometry",
    "Hardware",
    "Sizes",
    "candidates",
    "choose",
    "cores",
    "features",
    "make_geometry",
    "save_trees",
    "this_machine",
]
