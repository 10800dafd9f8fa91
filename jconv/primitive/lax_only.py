"""The context in which convolutions are traced as lax's, for tools that know only JAX's own primitives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

# It is part of the keys of JAX's caches, so that functions that were compiled outside of a context are traced again.
_is_lax_only: Any = jax.make_user_context(False)


@contextmanager
def lax_only() -> Iterator[None]:
    """Context in which every convolution of jconv is traced as `jax.lax.conv_general_dilated`.

    It is for converters to other formats (jax2onnx, for example) and other tools that read a jaxpr, which know JAX's
    primitives but not jconv's. It applies to all calls, layers, models, streams and gradients that are traced
    inside it; derivatives are lax's. `algorithm` is then checked but not used. Functions that were compiled
    before are traced again. The context belongs to the current thread, and can also be used as a decorator.

    Do not use it for programs that JAX itself runs: inside loops, lax's gradients are much slower on CPUs, and over
    several devices XLA partitions some of lax's convolutions incorrectly.

    Returns:
        A context manager.

    >>> import jconv
    >>> params, x = {"kernel": jax.numpy.ones((3, 1, 1))}, jax.numpy.ones((1, 9, 1))
    >>> [str(equation.primitive) for equation in jax.make_jaxpr(jconv.conv1d)(params, x).eqns]
    ['conv1d']
    >>> with jconv.lax_only():
    ...     [str(equation.primitive) for equation in jax.make_jaxpr(jconv.conv1d)(params, x).eqns]
    ['conv_general_dilated']
    """
    with _is_lax_only(True):
        yield


def is_lax_only() -> bool:
    """Returns whether `lax_only` applies in this thread.

    >>> with lax_only():
    ...     is_lax_only()
    True
    """
    return _is_lax_only.value
