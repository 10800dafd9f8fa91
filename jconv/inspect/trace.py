"""The convolutions inside any function, and what the planner chooses for each: nothing is computed or compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax

from ..planner import Choice
from ..primitive.bilinear import OPERATION, choose_algorithm


def chosen(function: Callable[..., Any], *arguments: Any) -> list[Choice]:
    """The planner's choices in the order in which `function(*arguments)` convolves, on the default platform.

    Arguments may be `jax.ShapeDtypeStruct`s. A convolution in the body of a loop counts once.

    >>> import jax.numpy as jnp
    >>> from jconv import separable_conv1d
    >>> params = {"depthwise_kernel": jnp.ones((4, 64, 1)), "pointwise_kernel": jnp.ones((1, 64, 64))}
    >>> [choice.algorithm for choice in chosen(separable_conv1d, params, jnp.ones((8, 512, 64)))]
    ['shifts', 'lax']
    """
    platform = jax.default_backend()
    equations = _equations(jax.make_jaxpr(function)(*arguments).jaxpr)
    return [
        choose_algorithm(equation.primitive, *(v.aval for v in equation.invars), **equation.params, platform=platform)
        for equation in equations
        if equation.primitive in OPERATION
    ]


def _equations(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for part in value if isinstance(value, (tuple, list)) else (value,):
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    yield from _equations(inner)
