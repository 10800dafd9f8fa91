"""The JAX primitives for the three operations: derivatives, batching, sharding and lowering.

A convolution is linear in `x` and linear in `kernel`. Its two derivatives are bilinear too, and the set is closed:

    forward(x, kernel) -> y      input_gradient(y_bar, kernel) -> x_bar      kernel_gradient(x, y_bar) -> kernel_bar

A derivative of any order, in any mode, is again one of the three. An algorithm needs to compute only these.

Shapes, with `ensemble_ndim` leading axes that both operands share (a vmap over kernels adds one):

    x, x_bar            (*ensemble, *batch, length, in_channels)
    kernel, kernel_bar  (*ensemble, kernel_size, in_channels // groups, out_channels)
    y, y_bar            (*ensemble, *batch, out_length, out_channels)

A vmap over `x` alone adds a batch axis. A vmap over the kernel alone adds channels, so that one wider convolution is
computed. A vmap over both adds an ensemble axis; the planner decides at lowering how it is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp

from .. import planner
from ..algorithms import ALGORITHMS, lax_autodiff
from ..algorithms.shared.no_fusion import isolate, merge_singleton_axes
from ..geometry import Geometry
from ..planner import cache, hardware
from ..planner.choose import POINTWISE_IS_MATMUL
from ..sizes import Sizes
from ..version import __version__
from .jax_context import (
    Primitive,
    custom_partitioning_context,
    device_count,
    is_partitioned,
    lower_function,
    platforms,
    register,
)
from .lax_only import is_lax_only
from .partitioning import make_partitioned
from .placement import (
    full_spec,
    is_explicitly_sharded,
    match_varying_axes,
    on_automatic_axes,
    reshard_like,
    valid_spec,
)
from .precision import wants_highest

Operation = Callable[[jax.Array, jax.Array], jax.Array]

forward_p = Primitive("conv1d")
input_gradient_p = Primitive("conv1d_input_gradient")
kernel_gradient_p = Primitive("conv1d_kernel_gradient")

OPERATION = {
    forward_p: "forward",
    input_gradient_p: "input_gradient",
    kernel_gradient_p: "kernel_gradient",
}

# Convolutions of an ensemble per step of the loop over it. More are slightly faster but take longer to compile.
UNROLL = 4

LAX = planner.Choice("lax", "jconv.lax_only")


def forward(
    x: jax.Array, kernel: jax.Array, geometry: Geometry, *, algorithm: str = planner.AUTO, precision: Any = None
) -> jax.Array:
    """Convolves x (*batch, length, in_channels) with kernel (kernel_size, in_channels // groups, out_channels)."""
    return _bind(forward_p, x, kernel, geometry=geometry, algorithm=algorithm, precision=precision)


def input_gradient(
    y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, *, algorithm: str = planner.AUTO, precision: Any = None
) -> jax.Array:
    """The adjoint of `forward` in x, which is also the transposed convolution."""
    return _bind(input_gradient_p, y_bar, kernel, geometry=geometry, algorithm=algorithm, precision=precision)


def kernel_gradient(
    x: jax.Array, y_bar: jax.Array, geometry: Geometry, *, algorithm: str = planner.AUTO, precision: Any = None
) -> jax.Array:
    """The adjoint of `forward` in the kernel, summed over every batch axis."""
    return _bind(kernel_gradient_p, x, y_bar, geometry=geometry, algorithm=algorithm, precision=precision)


def _bind(primitive: Primitive, a: jax.Array, b: jax.Array, *, ensemble_ndim: int = 0, **params: Any) -> jax.Array:
    a, b = match_varying_axes(a, b)
    if is_lax_only():
        # lax's convolution, whose derivatives JAX knows.
        return _make_function(primitive, LAX, params["geometry"], ensemble_ndim, params["precision"], on_cpu=True)(a, b)
    return primitive.bind(a, b, ensemble_ndim=ensemble_ndim, **params)


# --- shapes and shardings -----------------------------------------------------------------------------------------


def _result_shape(primitive: Primitive, a: Any, b: Any, geometry: Geometry, ensemble_ndim: int) -> tuple[int, ...]:
    if primitive is forward_p:
        return (*a.shape[:-2], geometry.out_length, b.shape[-1])
    if primitive is input_gradient_p:
        return (*a.shape[:-2], geometry.length, b.shape[-2] * geometry.groups)
    return (*a.shape[:ensemble_ndim], geometry.kernel_size, a.shape[-1] // geometry.groups, b.shape[-1])


def _result_spec(primitive: Primitive, a: Any, b: Any, geometry: Geometry, ensemble_ndim: int) -> tuple[Any, ...]:
    """Returns the result's spec on an explicit mesh: each axis is sharded as in the operand that it comes from."""
    spec_a, spec_b = full_spec(a), full_spec(b)
    is_dense = geometry.groups == 1
    # With groups, the channels of both sides are sharded over the same mesh axes.
    grouped = spec_a[-1] if spec_b[-1] is None else spec_b[-1]
    if primitive is forward_p:
        return (*spec_a[:-1], spec_b[-1] if is_dense else grouped)
    if primitive is input_gradient_p:
        return (*spec_a[:-1], spec_b[-2] if is_dense else grouped)
    return (*spec_a[:ensemble_ndim], None, spec_a[-1] if is_dense else None, spec_b[-1] if is_dense else grouped)


def _abstract(primitive: Primitive, a: Any, b: Any, *, geometry: Geometry, ensemble_ndim: int, **_: Any) -> Any:
    # `update` instead of a new ShapedArray, because the operand's aval knows the mesh axes that the value varies over.
    shape = _result_shape(primitive, a, b, geometry, ensemble_ndim)
    sharding = (b if a.sharding.mesh.empty else a).sharding
    spec = valid_spec(_result_spec(primitive, a, b, geometry, ensemble_ndim), shape, sharding.mesh)
    return a.update(shape=shape, weak_type=False, sharding=sharding.update(spec=spec))


def _sizes(primitive: Primitive, a: Any, b: Any, geometry: Geometry, ensemble_ndim: int) -> Sizes:
    """Returns the sizes of one convolution of the ensemble, with all batch axes as one."""
    batch = math.prod(a.shape[ensemble_ndim:-2])
    if primitive is input_gradient_p:
        return Sizes(geometry, batch, b.shape[-2] * geometry.groups, a.shape[-1])
    return Sizes(geometry, batch, a.shape[-1], b.shape[-1])


# --- derivatives --------------------------------------------------------------------------------------------------

# For each primitive: the primitive that transposes it in its first and in its second operand, and whether the cotangent
# is the first operand of the new equation.
_TRANSPOSE: dict[Primitive, tuple[tuple[Primitive, bool], tuple[Primitive, bool]]] = {
    # y = forward(x, kernel):        x_bar = input_gradient(y_bar, kernel);  kernel_bar = kernel_gradient(x, y_bar)
    forward_p: ((input_gradient_p, True), (kernel_gradient_p, False)),
    # x_bar = input_gradient(y_bar, kernel), cotangent c like x:  forward(c, kernel);  kernel_gradient(c, y_bar)
    input_gradient_p: ((forward_p, True), (kernel_gradient_p, True)),
    # kernel_bar = kernel_gradient(x, y_bar), cotangent c like kernel:  input_gradient(y_bar, c);  forward(x, c)
    kernel_gradient_p: ((input_gradient_p, False), (forward_p, False)),
}


def _transpose(
    rule: tuple[Primitive, bool], in_first: bool, cotangent: Any, a: Any, b: Any, **params: Any
) -> jax.Array:
    primitive, cotangent_first = rule
    primal, other = (a, b) if in_first else (b, a)
    operands = (cotangent, other) if cotangent_first else (other, cotangent)
    return reshard_like(_bind(primitive, *operands, **params), primal.aval)


# --- batching -----------------------------------------------------------------------------------------------------


def _batch(
    primitive: Primitive, operands: Any, dims: Any, *, ensemble_ndim: int, geometry: Geometry, **params: Any
) -> Any:
    """The batching rule: returns the batched result and the position of its mapped axis."""
    (a, b), (a_dim, b_dim) = operands, dims
    bind = partial(_bind, primitive, geometry=geometry, **params)
    if b_dim is None and primitive is not kernel_gradient_p:
        # Adds a batch axis. Nothing is merged or copied, and shardings stay as they were.
        return bind(jnp.moveaxis(a, a_dim, ensemble_ndim), b, ensemble_ndim=ensemble_ndim), ensemble_ndim
    size = a.shape[a_dim] if a_dim is not None else b.shape[b_dim]
    on_explicit_mesh = any(is_explicitly_sharded(jax.typeof(operand)) for operand in operands)
    if (a_dim is not None and b_dim is not None) or on_explicit_mesh or size == 0:
        # On an explicit mesh channels cannot be merged with another axis, so the operand that is not mapped is copied.
        # Merged with an empty axis there would be no channels.
        a, b = _move_to_front(a, a_dim, size), _move_to_front(b, b_dim, size)
        return bind(a, b, ensemble_ndim=ensemble_ndim + 1), 0
    a, b = (o if dim is None else _move_to_front(o, dim, size) for o, dim in zip(operands, dims, strict=True))
    bind = partial(bind, ensemble_ndim=ensemble_ndim)
    return _widen_channels(primitive, bind, a, b, a_dim is not None, geometry.groups, size), 0


def _move_to_front(x: jax.Array, dim: Any, size: int) -> jax.Array:
    return jnp.broadcast_to(x, (size, *x.shape)) if dim is None else jnp.moveaxis(x, dim, 0)


def _widen_channels(
    primitive: Primitive, bind: Operation, a: jax.Array, b: jax.Array, a_is_mapped: bool, groups: int, size: int
) -> jax.Array:
    """Moves the mapped axis 0 of one operand into channels that the other operand does not have."""
    if a_is_mapped:  # kernel_gradient, x alone: more in channels per group
        return _split_channels(bind(_merge_into_channels(a, groups), b), 1, size, axis=-2)
    if primitive is input_gradient_p:  # the kernel alone: more in channels per group
        wide = jnp.moveaxis(b, 0, -3).reshape(*b.shape[1:-2], size * b.shape[-2], b.shape[-1])
        return _split_channels(bind(a, wide), groups, size)
    # forward, the kernel alone, or kernel_gradient, y_bar alone: more out channels per group
    return _split_channels(bind(a, _merge_into_channels(b, groups)), groups, size)


def _merge_into_channels(x: jax.Array, groups: int) -> jax.Array:
    """Reshapes (size, ..., groups * n) to (..., groups * size * n)."""
    size, *shape, channels = x.shape
    return jnp.moveaxis(x.reshape(size, *shape, groups, channels // groups), 0, -2).reshape(*shape, size * channels)


def _split_channels(x: jax.Array, groups: int, size: int, axis: int = -1) -> jax.Array:
    """The inverse of `_merge_into_channels`: moves the mapped axis from the channels to the front."""
    x = jnp.moveaxis(x, axis, -1)
    *shape, channels = x.shape
    x = jnp.moveaxis(x.reshape(*shape, groups, size, channels // (groups * size)), -2, 0)
    return jnp.moveaxis(x.reshape(size, *shape, channels // size), -1, axis)


# --- lowering -----------------------------------------------------------------------------------------------------


def choose_algorithm(
    primitive: Primitive,
    a: Any,
    b: Any,
    *,
    geometry: Geometry,
    ensemble_ndim: int,
    algorithm: str,
    precision: Any,
    platform: str | None,
    partitioned: bool = False,
    devices: int | None = 1,
) -> planner.Choice:
    """Returns the planner's choice for an equation with these parameters and operands of these shapes and dtypes.

    Args:
        primitive: The primitive.
        a: The first operand.
        b: The second operand.
        geometry: The geometry.
        ensemble_ndim: Number of leading ensemble axes.
        algorithm: The user's option.
        precision: The canonical precision.
        platform: The platform, or None for a program for several platforms.
        partitioned: Whether XLA's partitioner splits the operation.
        devices: Number of devices of the program, or None if that is unknown. On a CPU they share its cores.
    """
    operation, sizes = OPERATION[primitive], _sizes(primitive, a, b, geometry, ensemble_ndim)
    return planner.choose(
        algorithm,
        operation,
        sizes,
        ensemble_size=math.prod(a.shape[:ensemble_ndim]),
        measured=None if platform is None else cache.lookup(algorithm, operation, sizes, a.dtype, precision, platform),
        platform=platform or "several platforms",
        partitioned=partitioned,
        allow_tiles=devices == 1 and not wants_highest(precision),
        # The machines of several processes may differ, but their choices must not.
        hardware=hardware.this_machine() if jax.process_count() == 1 else hardware.UNKNOWN,
    )


def _make_function(
    primitive: Primitive, choice: planner.Choice, geometry: Geometry, ensemble_ndim: int, precision: Any, on_cpu: bool
) -> Operation:
    """Returns the function of both operands that an equation is lowered to."""
    algorithm = lax_autodiff if choice.algorithm == "lax" and not on_cpu else ALGORITHMS[choice.algorithm]
    # None would mean jax.default_matmul_precision at the lowering. `precision` already includes its value at the call.
    precision = jax.lax.Precision.DEFAULT if precision is None else precision
    compute = getattr(algorithm, OPERATION[primitive])

    def single(a: jax.Array, b: jax.Array) -> jax.Array:
        shape = _result_shape(primitive, a, b, geometry, 0)
        operands = (_flatten_batch(a), _flatten_batch(b) if primitive is kernel_gradient_p else b)
        return compute(*operands, geometry, precision).reshape(shape)

    function: Operation = single
    for _ in range(ensemble_ndim):
        function = _loop(function) if choice.loops_over_ensemble else jax.vmap(function)
    return function


def _loop(function: Operation) -> Operation:
    """Maps a function over the first axis of both operands in a loop."""

    def loop(a: jax.Array, b: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda _, operands: (None, function(*operands)), None, (a, b), unroll=UNROLL)[1]

    return loop


def _flatten_batch(x: jax.Array) -> jax.Array:
    return x if x.ndim == 3 else x.reshape(-1 if x.ndim > 3 else 1, *x.shape[-2:])


def _lower(primitive: Primitive, on_cpu: bool, ctx: Any, a: Any, b: Any, *, geometry: Geometry, **params: Any) -> Any:
    operation, ensemble_ndim, precision = OPERATION[primitive], params["ensemble_ndim"], params["precision"]
    partitioned = is_partitioned(ctx)
    custom = custom_partitioning_context(ctx) if partitioned else None
    partitioned &= custom is None
    # In a program for several platforms, JAX calls the CPU's lowering for the CPU and the other one for the others.
    names = ("cpu",) if on_cpu else platforms(ctx)
    choose = partial(
        choose_algorithm,
        primitive,
        platform=names[0] if len(names) == 1 else None,
        partitioned=partitioned,
        devices=device_count(ctx),
        **params,
    )

    def compute(a: jax.Array, b: jax.Array, geometry: Geometry) -> jax.Array:
        choice = choose(a, b, geometry=geometry)
        function = _make_function(primitive, choice, geometry, ensemble_ndim, precision, on_cpu)
        # XLA fuses neither matrix products nor its own convolution, so these need no call. Its partitioner cannot split
        # a call. The kernel gradient by `lax` also transposes its operands, which may be fused.
        is_product = geometry.pointwise and choice.algorithm in POINTWISE_IS_MATMUL
        is_convolution = choice.algorithm == "lax" and primitive is not kernel_gradient_p
        if not on_cpu or partitioned or is_product or is_convolution:
            return function(a, b)
        if primitive is kernel_gradient_p:
            shape = _result_shape(primitive, a, b, geometry, ensemble_ndim)
            return isolate(lambda a, b: merge_singleton_axes(function(a, b)))(a, b).reshape(shape)
        return isolate(function)(a, b)

    lowered: Operation = partial(compute, geometry=geometry)
    if custom is not None:
        ctx, devices = custom
        shapes = tuple(aval.shape for aval in (*ctx.avals_in, *ctx.avals_out))
        chosen = choose(*ctx.avals_in, geometry=geometry).algorithm
        name = f"jconv_{__version__}_{operation}_{params['algorithm']}_{chosen}_{precision}"
        lowered = make_partitioned(operation, geometry, shapes, ensemble_ndim, compute, name=name, devices=devices)
    if any(is_explicitly_sharded(aval) for aval in (*ctx.avals_in, *ctx.avals_out)):
        # The caller sees the sharding of `_result_spec`; inside, the partitioner decides.
        lowered = on_automatic_axes(lowered, ctx.avals_out[0].sharding)
    return lower_function(lowered, ctx, a, b)


@lru_cache(maxsize=4096)
def _compiled(primitive: Primitive, **params: Any) -> Callable[..., jax.Array]:
    return jax.jit(partial(primitive.bind, **params))


def _evaluate(primitive: Primitive, a: jax.Array, b: jax.Array, **params: Any) -> jax.Array:
    # Outside jit, each equation is compiled separately, as JAX does with its own primitives. Inside `jax.disable_jit`
    # too: otherwise `jax.jit` would call this function again.
    with jax.disable_jit(False):
        return _compiled(primitive, **params)(a, b)


def clear_cache() -> None:
    """Discards the compiled equations, because `jconv.tune` has changed the choice of algorithms."""
    _compiled.cache_clear()


for _primitive in OPERATION:
    _in_first, _in_second = _TRANSPOSE[_primitive]
    register(
        _primitive,
        evaluate=partial(_evaluate, _primitive),
        abstract=partial(_abstract, _primitive),
        transpose=(partial(_transpose, _in_first, True), partial(_transpose, _in_second, False)),
        batch=partial(_batch, _primitive),
        lower=partial(_lower, _primitive, False),
        lower_on_cpu=partial(_lower, _primitive, True),
    )
