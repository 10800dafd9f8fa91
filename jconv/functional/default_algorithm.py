"""The meaning of `algorithm="auto"` in the current thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

from ..planner.choose import AUTO, check_algorithm

# It is part of the keys of JAX's caches, so that functions that were compiled outside of a context are traced again.
_meaning_of_auto: Any = jax.make_user_context(AUTO)


@contextmanager
def default_algorithm(algorithm: str) -> Iterator[None]:
    """Context in which `algorithm="auto"`, the default of every convolution, means `algorithm`.

    Like `jax.default_matmul_precision`, it is for complete programs: it applies to all calls, layers, models, streams
    and gradients that are traced inside it. Functions that were compiled before are traced again. What was traced
    inside keeps its algorithm outside: a function that `jax.vjp` returned inside uses the same algorithm when it is
    called outside. The context belongs to the current thread. Contexts can be nested; `"auto"` restores the default. It
    can also be used as a decorator.

    Args:
        algorithm: `"auto"`, `"fastest"` or the name of an algorithm, as in `jconv.conv1d`.

    Returns:
        A context manager.

    Raises:
        ValueError: `algorithm` is anything else.

    >>> import jconv
    >>> compiled = jax.jit(jconv.conv1d)
    >>> params, x = {"kernel": jax.numpy.ones((1024, 1, 1))}, jax.numpy.ones((1, 4096, 1))
    >>> y = compiled(params, x)  # uses a local algorithm
    >>> with jconv.default_algorithm("fastest"):
    ...     y = compiled(params, x)  # is compiled again, and uses any algorithm
    >>> y.shape
    (1, 3073, 1)
    """
    check_algorithm(algorithm)
    with _meaning_of_auto(algorithm):
        yield


def resolve(algorithm: str) -> str:
    """Returns `algorithm`, or for `"auto"` the value of `default_algorithm` in this thread.

    Raises:
        ValueError: `algorithm` is unknown.

    >>> resolve("lax"), resolve("auto")
    ('lax', 'auto')
    """
    check_algorithm(algorithm)
    return _meaning_of_auto.value if algorithm == AUTO else algorithm
