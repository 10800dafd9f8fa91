"""The algorithms for a 1-D convolution in JAX, one module or package each, all with the same three functions.

    forward(x, kernel, geometry, precision) -> y
    input_gradient(y_bar, kernel, geometry, precision) -> x_bar
    kernel_gradient(x, y_bar, geometry, precision) -> kernel_bar

Shapes: `x` and `x_bar` are (batch, length, in_channels), `kernel` and `kernel_bar` are (kernel_size, in_channels //
groups, out_channels), `y` and `y_bar` are (batch, out_length, out_channels). The two operands have the same dtype, and
the result has it too; 16-bit floats accumulate in float32.

Rules for a new algorithm:

- Every function supports every geometry. The planner knows which algorithm is fast for which geometry.
- Write the three functions out. Do not derive one from another with `jax.linear_transpose` or `jax.vjp`: inside a
  lowering rule under `jax.shard_map`, these sum over the mesh a second time.
- Initialize a loop's carry from the operands, not from zeros. Inside `jax.shard_map` it must vary over the same mesh
  axes as the operands.
- Do not close over arrays: custom partitioning accepts operands only.

`LOCAL` in each module says whether each output depends only on the samples and weights in its own sum. Then the sum
bounds the output's error, and a NaN outside the window has no effect on it.
"""

from types import ModuleType

from . import einsum, fft, grouped, lax, matmul, polyphase, shifts, toeplitz, winograd

ALGORITHMS: dict[str, ModuleType] = {
    "einsum": einsum,
    "fft": fft,
    "grouped": grouped,
    "lax": lax,
    "matmul": matmul,
    "polyphase": polyphase,
    "shifts": shifts,
    "toeplitz": toeplitz,
    "winograd": winograd,
}
OPERATIONS = ("forward", "input_gradient", "kernel_gradient")

__all__ = [
    "ALGORITHMS",
    "OPERATIONS",
    "einsum",
    "fft",
    "grouped",
    "lax",
    "matmul",
    "polyphase",
    "shifts",
    "toeplitz",
    "winograd",
]
