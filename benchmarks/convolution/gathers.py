"""openxla/xla issue 47945: a grouped convolution whose batch is sharded over devices gathers the complete batch.

A worker process replies with the numbers of all-gathers in the compiled programs of lax and of jconv.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from .jax_sides import CONVOLUTIONS
from .rows import Row, operands

DEVICES = 8
ROW = Row("47945", "grouped", 64, 128, 32, 32, 3, groups=4, padding="same")


def count(side: str) -> int:
    """The all-gathers in the program compiled for a sharded batch and a replicated kernel."""
    mesh = jax.make_mesh((DEVICES,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    over_batch, everywhere = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
    o = operands(ROW)
    x, kernel = jax.device_put(jnp.asarray(o.x), over_batch), jax.device_put(jnp.asarray(o.kernel), everywhere)
    compiled = jax.jit(CONVOLUTIONS[side](ROW), out_shardings=over_batch).lower(x, kernel).compile()
    # The parenthesis distinguishes an operation from a reference to it, and `-start` from `-done`.
    text = compiled.as_text() or ""
    return text.count(" all-gather(") + text.count(" all-gather-start(")


class Counter:
    """The side of the worker process, which has simulated devices."""

    def __init__(self, _: Any) -> None:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", DEVICES)

    def reply(self, _: Any) -> dict[str, int]:
        """The counts by side."""
        return {side: count(side) for side in CONVOLUTIONS}


SIDES = {"gathers": Counter}
