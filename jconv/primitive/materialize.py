"""Makes XLA write a value to memory once on CPUs, instead of computing it again for each reader.

XLA's CPU compiler fuses an elementwise operation into the slices that are taken of it. In a chain of residual sums that
are read in parts, the sum of block k is then computed from k + 1 arrays: SpliceAI's network of 16 blocks takes 1.2
times as long for a batch of 8. Other compilers have their own rules, so on other platforms, and where XLA's partitioner
splits the program, this is the identity.
"""

from __future__ import annotations

from typing import Any

import jax

from ..algorithms.shared.no_fusion import isolate
from .jax_context import Primitive, is_partitioned, lower_function, register_identity
from .lax_only import is_lax_only

materialize_p = Primitive("materialize")


def materialize(x: Any) -> jax.Array:
    """Returns `x`.

    >>> jax.jit(materialize)(jax.numpy.arange(3)).tolist()
    [0, 1, 2]
    """
    return x if is_lax_only() else materialize_p.bind(x)


def _lower_on_cpu(ctx: Any, x: Any) -> Any:
    if is_partitioned(ctx):
        return [x]
    # XLA would remove a call without operations. It removes the barrier later, and then the call copies nothing.
    return lower_function(isolate(jax.lax.optimization_barrier), ctx, x)


register_identity(materialize_p, lower_on_cpu=_lower_on_cpu)
