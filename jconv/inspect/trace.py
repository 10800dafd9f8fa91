"""The planner's choice for each convolution in a function, without computing or compiling anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax

from ..planner import Choice
from ..primitive.bilinear import OPERATION, choose_algorithm


def chosen_algorithms(function: Callable[..., Any], *arguments: Any) -> list[Choice]:
    """Returns the planner's choices for the convolutions in `function(*arguments)`, on the default platform.

    A convolution in the body of a loop counts once.

    Args:
        function: Any function that can be traced.
        *arguments: Its arguments. Arrays may be `jax.ShapeDtypeStruct`s.

    Returns:
        One choice per convolution, in the order of the function.

    >>> import jax.numpy as jnp
    >>> from jconv import separable_conv1d
    >>> params = {"depthwise_kernel": jnp.ones((4, 64, 1)), "pointwise_kernel": jnp.ones((1, 64, 64))}
    >>> [choice.algorithm for choice in chosen_algorithms(separable_conv1d, params, jnp.ones((8, 512, 64)))]
    ['shifts', 'lax']
    """
    platform = jax.default_backend()
    equations = iterate_equations(jax.make_jaxpr(function)(*arguments).jaxpr)
    return [
        choose_algorithm(equation.primitive, *(v.aval for v in equation.invars), **equation.params, platform=platform)
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
