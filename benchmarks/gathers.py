"""openxla/xla issue 47945: a grouped convolution whose batch is sharded over devices gathers the complete batch.

`python -m benchmarks.gathers` prints, as JSON, the all-gathers in the compiled programs of lax and of jconv.
"""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from .convolution.jax_sides import CONVOLUTIONS
from .convolution.rows import Row, operands

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


def main() -> None:
    """Print the counts."""
    jax.config.update("jax_num_cpu_devices", DEVICES)
    print(json.dumps({side: count(side) for side in CONVOLUTIONS}))


if __name__ == "__main__":
    main()
