"""The receptive field of operations, inferred from function, axes and slices without any shape.

Axis 1 is the length and the last axis the channels. Operations that remove an axis, after which the last axis may be
the length, count as depending on the complete length.
"""

from __future__ import annotations

import inspect
from typing import Any

from ..axes import spans_length
from ..types import ReceptiveField
from .functions import OPERATIONS
from .operands import Constant, Input, Slice

SAMPLE: ReceptiveField = (1, 1)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ELEMENTWISE = _names(
    "add subtract multiply divide true_divide power mod floor_divide arctan2 maximum minimum greater greater_equal "
    "less less_equal equal not_equal logical_and logical_or logical_xor logical_not absolute exp expm1 log log1p log2 "
    "log10 sqrt rsqrt square negative sin cos tan arctan sinh cosh tanh floor ceil round sign cast clip where "
    "stop_gradient ones_like zeros_like relu relu6 sigmoid softplus softsign silu selu log_sigmoid hard_sigmoid "
    "hard_silu hard_tanh tanh_shrink sparse_plus sparse_sigmoid celu elu gelu hard_shrink leaky_relu soft_shrink "
    "squareplus threshold"
)
# Functions along an axis that keep the number of axes.
ALONG_AXIS = _names(
    "softmax log_softmax sparsemax normalize glu cumsum flip roll diff repeat concatenate split expand_dims"
)
# Functions that keep the number of axes with keepdims=True.
REDUCTIONS = _names("mean sum prod max min amax amin var std logsumexp norm any all argmax argmin")


def receptive_field(
    function: str, arguments: tuple[Any, ...], options: tuple[tuple[str, Any], ...]
) -> ReceptiveField | None:
    """`(size, stride)` as in `Layer.window`, or None if an output sample may depend on any input sample.

    >>> receptive_field("add", (Input(0), 1.5), ()), receptive_field("softmax", (Input(0),), (("axis", 1),))
    ((1, 1), None)
    >>> receptive_field("get_item", (Input(0), (Slice(), Slice(None, None, 2))), ())
    (1, 2)
    """
    given = _bind(function, arguments, options)
    if function in ELEMENTWISE or (function == "pad" and given["mode"] != "wrap"):
        return SAMPLE
    if function == "matmul":
        # A product with a constant matrix is a dense layer.
        return SAMPLE if isinstance(given["x1"], Input) and isinstance(given["x2"], Constant) else None
    if function == "get_item":
        return _index_receptive_field(given["key"])
    if function in ALONG_AXIS or (function in REDUCTIONS and given["keepdims"]):
        return SAMPLE if _excludes_length(given["axis"]) else None
    return None


def is_samplewise(function: str, arguments: tuple[Any, ...], options: tuple[tuple[str, Any], ...]) -> bool:
    """Whether output sample t depends only on the samples t of the inputs, for any length.

    >>> is_samplewise("get_item", (Input(0), (Slice(), Slice(), Slice(0, 2))), ())
    True
    >>> is_samplewise("get_item", (Input(0), (Slice(), Slice(1))), ())
    False
    """
    if receptive_field(function, arguments, options) != SAMPLE:
        return False
    if function == "get_item":
        return takes_all_samples(_bind(function, arguments, options)["key"])
    return function != "pad"


def takes_all_samples(key: Any) -> bool:
    """Whether an index (the `key` of `"get_item"`) keeps all samples of the length, in order.

    >>> takes_all_samples((Slice(), Slice(), 0)), takes_all_samples((Slice(), Slice(2))), takes_all_samples((..., None))
    (True, False, True)
    """
    batch, *rest = key if isinstance(key, tuple) else (key,)
    if batch is ...:
        return all(part is None for part in rest)
    return not rest or rest[0] is ... or rest[0] == Slice()


def _bind(function: str, arguments: tuple[Any, ...], options: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """All arguments by name, including defaults."""
    bound = inspect.signature(OPERATIONS[function]).bind(None, *arguments, **dict(options))
    bound.apply_defaults()
    return bound.arguments


def _excludes_length(axis: Any) -> bool:
    return axis is not None and not spans_length(axis) and axis != 0


def _index_receptive_field(key: Any) -> ReceptiveField | None:
    batch, *rest = key if isinstance(key, tuple) else (key,)
    if batch is ...:
        rest = [batch, *rest]
    length, *rest = rest or [Slice()]
    if isinstance(length, int):
        # All output samples depend on this one sample.
        return 1, 0
    if not all(part is None or part is ... or isinstance(part, Slice) for part in rest):
        return None
    if length is ...:
        # The second axis from the end may be the length.
        return SAMPLE if len(rest) < 2 else None
    return (1, abs(length.step or 1)) if isinstance(length, Slice) else None
