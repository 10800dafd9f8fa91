"""The sides in JAX: `jax.lax` with automatic differentiation, and jconv."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jconv

from ..shared.timing import once
from .programs import FASTEST, JCONV, LAX, Program
from .rows import Operands, Row
from .truth import Operations

Convolution = Callable[[jax.Array, jax.Array], jax.Array]
DIMENSIONS = ("NWC", "WIO", "NWC")
TIMED_SCALE = 1e-6
"""How far a step of a timed scan moves its carry: far enough for the steps to depend on each other."""


def lax_convolution(row: Row) -> Convolution:
    """One convolution of the row by lax."""
    if row.transposed:
        return lambda x, kernel: jax.lax.conv_transpose(
            x,
            kernel,
            (row.stride,),
            "VALID",
            rhs_dilation=(row.dilation,),
            dimension_numbers=DIMENSIONS,
            transpose_kernel=True,
        )
    return lambda x, kernel: jax.lax.conv_general_dilated(
        x,
        kernel,
        (row.stride,),
        [row.amounts],
        rhs_dilation=(row.dilation,),
        dimension_numbers=DIMENSIONS,
        feature_group_count=row.groups,
    )


def jconv_options(row: Row) -> dict[str, Any]:
    """The options of `jconv.conv1d` for one convolution of the row, or of `jconv.conv1d_transpose`."""
    if row.transposed:
        return {**row.geometry, "padding": "valid"}
    return {**row.geometry, "groups": row.groups, "padding": row.amounts}


def jconv_convolution(row: Row, algorithm: str = "auto") -> Convolution:
    """One convolution of the row by jconv."""
    public = jconv.conv1d_transpose if row.transposed else jconv.conv1d
    return lambda x, kernel: public({"kernel": kernel}, x, algorithm=algorithm, **jconv_options(row))


CONVOLUTIONS: dict[str, Callable[[Row], Convolution]] = {
    LAX: lax_convolution,
    JCONV: jconv_convolution,
    FASTEST: partial(jconv_convolution, algorithm="fastest"),
}


def forward(row: Row, convolution: Convolution) -> Callable[..., Any]:
    """`(x, kernel) -> y` for the complete ensemble."""
    kernel_axis = None if row.shared_kernel else 0
    return jax.vmap(convolution, (0, kernel_axis)) if row.ensemble > 1 else convolution


def gradients(row: Row, convolution: Convolution) -> Callable[..., Any]:
    """`(x, kernel, y_bar) -> (y, x_bar, kernel_bar)` for the complete ensemble."""

    def one(x: jax.Array, kernel: jax.Array, y_bar: jax.Array) -> Any:
        y, pull = jax.vjp(convolution, x, kernel)
        return y, *pull(y_bar)

    kernel_axis = None if row.shared_kernel else 0
    return jax.vmap(one, (0, kernel_axis, 0)) if row.ensemble > 1 else one


def forward_program(row: Row, side: str, o: Operands) -> Program:
    """The forward pass."""
    return compiled(forward(row, CONVOLUTIONS[side](row)), (o.x, o.kernel))


def gradient_program(row: Row, side: str, o: Operands) -> Program:
    """The forward pass and both gradients."""
    return compiled(gradients(row, CONVOLUTIONS[side](row)), (o.x, o.kernel, o.y_bar))


def forward_scan(row: Row, side: str, o: Operands, steps: int, y_size: float) -> Program:
    """A scan whose step moves x by the mean square of y.

    `y_size` is this mean square. In the check, the last step moves x by one.
    """
    function = forward(row, CONVOLUTIONS[side](row))

    def scanned(x: jax.Array, kernel: jax.Array, scales: jax.Array) -> jax.Array:
        def step(x: jax.Array, scale: jax.Array) -> Any:
            return x + scale * jnp.mean(jnp.square(function(x, kernel))), None

        return jax.lax.scan(step, x, scales)[0]

    scales = np.full(steps, TIMED_SCALE, np.float32)
    return compiled(scanned, (o.x, o.kernel, scales), (o.x, o.kernel, _last(scales, 1 / y_size)))


def gradient_scan(row: Row, side: str, o: Operands, steps: int, scales_of_check: tuple[float, float]) -> Program:
    """A scan whose step moves x and the kernel along their gradients; y is not needed and not computed.

    In the check, only the last step moves x and the kernel, by their gradients times `scales_of_check`.
    """
    function = gradients(row, CONVOLUTIONS[side](row))

    def scanned(x: jax.Array, kernel: jax.Array, y_bar: jax.Array, scales: jax.Array) -> Any:
        def step(carry: Any, scale: jax.Array) -> Any:
            _, *bars = function(*carry, y_bar)
            return tuple(a + s * bar for a, s, bar in zip(carry, scale, bars, strict=True)), None

        return jax.lax.scan(step, (x, kernel), scales)[0]

    scales = np.full((steps, 2), TIMED_SCALE, np.float32)
    return compiled(scanned, (*o, scales), (*o, _last(scales, scales_of_check)))


def moved(o: Operands, operations: Operations) -> tuple[tuple[float, float], tuple[Any, Any]]:
    """Scales with which a step along the gradients moves x and the kernel by at most one, and both after this step."""
    scales = (1 / float(np.abs(operations.x_bar).max()), 1 / float(np.abs(operations.kernel_bar).max()))
    return scales, (o.x + scales[0] * operations.x_bar, o.kernel + scales[1] * operations.kernel_bar)


def _last(scales: Any, value: Any) -> Any:
    """Zero except for the last step."""
    zero = np.zeros_like(scales)
    zero[-1] = value
    return zero


def compiled(function: Callable[..., Any], timed: tuple[Any, ...], checked: tuple[Any, ...] | None = None) -> Program:
    """The program of a function, compiled for the arguments that are timed; `checked` are those of the check."""
    placed, placed_check = jax.tree.map(jnp.asarray, (timed, checked or timed))
    program, seconds = once(jax.jit(function).lower(*placed).compile)
    analysis = program.memory_analysis()
    return Program(
        lambda: jax.block_until_ready(program(*placed)),
        lambda: jax.block_until_ready(program(*placed_check)),
        lambda result: tuple(np.asarray(leaf) for leaf in jax.tree.leaves(result)),
        seconds,
        None if analysis is None else int(analysis.temp_size_in_bytes),
    )
