"""The three primitives under every transformation, compared with lax."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv.algorithms import ALGORITHMS, OPERATIONS
from jconv.geometry import Geometry
from jconv.primitive import bilinear
from tests.support.settings import algorithms_for

GEOMETRIES = {
    "dense": Geometry(length=13, kernel_size=3, stride=2, low=3, high=1, dilation=2),
    "grouped": Geometry(length=12, kernel_size=4, stride=1, low=1, high=2, groups=2),
    "depthwise": Geometry(length=11, kernel_size=3, stride=3, low=2, high=2, dilation=2, groups=4),
    "pointwise": Geometry(length=9, kernel_size=1),
}
IN_CHANNELS, OUT_CHANNELS, BATCH = 4, 8, 2

Operation = Callable[[jax.Array, jax.Array], jax.Array]


def lax_operations(g: Geometry) -> dict[str, Operation]:
    """The three operations in plain lax with automatic differentiation."""

    def forward(x: jax.Array, kernel: jax.Array) -> jax.Array:
        lead = x.shape[:-2]
        y = jax.lax.conv_general_dilated(
            x.reshape(-1, *x.shape[-2:]),
            kernel,
            (g.stride,),
            [(g.low, g.high)],
            rhs_dilation=(g.dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=g.groups,
        )
        return y.reshape(*lead, *y.shape[1:])

    def input_gradient(y_bar: jax.Array, kernel: jax.Array) -> jax.Array:
        x = jnp.zeros((*y_bar.shape[:-2], g.length, kernel.shape[1] * g.groups), y_bar.dtype)
        return jax.vjp(lambda x: forward(x, kernel), x)[1](y_bar)[0]

    def kernel_gradient(x: jax.Array, y_bar: jax.Array) -> jax.Array:
        kernel = jnp.zeros((g.kernel_size, x.shape[-1] // g.groups, y_bar.shape[-1]), x.dtype)
        return jax.vjp(lambda k: forward(x, k), kernel)[1](y_bar)[0]

    return {"forward": forward, "input_gradient": input_gradient, "kernel_gradient": kernel_gradient}


def jconv_operations(g: Geometry, algorithm: str) -> dict[str, Operation]:
    options = {"geometry": g, "algorithm": algorithm}
    return {
        "forward": lambda x, kernel: bilinear.forward(x, kernel, **options),
        "input_gradient": lambda y_bar, kernel: bilinear.input_gradient(y_bar, kernel, **options),
        "kernel_gradient": lambda x, y_bar: bilinear.kernel_gradient(x, y_bar, **options),
    }


def operation_operands(
    g: Geometry, operation: str, *, mapped: tuple[int, int] = (0, 0), seed: int = 0
) -> tuple[Any, Any]:
    """Random operands of an operation, each with the given number of leading axes of size 3."""
    rng = np.random.default_rng(seed)
    shapes = {
        "x": (BATCH, g.length, IN_CHANNELS),
        "kernel": (g.kernel_size, IN_CHANNELS // g.groups, OUT_CHANNELS),
        "y_bar": (BATCH, g.out_length, OUT_CHANNELS),
    }
    first, second = {
        "forward": ("x", "kernel"),
        "input_gradient": ("y_bar", "kernel"),
        "kernel_gradient": ("x", "y_bar"),
    }[operation]
    a, b = ((3,) * n + shapes[name] for n, name in zip(mapped, (first, second), strict=True))
    return jnp.asarray(rng.standard_normal(a, np.float32)), jnp.asarray(rng.standard_normal(b, np.float32))


def nonlinear(operation: Operation) -> Operation:
    """A nonlinear scalar function of an operation, so that no second derivative is zero."""
    return lambda a, b: jnp.sum(jnp.sin(operation(a, b)))


def scan_gradient(operation: Operation) -> Operation:
    def run(a: jax.Array, b: jax.Array) -> jax.Array:
        def step(carry: Any, scale: jax.Array) -> Any:
            grads = jax.grad(nonlinear(operation), (0, 1))(scale * carry[0], carry[1])
            return (carry[0] + 0.1 * grads[0], carry[1] + 0.1 * grads[1]), jnp.sum(grads[0])

        return jax.lax.scan(step, (a, b), jnp.array([1.0, 0.5, 0.25]))

    return run


def while_value(operation: Operation) -> Operation:
    def run(a: jax.Array, b: jax.Array) -> jax.Array:
        def step(carry: Any) -> Any:
            i, a, total = carry
            y = operation(a, b)
            return i + 1, a / 2, total + y

        return jax.lax.while_loop(lambda c: c[0] < 3, step, (0, a, jnp.zeros_like(operation(a, b))))[2]

    return run


def hvp(operation: Operation) -> Operation:
    gradient = jax.grad(nonlinear(operation), (0, 1))
    return lambda a, b: jax.jvp(gradient, (a, b), (jnp.cos(a), jnp.cos(b)))


def reverse_over_reverse(operation: Operation) -> Operation:
    gradient = jax.grad(nonlinear(operation), (0, 1))
    return lambda a, b: jax.grad(lambda a, b: sum(jnp.sum(jnp.sin(g)) for g in gradient(a, b)), (0, 1))(a, b)


def linearized(operation: Operation) -> Operation:
    def run(a: jax.Array, b: jax.Array) -> jax.Array:
        y, linear = jax.linearize(operation, a, b)
        return y, linear(jnp.cos(a), jnp.cos(b))

    return run


TRANSFORMATIONS: dict[str, Callable[[Operation], Operation]] = {
    "eager": lambda f: f,
    "jit": jax.jit,
    "grad": lambda f: jax.grad(nonlinear(f), (0, 1)),
    "jvp": lambda f: lambda a, b: jax.jvp(f, (a, b), (jnp.cos(a), jnp.cos(b))),
    "jvp in one operand": lambda f: lambda a, b: jax.jvp(lambda b: f(a, b), (b,), (jnp.cos(b),)),
    "vjp": lambda f: lambda a, b: (lambda y, pull: (y, pull(jnp.cos(y))))(*jax.vjp(f, a, b)),
    "jacfwd": lambda f: jax.jacfwd(lambda a, b: f(a, b)[..., :2, :1], (0, 1)),
    "jacrev": lambda f: jax.jacrev(lambda a, b: f(a, b)[..., :2, :1], (0, 1)),
    "hessian": lambda f: lambda a, b: jax.hessian(lambda a, b: nonlinear(f)(a, b), (0, 1))(a, b),
    "hessian-vector": hvp,
    "reverse over reverse": reverse_over_reverse,
    "linearize": linearized,
    "remat": lambda f: jax.grad(jax.checkpoint(nonlinear(f)), (0, 1)),
    "scan of gradients": scan_gradient,
    "gradient of scan": lambda f: jax.grad(lambda a, b: scan_gradient(f)(a, b)[1].sum(), (0, 1)),
    "while": while_value,
    "cond": lambda f: lambda a, b: jax.lax.cond(a.sum() > -1e9, nonlinear(f), lambda a, b: a.sum(), a, b),
    "map": lambda f: lambda a, b: jax.lax.map(lambda s: f(s * a, b), jnp.arange(3.0)),
}


def assert_close(actual: Any, expected: Any, tolerance: float = 3e-6) -> None:
    """Checks that every leaf is within `tolerance` of the largest value of the expected leaf."""
    actual, expected = (jax.tree.leaves(tree) for tree in (actual, expected))
    assert len(actual) == len(expected) > 0
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape and a.dtype == e.dtype
        scale = np.abs(np.asarray(e)).max(initial=1e-30)
        assert np.abs(np.asarray(a) - np.asarray(e)).max(initial=0) <= tolerance * scale


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("geometry", ["dense", "depthwise"])
def test_transformations_agree_with_lax(geometry: str, operation: str, transformation: str) -> None:
    g, transform = GEOMETRIES[geometry], TRANSFORMATIONS[transformation]
    operands = operation_operands(g, operation)
    expected = jax.jit(transform(lax_operations(g)[operation]))(*operands)
    for algorithm in algorithms_for(geometry, operation, transformation):
        function = transform(jconv_operations(g, algorithm)[operation])
        compiled = function if transformation == "eager" else jax.jit(function)
        # Second derivatives and loops add rounding errors.
        assert_close(
            compiled(*operands), expected, 2e-5 if "scan" in transformation or "reverse" in transformation else 5e-6
        )


MAPPINGS: dict[str, tuple[tuple[int, int], list[tuple[int | None, int | None]]]] = {
    # The number of leading mapped axes of each operand, and the in_axes of each nested vmap, innermost last.
    "over the first": ((1, 0), [(0, None)]),
    "over the second": ((0, 1), [(None, 0)]),
    "over both": ((1, 1), [(0, 0)]),
    "first, then second": ((1, 1), [(0, None), (None, 0)]),
    "second, then first": ((1, 1), [(None, 0), (0, None)]),
    "both twice": ((2, 2), [(0, 0), (0, 0)]),
    "both, then the first": ((2, 1), [(0, 0), (0, None)]),
    "both, then the second": ((1, 2), [(0, 0), (None, 0)]),
    "the second twice": ((0, 2), [(None, 0), (None, 0)]),
    "axes not in front": ((1, 1), [(2, 1)]),
}


def mapped(function: Operation, axes: list[tuple[int | None, int | None]]) -> Operation:
    for in_axes in reversed(axes):
        function = jax.vmap(function, in_axes)
    return function


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("geometry", ["dense", "grouped"])
def test_vmap_agrees_with_lax(geometry: str, operation: str, mapping: str) -> None:
    g = GEOMETRIES[geometry]
    counts, axes = MAPPINGS[mapping]
    operands = operation_operands(g, operation, mapped=counts)
    if mapping == "axes not in front":
        operands = tuple(jnp.moveaxis(o, 0, axis) for o, axis in zip(operands, axes[0], strict=True))
    lax_operation = lax_operations(g)[operation]
    expected = jax.jit(
        lambda *o: (mapped(lax_operation, axes)(*o), mapped(jax.grad(nonlinear(lax_operation), (0, 1)), axes)(*o))
    )
    want = expected(*operands)
    for algorithm in algorithms_for(geometry, operation, mapping):
        ours = jconv_operations(g, algorithm)[operation]
        got = jax.jit(lambda *o, f=ours: (mapped(f, axes)(*o), mapped(jax.grad(nonlinear(f), (0, 1)), axes)(*o)))
        assert_close(got(*operands), want, 5e-6)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_second_derivatives_in_every_geometry_agree_with_lax(geometry: str, operation: str) -> None:
    g = GEOMETRIES[geometry]
    operands = operation_operands(g, operation)
    expected = jax.jit(hvp(lax_operations(g)[operation]))(*operands)
    for algorithm in algorithms_for(geometry, operation):
        assert_close(jax.jit(hvp(jconv_operations(g, algorithm)[operation]))(*operands), expected, 5e-6)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("geometry", ["dense", "depthwise"])
def test_gradients_of_vmap_and_vmap_in_scan_agree_with_lax(geometry: str) -> None:
    g = GEOMETRIES[geometry]

    def loss(operation: Operation) -> Operation:
        ensemble = jax.vmap(operation, (None, 0))

        def run(x: jax.Array, kernels: jax.Array) -> jax.Array:
            def step(kernels: jax.Array, _: Any) -> Any:
                return kernels - 0.1 * jax.grad(lambda k: jnp.sum(jnp.sin(ensemble(x, k))))(kernels), None

            return jnp.sum(jax.lax.scan(step, kernels, None, length=2)[0] ** 2)

        return jax.jit(jax.grad(run, (0, 1)))

    operands = operation_operands(g, "forward", mapped=(0, 1))
    expected = loss(lax_operations(g)["forward"])(*operands)
    for algorithm in ALGORITHMS:
        assert_close(loss(jconv_operations(g, algorithm)["forward"])(*operands), expected, 2e-5)


def test_convolution_and_each_derivative_are_one_equation() -> None:
    params = {"kernel": jnp.ones((3, 4, 8))}
    x = jnp.ones((2, 9, 4))
    forward = str(jax.make_jaxpr(lambda p, x: jconv.conv1d(p, x, stride=2))(params, x))
    assert forward.count("conv1d[") == 1 and "geometry=Geometry(length=9, kernel_size=3, stride=2)" in forward
    assert "conv_general_dilated" not in forward and len(forward.splitlines()) < 10
    both = jax.make_jaxpr(jax.grad(lambda p, x: jnp.sum(jconv.conv1d(p, x) ** 2), (0, 1)))(params, x)
    names = [equation.primitive.name for equation in both.eqns if equation.primitive.name.startswith("conv1d")]
    assert sorted(names) == ["conv1d", "conv1d_input_gradient", "conv1d_kernel_gradient"]


def test_vmap_over_x_adds_no_equation_and_vmap_over_kernels_keeps_one() -> None:
    g = GEOMETRIES["dense"]
    x, kernel = operation_operands(g, "forward", mapped=(1, 1))
    for in_axes in [(0, None), (0, 0), (None, 0)]:
        operands = [o if axis == 0 else o[0] for o, axis in zip((x, kernel), in_axes, strict=True)]
        jaxpr = jax.make_jaxpr(jax.vmap(lambda x, k: bilinear.forward(x, k, g), in_axes))(*operands)
        names = [equation.primitive.name for equation in jaxpr.eqns]
        assert names.count("conv1d") == 1
        if in_axes[1] is None:
            assert names == ["conv1d"]


def test_forward_pass_with_jit_disabled_agrees_with_lax() -> None:
    g = GEOMETRIES["dense"]
    operands = operation_operands(g, "forward")
    with jax.disable_jit():
        assert_close(bilinear.forward(*operands, g), lax_operations(g)["forward"](*operands))


def test_linear_transpose_is_the_input_gradient() -> None:
    g = GEOMETRIES["grouped"]
    y_bar, kernel = operation_operands(g, "input_gradient")
    x = jax.ShapeDtypeStruct((BATCH, g.length, IN_CHANNELS), jnp.float32)
    (x_bar,) = jax.linear_transpose(lambda x: bilinear.forward(x, kernel, g), x)(y_bar)
    assert_close(x_bar, lax_operations(g)["input_gradient"](y_bar, kernel))


def test_eval_shape_returns_shape_and_dtype() -> None:
    params = {"kernel": jax.ShapeDtypeStruct((3, 4, 8), jnp.bfloat16), "bias": jax.ShapeDtypeStruct((8,), jnp.bfloat16)}
    x = jax.ShapeDtypeStruct((5, 2, 10**9, 4), jnp.bfloat16)
    y = jax.eval_shape(lambda p, x: jconv.conv1d(p, x, stride=10, padding="same"), params, x)
    assert (y.shape, y.dtype) == ((5, 2, 10**8, 8), jnp.bfloat16)


@pytest.mark.parametrize("mapped", [(0, None), (None, 0), (0, 0)])
def test_a_mapped_axis_may_be_empty(mapped: Any) -> None:
    shapes = [(0, *shape) if dim == 0 else shape for shape, dim in zip([(3, 4, 6), (2, 8, 4)], mapped, strict=True)]
    kernel, x = (np.ones(shape, np.float32) for shape in shapes)
    y, pull = jax.vjp(jax.vmap(lambda k, x: jconv.conv1d({"kernel": k}, x), mapped), kernel, x)
    assert y.shape == (0, 2, 6, 6)
    assert [bar.shape for bar in pull(y)] == shapes


def test_donated_buffers_are_reused() -> None:
    g = Geometry(length=8, kernel_size=3, low=1, high=1)
    step = jax.jit(lambda x, k: x + bilinear.forward(x, k, g), donate_argnums=0)
    x, kernel = jnp.ones((2, 8, 4)), jnp.ones((3, 4, 4))
    expected = x + bilinear.forward(x, kernel, g)
    y = step(x, kernel)
    assert x.is_deleted()
    np.testing.assert_allclose(y, expected, rtol=1e-6)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("algorithm", ["auto", "einsum", "lax", "shifts"])  # shifts does not support symbolic sizes
def test_export_with_symbolic_batch_and_length(algorithm: str) -> None:
    params = jconv.init_conv1d(jax.random.key(0), 3, 6, 5, groups=3)
    options: dict[str, Any] = {"groups": 3, "algorithm": algorithm}

    def operations(params: Any, x: jax.Array) -> Any:
        def network(params: Any, x: jax.Array) -> jax.Array:
            y = jconv.conv1d(params, x, stride=2, padding="same", activation="relu", **options)
            return y + jconv.conv1d(params, x, stride=2, padding=2, dilation=1, **options)[:, : y.shape[1]]

        y, pull = jax.vjp(network, params, x)
        return y, pull(jnp.cos(y))

    # Same padding depends on length mod stride, so this length is a multiple of the stride.
    batch, half = jax.export.symbolic_shape("b, n", constraints=["n >= 3"])
    exported = jax.export.export(jax.jit(operations))(params, jax.ShapeDtypeStruct((batch, 2 * half, 3), jnp.float32))
    loaded = jax.export.deserialize(bytearray(exported.serialize()))
    for shape in [(1, 6, 3), (4, 20, 3)]:
        x = jax.random.normal(jax.random.key(1), shape)
        assert_close(loaded.call(params, x), operations(params, x), 2e-6)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("algorithm", ["auto", "lax"])
@pytest.mark.parametrize("options", [("valid", 1, 4), ("same", 3, 2), ("causal", 2, 1), ("full", 1, 4), (3, 2, 2)])
def test_export_with_symbolic_length(options: Any, algorithm: str) -> None:
    params = jconv.init_conv1d(jax.random.key(0), 2, 4, 3)
    (length,) = jax.export.symbolic_shape("t", constraints=["t >= 9"])
    names = {"algorithm": algorithm, **dict(zip(("padding", "stride", "dilation"), options, strict=True))}
    function = jax.jit(jax.grad(lambda p, x: jnp.sum(jconv.conv1d(p, x, **names) ** 2), (0, 1)))
    exported = jax.export.export(function)(params, jax.ShapeDtypeStruct((length, 2), jnp.float32))
    x = jax.random.normal(jax.random.key(1), (17, 2))
    assert_close(exported.call(params, x), function(params, x), 2e-6)


def test_loop_body_contains_no_convolution_in_a_slow_layout() -> None:
    """XLA's CPU compiler changes slow layouts to fast ones only outside of loops (jax-ml/jax issue 12868)."""
    conv = partial(jconv.conv1d, groups=2, algorithm="lax")

    def step(kernel: jax.Array, x: jax.Array) -> Any:
        gradients = jax.grad(lambda k, x: jnp.sum(conv({"kernel": k}, x) ** 2), (0, 1))(kernel, x)
        return kernel - gradients[0], gradients[1].sum()

    text = jax.jit(lambda k, xs: jax.lax.scan(step, k, xs)).lower(jnp.ones((3, 2, 4)), jnp.ones((5, 2, 9, 4))).as_text()
    convolutions = [line for line in text.splitlines() if "stablehlo.convolution" in line]
    assert len(convolutions) == 3
    for line in convolutions:
        assert "[b, 0, f]x[0, i, o]->[b, 0, f]" in line and "batch_group_count = 1" in line
