"""What `"auto"` means in this thread: `default_algorithm` changes it for everything that is traced inside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

from ..planner import AUTO, check_algorithm

# Part of the keys of JAX's caches, so a function that was compiled outside of a context is traced anew inside.
_meaning_of_auto: Any = jax.make_user_context(AUTO)


@contextmanager
def default_algorithm(algorithm: str) -> Iterator[None]:
    """A context in which `algorithm="auto"`, the default of every convolution, means `algorithm`.

    It is for whole programs, as `jax.default_matmul_precision` is: calls, layers, models, streams and gradients that
    are traced inside it, also those of functions compiled before, which are traced again. What was traced inside keeps
    its algorithm outside: the function that `jax.vjp` returns computes its gradients as the call was computed. The
    context belongs to the thread that enters it. Contexts nest; `"auto"` gives back the default. It is also a
    decorator.

    Args:
      algorithm: `"auto"`, `"fastest"` or the name of an algorithm, as in `jconv.conv1d`.

    Raises:
      ValueError: for any other `algorithm`.

    >>> import jconv
    >>> compiled = jax.jit(jconv.conv1d)
    >>> params, x = {"kernel": jax.numpy.ones((1024, 1, 1))}, jax.numpy.ones((1, 4096, 1))
    >>> y = compiled(params, x)  # by a local algorithm
    >>> with jconv.default_algorithm("fastest"):
    ...     y = compiled(params, x)  # compiled again, by any algorithm
    >>> y.shape
    (1, 3073, 1)
    """
    check_algorithm(algorithm)
    with _meaning_of_auto(algorithm):
        yield


def resolved(algorithm: str) -> str:
    """`algorithm`, or where it is `"auto"` what this thread's `default_algorithm` says.

    Raises `ValueError` for one that there is not.

    >>> resolved("lax"), resolved("auto")
    ('lax', 'auto')
    """
    check_algorithm(algorithm)
    return _meaning_of_auto.value if algorithm == AUTO else algorithm
