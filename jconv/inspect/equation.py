"""The equation that a call of `conv1d` binds: shapes, geometry and options, without computing anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax

from .. import planner
from ..functional.activations import resolve as resolve_activation
from ..functional.convolution import conv1d, promote
from ..geometry import Geometry
from ..primitive import bilinear
from ..primitive.lax_only import is_lax_only
from ..sizes import Sizes

Operands = dict[str, tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]]


class Conv1DEquation(NamedTuple):
    """The equation of a call of `conv1d` in its jaxpr, after the arguments were checked and padded.

    With segment ids it is the product of the windows and the kernel, which has the same number of multiply-adds. With
    segment ids and one input channel per group, there is no equation and no choice of algorithm.

    Attributes:
        x: Shape and dtype of the first operand.
        kernel: Shape and dtype of the second operand.
        geometry: The geometry.
        algorithm: The algorithm option.
        precision: The canonical precision.
        packed: With segment ids, shapes and dtypes of the caller's `x` and kernel.
    """

    x: jax.ShapeDtypeStruct
    kernel: jax.ShapeDtypeStruct
    geometry: Geometry
    algorithm: str | None
    precision: Any
    packed: tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct] | None = None

    @property
    def sizes(self) -> Sizes:
        """The sizes that the planner's choice depends on."""
        *batch, _, in_channels = self.x.shape
        return Sizes(self.geometry, math.prod(batch), in_channels, self.kernel.shape[-1])

    @property
    def operands(self) -> Operands:
        """Both operands of each operation; for packed arrays, the operands of the complete call."""
        return _operands(*(self.packed or (self.x, self.kernel)), self.geometry.out_length)

    def choose_algorithm(self, operation: str, algorithm: str) -> planner.Choice:
        """Returns the planner's choice for an operation with this option on the default platform."""
        primitive = next(primitive for primitive, name in bilinear.OPERATION.items() if name == operation)
        return bilinear.choose_algorithm(
            primitive,
            *_operands(self.x, self.kernel, self.geometry.out_length)[operation],
            geometry=self.geometry,
            ensemble_ndim=0,
            algorithm=algorithm,
            precision=self.precision,
            platform=jax.default_backend(),
        )


def trace_conv1d(params: Mapping[str, Any], x: Any, **options: Any) -> Conv1DEquation:
    """Traces `conv1d(params, x, **options)` and returns its equation.

    Raises:
        ValueError: As in `conv1d`, and in `jconv.lax_only`, where there is no such equation.
    """
    if is_lax_only():
        raise ValueError("explain and tune need a convolution of jconv: call them outside of jconv.lax_only()")
    # The activation is not part of the equation, and may be a function that cannot be traced.
    resolve_activation(options.get("activation"))
    run = partial(conv1d, **{name: value for name, value in options.items() if name != "activation"})
    equations = [e for e in jax.make_jaxpr(run)(params, x).eqns if e.primitive is bilinear.forward_p]
    packed = None
    if options.get("segment_ids") is not None:
        packed = tuple(jax.eval_shape(lambda params, x: promote(x, params, "kernel"), params, x))
    if not equations:
        assert packed, "conv1d binds one convolution"
        (kernel_size, per_group, out_channels), (*batch, length, groups) = packed[1].shape, packed[0].shape
        x = jax.ShapeDtypeStruct((*batch, length, groups * kernel_size * per_group), packed[0].dtype)
        kernel = jax.ShapeDtypeStruct((1, kernel_size * per_group, out_channels), x.dtype)
        return Conv1DEquation(x, kernel, Geometry(length, 1, groups=groups), None, None, packed)
    (equation,) = equations
    avals: Any = [variable.aval for variable in equation.invars]
    x, kernel = (jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals)
    bound = {name: equation.params[name] for name in ("geometry", "algorithm", "precision")}
    return Conv1DEquation(x, kernel, **bound, packed=packed)


def _operands(x: jax.ShapeDtypeStruct, kernel: jax.ShapeDtypeStruct, out_length: int) -> Operands:
    y_bar = jax.ShapeDtypeStruct((*x.shape[:-2], out_length, kernel.shape[-1]), x.dtype)
    return {"forward": (x, kernel), "input_gradient": (y_bar, kernel), "kernel_gradient": (x, y_bar)}
