"""The planner's choice for each convolution in a function, without computing or compiling anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax

from ..planner import Choice
from ..primitive.bilinear import OPERATION, choose_algorithm


def chosen_algorithms(function: Callable[..., Any], *arguments: Any) -> list[tuple[str, Choice]]:
    """Returns the planner's choices for the convolutions in `function(*arguments)`, on the default platform.

    Nothing is computed or compiled. A convolution in the body of a loop counts once.

    Args:
        function: Any function that can be traced.
        *arguments: Its arguments. Arrays may be `jax.ShapeDtypeStruct`s.

    Returns:
        For each convolution, in the order of the function, its operation (`"forward"`, `"input_gradient"` or
        `"kernel_gradient"`) and the choice: `algorithm`, `reason`, `ratio` (the predicted time relative to lax, None
        without measurements) and `loops_over_ensemble`.

    >>> import jax
    >>> from jconv import conv1d
    >>> kernel, x = jax.ShapeDtypeStruct((4, 1, 64), "float32"), jax.ShapeDtypeStruct((8, 512, 64), "float32")
    >>> def loss(kernel, x):
    ...     return conv1d({"kernel": kernel}, x, groups=64).sum()
    >>> [(operation, choice.algorithm) for operation, choice in chosen_algorithms(jax.grad(loss), kernel, x)]
    [('forward', 'shifts'), ('kernel_gradient', 'shifts')]
    """
    platform = jax.default_backend()
    equations = iterate_equations(jax.make_jaxpr(function)(*arguments).jaxpr)
    return [
        (
            OPERATION[equation.primitive],
            choose_algorithm(
                equation.primitive, *(v.aval for v in equation.invars), **equation.params, platform=platform
            ),
        )
        for equation in equations
        if equation.primitive in OPERATION
    ]


def iterate_equations(jaxpr: Any) -> Iterator[Any]:
    """Yields the equations of a jaxpr and, recursively, of the jaxprs in their parameters."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for part in value if isinstance(value, (tuple, list)) else (value,):
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    yield from iterate_equations(inner)
