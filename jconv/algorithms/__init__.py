"""The ways to compute a convolution in JAX, one file each, all with the same three functions.

    forward(x, kernel, geometry, precision) -> y
    input_gradient(y_bar, kernel, geometry, precision) -> x_bar
    kernel_gradient(x, y_bar, geometry, precision) -> kernel_bar

`x` and `x_bar` are (batch, length, in_channels), `kernel` and `kernel_bar` (kernel_size, in_channels // groups,
out_channels), `y_bar` and `y` (batch, out_length, out_channels). Both operands have one dtype and so has the result;
half types accumulate in float32. The three are written out, each on its own: a face that is the `linear_transpose`
or the `vjp` of another inside a lowering gets a second sum over the mesh in `jax.shard_map`. For the same reason a
loop starts from a value that is made of the operands, not from zeros. No array may be closed over: custom partitioning
takes operands only.

Each serves every geometry; what each is fast at, the planner knows. `LOCAL` says whether each output depends on the
samples and weights of its own sum alone: its error is bounded by that sum, and a NaN outside it changes nothing.
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
FACES = ("forward", "input_gradient", "kernel_gradient")

__all__ = [
    "ALGORITHMS",
    "FACES",
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
