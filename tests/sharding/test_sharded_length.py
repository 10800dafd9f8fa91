"""Sequences with a sharded length: `jconv.sharding` inside `shard_map`, and automatic meshes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jconv
from benchmarks import sharding
from jconv.inspect.trace import iterate_equations
from tests.primitive.test_partitioned import received_elements
from tests.support.settings import deviation, in_type, quick_jit

BOUNDS = {"float32": 1e-6, "float64": 1e-13}
EXAMPLES = settings.default.max_examples // 2  # each compiles a program for several devices


class Case(NamedTuple):
    """A convolution by its name in `jconv` and `jconv.sharding`, and a sequence in shards of `shard` samples."""

    convolution: str
    params: dict[str, np.ndarray]
    options: dict[str, Any]
    length: int
    shard: int
    devices: int

    def unsharded(self, params: Any, x: Any) -> jax.Array:
        return getattr(jconv, self.convolution)(params, x, **self.options)

    def sharded(self, params: Any, x: Any) -> jax.Array:
        return getattr(jconv.sharding, self.convolution)(params, x, axis_name="t", length=self.length, **self.options)


@st.composite
def cases(draw: Any, convolutions: tuple[str, ...]) -> Case:
    """A random convolution, with params from a random seed."""

    def small(most: int, least: int = 1) -> int:
        return draw(st.integers(least, most))

    convolution, length, kernel_size, devices = draw(st.sampled_from(convolutions)), small(48), small(6), small(8)
    options: dict[str, Any] = {"stride": small(5), "dilation": small(4)}
    if convolution == "conv1d_transpose":
        options["padding"] = draw(st.sampled_from(["valid", "same"]))
        options["output_padding"] = draw(st.none() | st.integers(0, options["stride"] - 1))
        shapes = {"kernel": (kernel_size, 3, 2), "bias": (3,)}
    else:
        paddings = ["valid", "same", "causal", "full", (small(20, 0), small(20, 0))]
        options["padding"] = draw(st.sampled_from(paddings))
        options["padding_mode"] = draw(st.sampled_from(["zeros", "wrap", "reflect", "edge"]))
        shapes = {"kernel": (kernel_size, 2, 2), "bias": (4,)}
        if convolution == "conv1d":
            options["groups"] = small(2)
            shapes["kernel"] = (kernel_size, 2 // options["groups"], 4)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    shard = -(-length // devices) + draw(st.sampled_from([0, 0, 1, 4]))
    case = Case(convolution, params, options, length, shard, devices)
    try:
        jax.eval_shape(case.unsharded, params, jnp.zeros((length, 2)))
    except ValueError:
        assume(False)
    return case


def operations(function: Callable[..., jax.Array]) -> Callable[..., Any]:
    """The output of a function of params and x, and both gradients of <cotangent, output>."""

    def run(params: Any, x: Any, cotangent: Any) -> Any:
        y, pull = jax.vjp(function, params, x)
        return (y, *pull(cotangent))

    return run


def mesh_of(devices: int) -> Mesh:
    return Mesh(np.array(jax.devices()[:devices]), ("t",), axis_types=(AxisType.Auto,))


def operands(case: Case, *filler: float) -> list[np.ndarray]:
    """x and a cotangent; with `filler` both are padded to complete shards with these values."""
    rng = np.random.default_rng(case.length)
    x = rng.standard_normal((2, case.length, 2))
    y = jax.eval_shape(case.unsharded, case.params, x)
    arrays = [x, rng.standard_normal(y.shape)]
    if not filler:
        return arrays
    local = jax.shard_map(
        case.sharded, mesh=mesh_of(case.devices), in_specs=(P(), P(None, "t")), out_specs=P(None, "t")
    )
    padded_length = case.devices * case.shard
    sizes = [padded_length, jax.eval_shape(local, case.params, jnp.zeros((2, padded_length, 2))).shape[1]]
    padded = []
    for array, size, value in zip(arrays, sizes, filler, strict=True):
        behind = np.full((2, size - array.shape[1], array.shape[2]), value)
        padded.append(np.concatenate([array, behind], axis=1))
    return padded


def close(actual: Any, expected: Any, dtype: str) -> None:
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert deviation(a, e) <= BOUNDS[dtype]


CONVOLUTIONS = ("conv1d", "depthwise_conv1d", "conv1d_transpose")


@settings(max_examples=EXAMPLES)
@given(cases(CONVOLUTIONS), st.sampled_from(sorted(BOUNDS)), st.booleans(), st.booleans())
def test_sharded_values_and_gradients_equal_unsharded(case: Case, dtype: str, inside: bool, checked: bool) -> None:
    """Samples beyond the length affect nothing; the kernel's gradient is summed over the devices once."""
    specs = P(), P(None, "t"), P(None, "t")
    options = {"mesh": mesh_of(case.devices), "check_vma": checked}
    if inside:

        def local(*operands: Any) -> Any:
            y, params_bar, x_bar = operations(case.sharded)(*operands)
            # Without checks the gradient of a replicated operand is not summed over devices, as for any JAX function.
            return y, params_bar if checked else jax.lax.psum(params_bar, "t"), x_bar

        program = jax.shard_map(local, in_specs=specs, out_specs=(specs[2], specs[0], specs[1]), **options)
    else:
        program = operations(jax.shard_map(case.sharded, in_specs=specs[:2], out_specs=specs[2], **options))
    unsharded = in_type(dtype, quick_jit(operations(case.unsharded)), case.params, *operands(case))
    y, params_bar, x_bar = in_type(dtype, quick_jit(program), case.params, *operands(case, np.nan, 7.0))
    out_length = unsharded[0].shape[1]
    close((y[:, :out_length], params_bar, x_bar[:, : case.length]), unsharded, dtype)
    assert not y[:, out_length:].any()
    assert not x_bar[:, case.length :].any()


@settings(max_examples=EXAMPLES)
@given(cases(CONVOLUTIONS), st.sampled_from(sorted(BOUNDS)), st.sampled_from(["x", "y", "x and y"]))
def test_automatic_meshes_equal_unsharded(case: Case, dtype: str, constrained: str) -> None:
    """Shards may be uneven: XLA pads them with arbitrary values, which the cosine makes nonzero."""
    along_length = NamedSharding(mesh_of(case.devices), P(None, "t"))

    def placed(params: Any, x: Any) -> jax.Array:
        x = jnp.cos(x)
        y = case.unsharded(params, jax.lax.with_sharding_constraint(x, along_length) if "x" in constrained else x)
        return jax.lax.with_sharding_constraint(y, along_length) if "y" in constrained else y

    unsharded = in_type(
        dtype, quick_jit(operations(lambda params, x: case.unsharded(params, jnp.cos(x)))), case.params, *operands(case)
    )
    close(in_type(dtype, quick_jit(operations(placed)), case.params, *operands(case)), unsharded, dtype)


@pytest.mark.parametrize("mode", ["reflect", "wrap"])
def test_padding_longer_than_a_sequence_in_float64_on_an_automatic_mesh(mode: str) -> None:
    along_length = NamedSharding(mesh_of(6), P(None, "t"))
    options = {"padding": "causal", "dilation": 3, "padding_mode": mode}
    params = {"kernel": np.random.default_rng(0).standard_normal((6, 2, 4))}
    case = Case("conv1d", params, options, length=10, shard=2, devices=6)

    def placed(params: Any, x: Any) -> jax.Array:
        return jax.lax.with_sharding_constraint(case.unsharded(params, x), along_length)

    expected = in_type("float64", quick_jit(operations(case.unsharded)), params, *operands(case))
    close(in_type("float64", quick_jit(operations(placed)), params, *operands(case)), expected, "float64")


# --- communication --------------------------------------------------------------------------------------------------

ROW = 2 * 6
"""Elements of a sample of x or y: batch 2, 6 channels."""
KERNEL = 5 * 6 * 6
HALOS: dict[str, tuple[dict[str, Any], int]] = {
    # options, and the samples of the halo: forward, and again for the gradient in x
    "same": ({"padding": "same"}, 4),
    "causal": ({"padding": "causal"}, 4),
    "valid": ({"padding": "valid"}, 4),
    "causal, strided": ({"padding": "causal", "stride": 2}, 4),
    "longer than a shard": ({"padding": "causal", "dilation": 3}, 12),
    "circular": ({"padding": "same", "padding_mode": "wrap"}, 4 + 4),
    "reflected": ({"padding": "same", "padding_mode": "reflect"}, 4),
}


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", HALOS)
def test_only_the_halo_is_communicated(name: str) -> None:
    """The forward pass sends the halo. The gradients send it again, and the kernel gradient is summed."""
    options, halo = HALOS[name]
    kernel, x = jnp.ones((5, 6, 6)), jnp.ones((2, 8 * 8, 6))

    def local(kernel: jax.Array, x: jax.Array) -> jax.Array:
        return jconv.sharding.conv1d({"kernel": kernel}, x, axis_name="a", **options)

    along = P(None, "a")
    mapped = jax.shard_map(local, mesh=sharding.make_mesh("8"), in_specs=(P(), along), out_specs=along)
    assert received_elements(jax.jit(mapped).lower(kernel, x).compile().as_text()) == {"collective-permute": halo * ROW}

    def gradients(kernel: jax.Array, x: jax.Array) -> Any:
        return jax.grad(lambda *o: jnp.sum(jnp.sin(local(*o))), (0, 1))(kernel, x)

    mapped = jax.shard_map(gradients, mesh=sharding.make_mesh("8"), in_specs=(P(), along), out_specs=(P(), along))
    text = jax.jit(mapped).lower(kernel, x).compile().as_text()
    assert received_elements(text) == {"collective-permute": 2 * halo * ROW, "all-reduce": KERNEL}


def test_a_batch_sharded_over_another_axis_under_vmap_and_scan() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 3, 24, 6), np.float32)
    kernel = rng.standard_normal((5, 6, 6), np.float32) / 5

    def loss(conv: Callable[..., jax.Array], kernel: jax.Array, x: jax.Array) -> jax.Array:
        def layer(x: jax.Array, _: Any) -> Any:
            return x + jnp.tanh(conv({"kernel": kernel}, x, padding="same", dilation=2)), None

        return jnp.sum(jax.vmap(lambda x: jax.lax.scan(layer, x, None, length=3)[0] ** 2)(x))

    def inside(kernel: jax.Array, x: jax.Array) -> Any:
        def conv(*operands: Any, **options: Any) -> jax.Array:
            return jconv.sharding.conv1d(*operands, axis_name="b", **options)

        value, gradients = jax.value_and_grad(lambda *o: loss(conv, *o), (0, 1))(kernel, x)
        return jax.lax.psum(value, ("a", "b")), gradients

    spec = P("a", None, "b")
    mapped = jax.shard_map(inside, mesh=sharding.make_mesh("4x2"), in_specs=(P(), spec), out_specs=(P(), (P(), spec)))
    expected = jax.jit(jax.value_and_grad(lambda *o: loss(jconv.conv1d, *o), (0, 1)))(kernel, x)
    for a, e in zip(jax.tree.leaves(jax.jit(mapped)(kernel, x)), jax.tree.leaves(expected), strict=True):
        assert deviation(a, e) <= 2e-6


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length must be an integer from 1 to the 64 samples of 8 shards of 8, got 0"),
        ({"length": 65}, "length must be an integer from 1 to the 64 samples of 8 shards of 8, got 65"),
        ({"length": True}, "length must be an integer from 1 to the 64 samples of 8 shards of 8, got True"),
        ({"axis_name": "b"}, r"axis_name must name axes of the mesh of jax.shard_map, \('a',\), got 'b'"),
        ({"lengths": np.array([3])}, "sharding.conv1d does not take lengths; all sequences have the same length"),
        ({"stride": 0}, "stride must be an integer of at least 1, got 0"),
        ({"padding_mode": "mirror"}, "padding_mode must be one of zeros, reflect, edge, wrap, got 'mirror'"),
        ({"params": {}}, r"sharding.conv1d needs params\['kernel'\]; params has no key"),
        ({"params": {"kernel": np.ones((5, 6))}}, r"params\['kernel'\] must have 3 axes, got shape \(5, 6\)"),
        ({"length": 3}, "x has 3 samples, 3 with padding, but kernel_size=5"),
    ],
)
def test_invalid_arguments_are_errors(options: dict[str, Any], message: str) -> None:
    options = {"axis_name": "a", "params": {"kernel": np.ones((5, 6, 6), np.float32)}, **options}

    def local(x: jax.Array) -> jax.Array:
        return jconv.sharding.conv1d(options["params"], x, **{n: v for n, v in options.items() if n != "params"})

    mapped = jax.shard_map(local, mesh=sharding.make_mesh("8"), in_specs=P("a"), out_specs=P("a"))
    with pytest.raises(ValueError, match=message):
        mapped(jnp.ones((64, 6)))


# Each device sums some of the ones. In bfloat16, 256 + 1 is 256.
@pytest.mark.parametrize("options", [{}, {"padding_mode": "edge"}], ids=str)
def test_gradients_of_16_bit_floats_are_summed_in_float32(options: Any) -> None:
    mesh, along_length = sharding.make_mesh("8"), P(None, "a")
    options = {"padding": "causal", **options}

    def gradients(function: Any, params: Any, x: Any) -> Any:
        y, pull = jax.vjp(function, params, x)
        return pull(jnp.ones_like(y))

    def local(params: Any, x: Any) -> Any:
        return jconv.sharding.conv1d(params, x, axis_name="a", **options)

    sharded = jax.shard_map(
        partial(gradients, local), mesh=mesh, in_specs=(P(), along_length), out_specs=(P(), along_length)
    )
    params, x = {"kernel": jnp.ones((500, 1, 1)), "bias": jnp.ones(1)}, jnp.ones((1, 520, 1)).at[0, 100:].set(2.0**-8)
    expected = quick_jit(partial(gradients, partial(jconv.conv1d, **options)))(params, x)
    narrow = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (params, x))
    for found, wanted in zip(jax.tree.leaves(quick_jit(sharded)(*narrow)), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(found.astype("float32"), wanted, rtol=2 * 2.0**-8)


# Tested in the jaxpr, because XLA's CPU compiler sums in float32 in any case.
def test_kernel_gradients_are_summed_over_devices_in_float32() -> None:
    def gradient(kernel: Any, x: Any) -> Any:
        y, pull = jax.vjp(lambda kernel: jconv.conv1d({"kernel": kernel}, x), kernel)
        return pull(jnp.ones_like(y))[0]

    sharded = jax.shard_map(gradient, mesh=sharding.make_mesh("8"), in_specs=(P(), P("a")), out_specs=P())
    jaxpr = jax.make_jaxpr(sharded)(jnp.ones((3, 2, 2), jnp.bfloat16), jnp.ones((8, 9, 2), jnp.bfloat16))
    sums = [e for e in iterate_equations(jaxpr.jaxpr) if e.primitive.name.startswith("psum")]
    assert sums and {str(v.aval.dtype) for e in sums for v in e.invars} == {"float32"}


def test_call_outside_shard_map_raises() -> None:
    with pytest.raises(ValueError, match=r"axis_name must name axes of the mesh of jax.shard_map, \(\), got 't'"):
        jconv.sharding.conv1d({"kernel": np.ones((5, 6, 6), np.float32)}, np.ones((64, 6)), axis_name="t")
