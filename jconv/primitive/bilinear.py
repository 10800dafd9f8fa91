"""The JAX primitives that join the algorithms: derivatives, batching, sharding, lowering.

Convolution is linear in `x` and linear in `kernel`; its two derivatives are bilinear too, and the set closes:

    forward(x, kernel) -> y      input_gradient(y_bar, kernel) -> x_bar      kernel_gradient(x, y_bar) -> kernel_bar

so a derivative of any order, in any mode, is again one of these three, and an algorithm owes no more than them.

Shapes, for `ensemble_ndim` leading axes that both operands share (a vmap over kernels adds one):

    x, x_bar            (*ensemble, *batch, length, in_channels)
    kernel, kernel_bar  (*ensemble, kernel_size, in_channels // groups, out_channels)
    y, y_bar            (*ensemble, *batch, out_length, out_channels)

A vmap over `x` alone is one more batch axis. A vmap over the kernel alone widens the channels that only the kernel
has, so one wider convolution is computed. A vmap over both is one more ensemble axis, and what becomes of it is the
planner's decision at lowering.
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
from ..algorithms.no_fusion import isolate, merge_singleton_axes
from ..geometry import Geometry
from ..planner import cache, hardware
from ..sizes import Sizes
from ..version import __version__
from .jax_context import (
    Primitive,
    device_count,
    for_custom_partitioning,
    is_partitioned,
    lower_function,
    platforms,
    register,
)
from .partitioning import split_over_devices
from .placement import full_spec, lies_like, on_automatic_axes, valid_spec, vary_alike
from .precision import wants_highest

forward_p = Primitive("conv1d")
input_gradient_p = Primitive("conv1d_input_gradient")
kernel_gradient_p = Primitive("conv1d_kernel_gradient")

OPERATION = {
    forward_p: "forward",
    input_gradient_p: "input_gradient",
    kernel_gradient_p: "kernel_gradient",
}


def forward(
    x: jax.Array, kernel: jax.Array, geometry: Geometry, *, algorithm: str = planner.AUTO, precision: Any = None
) -> jax.Array:
    """The convolution of x (*batch, length, in) with kernel (kernel_size, in // groups, out)."""
    return _bind(forward_p, x, kernel, geometry, algorithm, precision)


def input_gradient(
    y_bar: jax.Array, kernel: jax.Array, geometry: Geometry, *, algorithm: str = planner.AUTO, precision: Any = None
) -> jax.Array:
    """The adjoint of `forward` in x, applied to y_bar (*batch, out_length, out): also the transposed convolution."""
    return _bind(input_gradient_p, y_bar, kernel, geometry, algorithm, precision)


def kernel_gradient(
    x: jax.Array, y_bar: jax.Array, geometry: Geometry, *, algorithm: str = planner.AUTO, precision: Any = None
) -> jax.Array:
    """The adjoint of `forward` in the kernel, applied to y_bar, summed over every batch axis."""
    return _bind(kernel_gradient_p, x, y_bar, geometry, algorithm, precision)


def _bind(
    primitive: Primitive,
    a: jax.Array,
    b: jax.Array,
    geometry: Geometry,
    algorithm: str,
    precision: Any,
    ensemble_ndim: int = 0,
) -> jax.Array:
    a, b = vary_alike(a, b)
    return primitive.bind(
        a, b, geometry=geometry, ensemble_ndim=ensemble_ndim, algorithm=algorithm, precision=precision
    )


# --- shapes and placement -----------------------------------------------------------------------------------------


def _shape(primitive: Primitive, a: Any, b: Any, geometry: Geometry, ensemble_ndim: int) -> tuple[int, ...]:
    if primitive is forward_p:
        return (*a.shape[:-2], geometry.out_length, b.shape[-1])
    if primitive is input_gradient_p:
        return (*a.shape[:-2], geometry.length, b.shape[-2] * geometry.groups)
    return (*a.shape[:ensemble_ndim], geometry.kernel_size, a.shape[-1] // geometry.groups, b.shape[-1])


def _abstract(primitive: Primitive, a: Any, b: Any, *, geometry: Geometry, ensemble_ndim: int, **_: Any) -> Any:
    # update, not a fresh ShapedArray: the operand's aval knows the mesh axes that the value varies over.
    shape = _shape(primitive, a, b, geometry, ensemble_ndim)
    sharding = (b if a.sharding.mesh.empty else a).sharding
    spec = valid_spec(_spec(primitive, a, b, geometry, ensemble_ndim), shape, sharding.mesh)
    return a.update(shape=shape, weak_type=False, sharding=sharding.update(spec=spec))


def _spec(primitive: Primitive, a: Any, b: Any, geometry: Geometry, ensemble_ndim: int) -> tuple[Any, ...]:
    """How the result lies on an explicit mesh: batch and length as the first operand's, channels as where they are."""
    of_a, of_b = full_spec(a), full_spec(b)
    dense = geometry.groups == 1
    # With groups the kernel's own in axis is one group's channels, and both sides' channels lie alike.
    grouped = of_a[-1] if of_b[-1] is None else of_b[-1]
    if primitive is forward_p:
        return (*of_a[:-1], of_b[-1] if dense else grouped)
    if primitive is input_gradient_p:
        return (*of_a[:-1], of_b[-2] if dense else grouped)
    return (*of_a[:ensemble_ndim], None, of_a[-1] if dense else None, of_b[-1] if dense else grouped)


def _sizes(primitive: Primitive, a: Any, b: Any, geometry: Geometry, ensemble_ndim: int) -> Sizes:
    """What the planner is asked about: one member's sizes, all batch axes as one."""
    batch = math.prod(a.shape[ensemble_ndim:-2])
    if primitive is input_gradient_p:
        return Sizes(geometry, batch, b.shape[-2] * geometry.groups, a.shape[-1])
    return Sizes(geometry, batch, a.shape[-1], b.shape[-1])


# --- derivatives --------------------------------------------------------------------------------------------------

# For each primitive, the primitive and the order of operands that transposes it in its first and second operand.
# (cotangent, other) stands for the operands of the new equation.
_TRANSPOSE: dict[Primitive, tuple[tuple[Primitive, bool], tuple[Primitive, bool]]] = {
    # y = forward(x, kernel):        x_bar = input_gradient(y_bar, kernel);  kernel_bar = kernel_gradient(x, y_bar)
    forward_p: ((input_gradient_p, True), (kernel_gradient_p, False)),
    # x_bar = input_gradient(y_bar, kernel), cotangent c like x:  forward(c, kernel);  kernel_gradient(c, y_bar)
    input_gradient_p: ((forward_p, True), (kernel_gradient_p, True)),
    # kernel_bar = kernel_gradient(x, y_bar), cotangent c like kernel:  input_gradient(y_bar, c);  forward(x, c)
    kernel_gradient_p: ((input_gradient_p, False), (forward_p, False)),
}


def _transpose(
    rule: tuple[Primitive, bool], of_first: bool, cotangent: Any, a: Any, b: Any, **params: Any
) -> jax.Array:
    primitive, cotangent_first = rule
    wanted, other = (a, b) if of_first else (b, a)
    operands = (cotangent, other) if cotangent_first else (other, cotangent)
    return lies_like(_bind(primitive, *operands, **params), wanted.aval)


# --- batching -----------------------------------------------------------------------------------------------------


def _batch(
    primitive: Primitive, operands: Any, dims: Any, *, ensemble_ndim: int, geometry: Geometry, **params: Any
) -> Any:
    """The equation, or the one other, that a mapped equation is, and where the mapped axis of its result lies."""
    (a, b), (a_dim, b_dim) = operands, dims
    bind = partial(_bind, primitive, geometry=geometry, **params)
    if b_dim is None and primitive is not kernel_gradient_p:
        # Another axis of the batch: nothing is merged or copied, and shardings stay what they were.
        return bind(jnp.moveaxis(a, a_dim, ensemble_ndim), b, ensemble_ndim=ensemble_ndim), ensemble_ndim
    size = a.shape[a_dim] if a_dim is not None else b.shape[b_dim]
    on_explicit_mesh = any(axes is not None for o in operands for axes in full_spec(jax.typeof(o)))
    if (a_dim is not None and b_dim is not None) or on_explicit_mesh:
        # On an explicit mesh channels cannot be merged with another axis, so the operand that is not mapped is copied.
        return bind(
            _mapped_in_front(a, a_dim, size), _mapped_in_front(b, b_dim, size), ensemble_ndim=ensemble_ndim + 1
        ), 0
    a, b = (o if dim is None else _mapped_in_front(o, dim, size) for o, dim in zip(operands, dims, strict=True))
    return _widen(primitive, bind, a, b, a_dim is not None, ensemble_ndim, geometry.groups, size), 0


def _mapped_in_front(x: jax.Array, dim: Any, size: int) -> jax.Array:
    return jnp.broadcast_to(x, (size, *x.shape)) if dim is None else jnp.moveaxis(x, dim, 0)


def _widen(
    primitive: Primitive,
    bind: Callable[..., jax.Array],
    a: jax.Array,
    b: jax.Array,
    a_is_mapped: bool,
    ensemble_ndim: int,
    groups: int,
    size: int,
) -> jax.Array:
    """One operand mapped, over its axis 0: the mapped axis joins channels that the other operand does not have."""
    if a_is_mapped:  # kernel_gradient, x alone: more in channels a group
        return _split(bind(_merge(a, groups), b, ensemble_ndim=ensemble_ndim), 1, size, axis=-2)
    if primitive is input_gradient_p:  # the kernel alone: more in channels a group
        wide = jnp.moveaxis(b, 0, -3).reshape(*b.shape[1:-2], size * b.shape[-2], b.shape[-1])
        return _split(bind(a, wide, ensemble_ndim=ensemble_ndim), groups, size)
    # forward, the kernel alone, or kernel_gradient, y_bar alone: more out channels a group
    return _split(bind(a, _merge(b, groups), ensemble_ndim=ensemble_ndim), groups, size)


def _merge(x: jax.Array, groups: int) -> jax.Array:
    """(size, ..., groups * n) to (..., groups * size * n): the mapped axis joins the channels of each group."""
    size, *shape, channels = x.shape
    return jnp.moveaxis(x.reshape(size, *shape, groups, channels // groups), 0, -2).reshape(*shape, size * channels)


def _split(x: jax.Array, groups: int, size: int, axis: int = -1) -> jax.Array:
    """(..., groups * size * n) to (size, ..., groups * n): the inverse of `_merge`, on channel axis `axis`."""
    x = jnp.moveaxis(x, axis, -1)
    *shape, channels = x.shape
    apart = jnp.moveaxis(x.reshape(*shape, groups, size, channels // (groups * size)), -2, 0)
    return jnp.moveaxis(apart.reshape(size, *shape, channels // size), -1, axis)


# --- lowering -----------------------------------------------------------------------------------------------------


def planned(
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
    """What computes an equation, whose operands need no more than shape and type; None stands for several platforms.

    `devices` is how many the program has, which on a CPU are taken to share its cores; None if that is unknown.
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
        # The machines of several processes may differ, and what they choose must not.
        hardware=hardware.this_machine() if jax.process_count() == 1 else hardware.UNKNOWN,
    )


def _compute(
    primitive: Primitive, choice: planner.Choice, geometry: Geometry, ensemble_ndim: int, precision: Any, on_cpu: bool
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The function of both operands that an equation is lowered to: an algorithm, given its (batch, ., .) shapes."""
    algorithm = lax_autodiff if choice.algorithm == "lax" and not on_cpu else ALGORITHMS[choice.algorithm]
    # The caller's context is in it since the call; that of the lowering may be another.
    precision = jax.lax.Precision.DEFAULT if precision is None else precision
    compute = getattr(algorithm, OPERATION[primitive])

    def one(a: jax.Array, b: jax.Array) -> jax.Array:
        shape = _shape(primitive, a, b, geometry, 0)
        operands = (_flat(a), b if primitive is not kernel_gradient_p else _flat(b))
        return compute(*operands, geometry, precision).reshape(shape)

    function = one
    for _ in range(ensemble_ndim):
        function = _one_by_one(function) if choice.loops_over_ensemble else jax.vmap(function)
    return function


# Members that run side by side in one step of the loop over them; each more is more to compile. Forward and both
# gradients of 16 members of (8, 128, 32, 32, 5) with 1, 2, 4 and 16: 4.2, 3.9, 3.1 and 2.9 ms, compiled in 0.15, 0.23,
# 0.34 and 0.88 s; plain lax takes 5.7 ms and 0.16 s (two cores of an AMD EPYC, JAX 0.10.2).
UNROLL = 4


def _one_by_one(function: Callable[..., jax.Array]) -> Callable[[jax.Array, jax.Array], jax.Array]:
    def loop(a: jax.Array, b: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda _, operands: (None, function(*operands)), None, (a, b), unroll=UNROLL)[1]

    return loop


def _flat(x: jax.Array) -> jax.Array:
    return x if x.ndim == 3 else x.reshape(-1 if x.ndim > 3 else 1, *x.shape[-2:])


def _lower(
    primitive: Primitive,
    on_cpu: bool,
    ctx: Any,
    a: Any,
    b: Any,
    *,
    geometry: Geometry,
    ensemble_ndim: int,
    algorithm: str,
    precision: Any,
) -> Any:
    partitioned = is_partitioned(ctx)
    split = for_custom_partitioning(ctx) if partitioned else None
    # In a program for several platforms JAX asks for a CPU's form, and once for that of all others.
    names = ("cpu",) if on_cpu else platforms(ctx)
    # Where XLA's partitioner splits the operation, it does not look into a call.
    separate = on_cpu and not (partitioned and split is None)

    def choose(a: Any, b: Any, geometry: Geometry) -> planner.Choice:
        return planned(
            primitive,
            a,
            b,
            geometry=geometry,
            ensemble_ndim=ensemble_ndim,
            algorithm=algorithm,
            precision=precision,
            platform=names[0] if len(names) == 1 else None,
            partitioned=partitioned and split is None,
            devices=device_count(ctx),
        )

    def local(a: jax.Array, b: jax.Array, geometry: Geometry) -> jax.Array:
        choice = choose(a, b, geometry)
        compute = _compute(primitive, choice, geometry, ensemble_ndim, precision, on_cpu)
        # XLA merges a product with nothing, so it needs no call, which has its price: a training step of the WaveNet
        # takes 28.1 ms without and 30.0 with (two cores of an AMD EPYC, JAX 0.10.2, 2026-11-29).
        product = geometry.pointwise and choice.algorithm in planner.POINTWISE_IS_MATMUL
        if not separate or product:
            return compute(a, b)
        if primitive is kernel_gradient_p:
            shape = _shape(primitive, a, b, geometry, ensemble_ndim)
            return isolate(lambda a, b: merge_singleton_axes(compute(a, b)))(a, b).reshape(shape)
        return isolate(compute)(a, b)

    compute = partial(local, geometry=geometry)
    if split is not None:
        ctx, devices = split
        shapes = tuple(aval.shape for aval in (*ctx.avals_in, *ctx.avals_out))
        of_a, of_b = ctx.avals_in
        chosen = choose(of_a, of_b, geometry).algorithm
        name = f"jconv_{__version__}_{OPERATION[primitive]}_{algorithm}_{chosen}_{precision}"
        compute = split_over_devices(
            OPERATION[primitive], geometry, shapes, ensemble_ndim, local, name=name, devices=devices
        )
    out = ctx.avals_out[0].sharding
    if any(axes is not None for aval in (*ctx.avals_in, *ctx.avals_out) for axes in full_spec(aval)):
        # On an explicit mesh the rule of `_spec` is what the caller sees; inside, the partitioner is left alone.
        compute = on_automatic_axes(compute, out)
    return lower_function(compute, ctx, a, b)


@lru_cache(maxsize=4096)
def _compiled(primitive: Primitive, **params: Any) -> Callable[..., jax.Array]:
    return jax.jit(partial(primitive.bind, **params))


def _evaluate(primitive: Primitive, a: jax.Array, b: jax.Array, **params: Any) -> jax.Array:
    # Outside jit one equation is compiled by itself, as JAX does with its own; also where the user has switched
    # jit off, which would otherwise come back here.
    with jax.disable_jit(False):
        return _compiled(primitive, **params)(a, b)


def forget() -> None:
    """Compile equations outside jit anew, after `jconv.tune` has changed what is chosen."""
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
