"""Operations as text, and the windows of samples that their outputs depend on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jconv.layers import Concatenate, Operation, Softmax
from jconv.layers.operations.operands import Constant, Input, Slice

X, Y, ALL = Input(0), Input(1), Slice()
CASES: list[tuple[str, tuple[Any, ...], dict[str, Any], str, Any]] = [
    ("add", (X, 1.5), {}, "x + 1.5", (1, 1)),
    ("subtract", (2.0, X), {}, "2.0 - x", (1, 1)),
    ("multiply", (X, Y), {}, "x * y", (1, 1)),
    ("multiply", (X, Constant((1.0, 2.0), "float32")), {}, "x * [1.0, 2.0]", (1, 1)),
    ("multiply", (X, Constant(((0.0,) * 3,) * 5, "float32")), {}, "x * float32(5, 3)", (1, 1)),
    ("matmul", (X, Constant(((0.0,) * 3,) * 5, "float32")), {}, "x @ float32(5, 3)", (1, 1)),
    ("matmul", (X, Y), {}, "x @ y", None),
    ("negative", (X,), {}, "-x", (1, 1)),
    ("leaky_relu", (X,), {"negative_slope": 0.3}, "leaky_relu(x, negative_slope=0.3)", (1, 1)),
    ("relu", (X,), {}, "relu(x)", (1, 1)),
    ("where", (X, Y, Input(2)), {}, "where(x, y, z)", (1, 1)),
    ("clip", (X,), {"x_min": 0, "x_max": 1}, "clip(x, x_min=0, x_max=1)", (1, 1)),
    ("softmax", (X,), {"axis": -1}, "softmax(x)", (1, 1)),
    ("softmax", (X,), {"axis": 1}, "softmax(x, axis=1)", None),
    ("mean", (X,), {"axis": 1, "keepdims": False}, "mean(x, axis=1)", None),
    ("mean", (X,), {"axis": -1, "keepdims": True}, "mean(x, axis=-1, keepdims=True)", (1, 1)),
    ("mean", (X,), {"axis": -1}, "mean(x, axis=-1)", None),  # the length is now the last axis
    ("sum", (X,), {"axis": (1, 2), "keepdims": True}, "sum(x, axis=(1, 2), keepdims=True)", None),
    ("concatenate", ((X, Y),), {"axis": -1}, "concatenate((x, y), axis=-1)", (1, 1)),
    ("concatenate", ((X, Y),), {"axis": 1}, "concatenate((x, y), axis=1)", None),
    ("stack", ((X, Y, Input(2), Input(3)),), {"axis": 1}, "stack((x0, x1, x2, x3), axis=1)", None),
    ("get_item", (X, (ALL, Slice(1))), {}, "x[:, 1:]", (1, 1)),
    ("get_item", (X, (ALL, Slice(None, None, -2))), {}, "x[:, ::-2]", (1, 2)),
    ("get_item", (X, (ALL, ALL, Slice(None, 3))), {}, "x[:, :, :3]", (1, 1)),
    ("get_item", (X, (ALL, -1)), {}, "x[:, -1]", (1, 0)),
    ("get_item", (X, (ALL, ALL, 0)), {}, "x[:, :, 0]", None),
    ("get_item", (X, (..., Slice(1))), {}, "x[..., 1:]", (1, 1)),
    ("get_item", (X, (..., Slice(1), ALL)), {}, "x[..., 1:, :]", None),
    ("get_item", (X, (ALL, None)), {}, "x[:, None]", None),
    ("get_item", (X, ALL), {}, "x[:]", (1, 1)),
    ("pad", (X, ((0, 0), (2, 1), (0, 0))), {}, "pad(x, ((0, 0), (2, 1), (0, 0)))", (1, 1)),
    (
        "pad",
        (X, ((0, 0), (2, 1), (0, 0))),
        {"mode": "symmetric"},
        "pad(x, ((0, 0), (2, 1), (0, 0)), mode='symmetric')",
        (1, 1),
    ),
    ("cumsum", (X,), {"axis": 1}, "cumsum(x, axis=1)", None),
    ("flip", (X,), {}, "flip(x)", None),
    ("einsum", (X, Y), {"subscripts": "btc,bdc->btd"}, "einsum(x, y, subscripts='btc,bdc->btd')", None),
]


@pytest.mark.parametrize(("function", "arguments", "options", "text", "window"), CASES)
def test_text_and_window(function: str, arguments: Any, options: Any, text: str, window: Any) -> None:
    operation = Operation(
        function, arguments, tuple(sorted(options.items())) if function != "clip" else (*options.items(),)
    )
    assert str(operation) == text
    assert operation.window() == window


@pytest.mark.parametrize(
    ("function", "arguments", "options", "text", "window"), [case for case in CASES if case[4] == (1, 1)]
)
def test_a_window_of_one_sample_is_correct(function: str, arguments: Any, options: Any, text: str, window: Any) -> None:
    """A change of one input sample changes at most one output sample."""
    operation = Operation(function, arguments, (*options.items(),))
    reads = 1 + max((a.index for a in np.ravel(np.array(arguments, object)) if isinstance(a, Input)), default=0)
    shape = (2, 5, 3) if "(5, 3)" not in text or "*" in text else (2, 7, 5)
    shape = (2, 5, 2) if "[1.0, 2.0]" in text else shape
    x = np.random.default_rng(0).standard_normal((reads, *shape))
    changed = x.copy()
    changed[:, :, 2] += 1
    before, after = (
        operation.reference({}, {}, tuple(a) if operation.has_several_inputs else a[0]) for a in (x, changed)
    )
    assert (before != after).any(axis=(0, 2)).sum() <= 1


def test_windows_of_softmax_and_concatenate() -> None:
    assert Softmax().window() == Concatenate().window() == (1, 1)
    assert Softmax(axis=1).window() is Softmax((-1, -2)).window() is Concatenate(axis=1).window() is None
