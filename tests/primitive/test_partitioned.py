"""Programs for several devices: the collectives in the compiled program, and results for unusual shardings."""

from __future__ import annotations

import importlib
import math
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jconv
from benchmarks import sharding
from jconv import planner
from jconv.algorithms import ALGORITHMS
from jconv.planner.choose import USES_XLA_CONVOLUTION
from tests.sharding.test_sharding import close
from tests.support.paths import ROOT
from tests.support.settings import algorithms_for

KINDS = {"automatic": AxisType.Auto, "explicit": AxisType.Explicit}
COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter", "collective-broadcast")
SHAPE = re.compile(r"\b[a-z]\w*\[([\d,]*)\]")


def received_elements(text: str) -> dict[str, int]:
    """Elements that one device receives, for each kind of collective in a compiled program."""
    elements: dict[str, int] = {}
    for line in text.splitlines():
        found = re.search(r" = (.*?) (" + "|".join(COLLECTIVES) + r")(-start)?\(", line)
        if found:
            sizes = [math.prod(int(n) for n in dims.split(",") if n) for dims in SHAPE.findall(found[1])]
            elements[found[2]] = elements.get(found[2], 0) + sum(sizes)
    return elements


def count_convolutions(text: str) -> int:
    return len(re.findall(r" convolution\(", text))


def conv(padding: Any = "causal", **options: Any) -> sharding.Operation:
    return lambda x, kernel: jconv.conv1d({"kernel": kernel}, x, padding=padding, **options)


def compiled(function: Callable[..., Any], mesh: jax.sharding.Mesh, x_spec: P, kernel_spec: P, **shape: int) -> str:
    """The compiled program of a function of x and kernel with these shardings."""
    x, kernel = sharding.operands({"kernel_size": 3, **shape})
    with jax.set_mesh(mesh):
        placed = [
            jax.device_put(o, NamedSharding(mesh, s)) for o, s in zip((x, kernel), (x_spec, kernel_spec), strict=True)
        ]
        return jax.jit(function).lower(*placed).compile().as_text()


# --- nothing is gathered ------------------------------------------------------------------------------------------

KERNEL = 3 * 16 * 16
Y = 16 * 32 * 16
LAYOUTS: dict[str, tuple[dict[str, int], P, P, dict[str, int]]] = {
    # The options, the specs of x and kernel, and the allowed collectives.
    "dense, batch": ({}, P("a"), P(), {"all-reduce": KERNEL}),
    "dense, in channels": ({}, P(None, None, "a"), P(None, "a"), {"all-reduce": Y}),
    "dense, out channels": ({}, P(), P(None, None, "a"), {"all-reduce": Y}),
    "strided, batch": ({"stride": 2}, P("a"), P(), {"all-reduce": KERNEL}),
    "8 groups, batch": ({"groups": 8}, P("a"), P(), {"all-reduce": KERNEL // 8}),
    "8 groups, channels": ({"groups": 8}, P(None, None, "a"), P(None, None, "a"), {}),
    "depthwise, batch": ({"groups": 16}, P("a"), P(), {"all-reduce": KERNEL // 16}),
    "depthwise, channels": ({"groups": 16}, P(None, None, "a"), P(None, None, "a"), {}),
    "depthwise strided, channels": ({"groups": 16, "stride": 2}, P(None, None, "a"), P(None, None, "a"), {}),
}


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("algorithm", ["auto", "lax"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_is_gathered(layout: str, kind: str, algorithm: str) -> None:
    """Forward and both gradients: only contracted axes need communication, a sum (openxla/xla issue 47945)."""
    geometry, x_spec, kernel_spec, allowed = LAYOUTS[layout]
    operations = sharding.value_and_gradients(conv(algorithm=algorithm, **geometry))
    mesh = sharding.make_mesh("8", KINDS[kind])
    text = compiled(operations, mesh, x_spec, kernel_spec, groups=geometry.get("groups", 1))
    assert received_elements(text) == allowed
    if algorithm == "lax":
        assert count_convolutions(text) == 3


def test_gradients_over_two_mesh_axes_are_each_summed_over_one() -> None:
    operations = sharding.value_and_gradients(conv())
    text = compiled(operations, sharding.make_mesh("4x2"), P("a"), P(None, None, "b"))
    # Each device sums the kernel gradient of half the out channels over the batch, and the input gradient of a quarter
    # of the batch over the out channels.
    assert received_elements(text) == {"all-reduce": KERNEL // 2 + Y // 4}


# --- the halo of a sharded length ---------------------------------------------------------------------------------

ROW = 16 * 16
"""Elements of one sample of x (batch 16, 16 channels) or of y."""
HALOS: dict[str, tuple[Any, dict[str, int], int, int]] = {
    # Padding, options, halo of x, halo of y_bar.
    "causal": ("causal", {}, 2, 2),
    "same": ("same", {}, 2, 2),
    "causal, dilated": ("causal", {"dilation": 2}, 4, 4),
    "causal, strided": ("causal", {"stride": 2}, 2, 1),
    "same, strided": ("same", {"stride": 2}, 1, 1),
    "same, strided past the kernel": ((0, 0), {"stride": 4}, 0, 0),
    "same, depthwise": ("same", {"groups": 16}, 2, 2),
}


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", HALOS)
def test_sharded_length_exchanges_only_the_halo(name: str, kind: str) -> None:
    padding, options, of_x, of_y = HALOS[name]
    mesh = sharding.make_mesh("8", KINDS[kind])
    groups = options.get("groups", 1)
    operation = conv(padding, **options)
    forward = received_elements(compiled(operation, mesh, P(None, "a"), P(), groups=groups))
    assert forward == ({"collective-permute": of_x * ROW} if of_x else {})
    text = compiled(sharding.value_and_gradients(operation), mesh, P(None, "a"), P(), groups=groups)
    # The halo of x for the forward pass and for the kernel gradient, the halo of y_bar for the input gradient.
    permuted = (2 * of_x + of_y) * ROW
    expected = {"all-reduce": KERNEL // groups}
    assert received_elements(text) == expected | ({"collective-permute": permuted} if permuted else {})


FAR: dict[str, tuple[Any, dict[str, int], int, int]] = {
    # Padding, options, samples of x and of y_bar that are sent.
    "valid": ("valid", {}, 2, 2),
    "valid, strided": ("valid", {"stride": 2}, 1, 1),
    "farther than a shard": ("causal", {"dilation": 3}, 6, 6),
    # Seven devices with five of 34 outputs each: the last of them begins 3 samples before its shard.
    "full": ("full", {}, 2 + 4 + 1, 1 + 5 + 2),
    # Six devices with two of 11 outputs each: their windows begin 0, 2, ... 10 samples after their shards.
    "a stride that does not divide a shard": ("causal", {"stride": 3}, 2 + 4 + 2, 2 + 2),
}


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", FAR)
def test_any_geometry_exchanges_only_what_its_windows_read(name: str) -> None:
    """On an automatic mesh the shards of y may have different sizes. The loss is one more element to sum."""
    padding, options, of_x, of_y = FAR[name]
    loss = jax.value_and_grad(lambda x, kernel: jnp.sum(jnp.sin(conv(padding, **options)(x, kernel))), (0, 1))
    text = compiled(loss, sharding.make_mesh("8"), P(None, "a"), P())
    assert received_elements(text) == {"all-reduce": KERNEL + 1, "collective-permute": (2 * of_x + of_y) * ROW}


def test_explicit_mesh_gathers_an_output_that_has_no_equal_shards() -> None:
    """An explicit mesh cannot shard 30 outputs over 8 devices: the output is gathered in addition to the halo of x."""
    text = compiled(conv("valid"), sharding.make_mesh("8", AxisType.Explicit), P(None, "a"), P())
    assert received_elements(text) == {"collective-permute": 2 * ROW, "all-gather": 32 * ROW}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
def test_padding_modes_with_a_sharded_batch_and_sharded_channels(mode: str, kind: str) -> None:
    operations = sharding.value_and_gradients(conv("same", padding_mode=mode))
    check_sharded(
        operations, sharding.make_mesh("4x2", KINDS[kind]), (P("a", None, "b"), P()), random(4, 12, 4), random(3, 4, 4)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_padding_modes_with_a_sharded_length(kind: str) -> None:
    """More than the halo is sent: XLA reshards the padded array, and an explicit mesh gathers it."""
    operations = sharding.value_and_gradients(conv("same", padding_mode="wrap"))
    check_sharded(
        operations, sharding.make_mesh("4x2", KINDS[kind]), (P("b", "a"), P()), random(2, 32, 3), random(3, 3, 4)
    )


# --- algorithms and unusual shardings -----------------------------------------------------------------------------


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("algorithm", ["auto", *ALGORITHMS])
def test_each_device_computes_with_the_requested_algorithm(algorithm: str) -> None:
    operations = sharding.value_and_gradients(conv(algorithm=algorithm))
    text = compiled(operations, sharding.make_mesh("8"), P("a"), P())
    assert received_elements(text) == {"all-reduce": KERNEL}
    if algorithm != "auto":
        assert (count_convolutions(text) > 0) == (algorithm in USES_XLA_CONVOLUTION)
        assert (" fft(" in text) == (algorithm == "fft")


def test_first_call_on_several_devices_does_not_warn() -> None:
    """XLA may trace the program of one device on a thread without subnormal numbers, about which NumPy would warn."""
    program = """
import jax, jconv
from benchmarks import sharding
jax.config.update("jax_num_cpu_devices", 8)
x, kernel = sharding.operands({"kernel_size": 3})
operations = sharding.value_and_gradients(lambda x, kernel: jconv.conv1d({"kernel": kernel}, x))
x = jax.device_put(x, jax.NamedSharding(sharding.make_mesh("8"), jax.P("a")))
jax.jit(operations).lower(x, kernel).compile()
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, cwd=ROOT)


def test_dense_call_keeps_the_convolution_of_one_device() -> None:
    x, kernel = jnp.ones((64, 128, 64)), jnp.ones((5, 64, 64))
    mesh = sharding.make_mesh("8")
    placed = jax.device_put(x, NamedSharding(mesh, P("a"))), jax.device_put(kernel, NamedSharding(mesh, P()))
    text = jax.jit(sharding.value_and_gradients(conv(algorithm="lax"))).lower(*placed).compile().as_text()
    assert count_convolutions(text) == 3


def random(*shape: int, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(dtype)


def check_sharded(
    function: Callable[..., Any], mesh: jax.sharding.Mesh, specs: tuple[P, ...], *operands: Any, tolerance: float = 2e-5
) -> Any:
    """Checks that a function of operands with these shardings has the result of one device."""
    placed = [jax.device_put(o, NamedSharding(mesh, s)) for o, s in zip(operands, specs, strict=True)]
    actual = jax.jit(function)(*placed)
    close(actual, jax.jit(function)(*operands), tolerance)
    return actual


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("operands_or_result", ["operands", "result"])
def test_sizes_not_divisible_by_devices(operands_or_result: str) -> None:
    """XLA pads shards to equal sizes, and the padding must not enter a sum."""
    mesh = sharding.make_mesh("8")
    x, kernel = random(10, 30, 12), random(3, 12, 12)
    for spec in (P("a"), P(None, "a"), P(None, None, "a")):
        x_sharding = NamedSharding(mesh, spec)

        def uneven(x: jax.Array, kernel: jax.Array, x_sharding: NamedSharding = x_sharding) -> jax.Array:
            if operands_or_result == "operands":
                # The cosine turns the zeros of the padding into ones.
                return conv()(jnp.cos(jax.lax.with_sharding_constraint(x, x_sharding)), kernel)
            return jax.lax.with_sharding_constraint(conv()(jnp.cos(x), kernel), x_sharding)

        operations = sharding.value_and_gradients(uneven)
        expected = sharding.value_and_gradients(lambda x, kernel: conv()(jnp.cos(x), kernel))
        close(jax.jit(operations)(x, kernel), jax.jit(expected)(x, kernel))


def test_axis_sharded_over_a_factor_of_a_mesh_axis() -> None:
    """After a reshape an axis may be sharded over a factor of a mesh axis, which has no name in the program's mesh."""
    x, kernel = random(16, 32, 16), random(3, 16, 16)
    mesh = sharding.make_mesh("8")
    fewer = sharding.value_and_gradients(lambda x, k: conv()(x.reshape(4, 128, 16), k))
    check_sharded(fewer, mesh, (P("a"), P()), x, kernel)
    grouped = sharding.value_and_gradients(lambda x, k: conv(groups=4)(x, k[:, :4]))
    for kernel_spec in (P(), P(None, None, "a")):
        check_sharded(grouped, mesh, (P(None, None, "a"), kernel_spec), x, kernel)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("kind", KINDS)
def test_length_over_mesh_axes_in_another_order_than_the_mesh(kind: str) -> None:
    for names in (("a", "b"), ("b", "a")):
        operations = sharding.value_and_gradients(conv())
        mesh = sharding.make_mesh("4x2", KINDS[kind])
        check_sharded(operations, mesh, (P(None, names), P()), random(2, 32, 3), random(3, 3, 4))


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (6, 1)])
def test_mesh_sizes_that_are_no_powers_of_two(shape: tuple[int, int]) -> None:
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:6]).reshape(shape), ("a", "b"))
    for spec in (P("a"), P(None, "b"), P("b", "a")):
        check_sharded(sharding.value_and_gradients(conv()), mesh, (spec, P()), random(6, 36, 12), random(3, 12, 12))


def test_devices_in_any_order_and_two_meshes() -> None:
    x, kernel = random(16, 32, 16), random(3, 16, 16)
    operations = sharding.value_and_gradients(conv())
    shuffled = np.array(jax.devices())[[3, 1, 4, 0, 5, 2, 6, 7]]
    check_sharded(operations, jax.sharding.Mesh(shuffled.reshape(4, 2), ("a", "b")), (P("b", "a"), P()), x, kernel)
    check_sharded(operations, jax.sharding.Mesh(shuffled[4:].reshape(2, 2), ("a", "b")), (P("b", "a"), P()), x, kernel)
    one, other = sharding.make_mesh("8"), sharding.make_mesh("4x2")
    placed = jax.device_put(x, NamedSharding(one, P("a"))), jax.device_put(kernel, NamedSharding(other, P(None, "b")))
    close(jax.jit(operations)(*placed), jax.jit(operations)(x, kernel))


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("spec", [P("a"), P(None, "a"), P("b", None, "a"), P("b", "a")], ids=str)
def test_loops_branches_and_rematerialization(spec: P) -> None:
    def loss(x: jax.Array, kernel: jax.Array) -> jax.Array:
        step = jax.checkpoint(conv())
        h = jax.lax.scan(lambda h, _: (jnp.tanh(step(h, kernel)), None), x, None, length=3)[0]
        h = jax.lax.cond(h[0, 0, 0] > 0, lambda h: conv("same")(h, kernel), lambda h: conv("same")(-h, kernel), h)
        return jnp.mean(h**2)

    gradients = jax.value_and_grad(loss, (0, 1))
    check_sharded(gradients, sharding.make_mesh("4x2"), (spec, P()), random(16, 32, 16), 0.1 * random(3, 16, 16))


def test_second_order_and_forward_mode() -> None:
    def curved(x: jax.Array, kernel: jax.Array) -> Any:
        gradient = jax.grad(lambda x: jnp.sum(jnp.sin(conv(stride=2)(x, kernel))))
        return jax.jvp(gradient, (x,), (2 * x,))

    check_sharded(curved, sharding.make_mesh("4x2"), (P("b", "a"), P()), random(16, 32, 16), 0.1 * random(3, 16, 16))


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("specs", [(P("a"), P("a")), (P("b", None, "a"), P()), (P(None, "a"), P("b"))], ids=str)
def test_sharded_ensembles(specs: tuple[P, P]) -> None:
    ensemble = jax.vmap(sharding.value_and_gradients(conv()))
    check_sharded(ensemble, sharding.make_mesh("4x2"), specs, random(4, 16, 32, 16), random(4, 3, 16, 16))


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_16_bit_floats_are_accurate_to_their_rounding(dtype: Any) -> None:
    x, kernel = jnp.asarray(random(16, 32, 16), dtype), jnp.asarray(random(3, 16, 16), dtype)
    mesh = sharding.make_mesh("4x2")
    placed = jax.device_put(x, NamedSharding(mesh, P("a", None, "b"))), jax.device_put(kernel, NamedSharding(mesh, P()))

    def operations(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, ...]:
        y, pull = jax.vjp(conv(), x, kernel)
        return (y, *pull(x))  # A cotangent without rounding errors.

    expected = jax.jit(operations)(x.astype(jnp.float32), kernel.astype(jnp.float32))
    actual = jax.jit(operations)(*placed)
    assert {a.dtype for a in actual} == {jnp.dtype(dtype)}
    close([a.astype(jnp.float32) for a in actual], expected, float(jnp.finfo(dtype).eps))


def test_float64_enabled_only_by_the_caller() -> None:
    """XLA traces the program of one device on another thread, which does not have the caller's settings."""
    with jax.enable_x64(True):
        operands = random(16, 32, 16, dtype=np.float64), random(3, 16, 16, dtype=np.float64)
        for spec in (P("a", None, "b"), P(None, "a")):
            operations = sharding.value_and_gradients(conv())
            check_sharded(operations, sharding.make_mesh("4x2"), (spec, P()), *operands, tolerance=1e-13)


def test_default_matmul_precision_of_the_caller() -> None:
    mesh = sharding.make_mesh("8")
    with jax.default_matmul_precision("highest"):
        assert "operand_precision={highest,highest}" in compiled(conv(algorithm="lax"), mesh, P("a"), P())
    assert "operand_precision={high,high}" in compiled(conv(algorithm="lax", precision="high"), mesh, P("a"), P())
    assert "operand_precision" not in compiled(conv(algorithm="lax"), mesh, P("a"), P())


def test_devices_that_share_cores_use_no_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles_are_fastest = {"geometries": 9, "ratios": {"winograd": 0.5}}
    monkeypatch.setattr(
        importlib.import_module("jconv.planner.choose"), "trees", lambda _: [{"forward": tiles_are_fastest}]
    )
    mesh, x, kernel = sharding.make_mesh("8"), random(128, 512, 128), random(5, 128, 256)
    in_a_shard_map = jax.shard_map(conv(algorithm="fastest"), mesh=mesh, in_specs=(P("a"), P()), out_specs=P("a"))
    for function in (conv(algorithm="fastest"), in_a_shard_map):
        placed = (jax.device_put(o, NamedSharding(mesh, spec)) for o, spec in ((x, P("a")), (kernel, P())))
        assert count_convolutions(jax.jit(function).lower(*placed).compile().as_text()) == 1
    one = (jax.ShapeDtypeStruct(o.shape, o.dtype) for o in (x[:16], kernel))
    assert count_convolutions(jax.jit(conv(algorithm="fastest")).lower(*one).compile().as_text()) == 0


def test_in_shardings_and_donation() -> None:
    mesh = sharding.make_mesh("4x2")
    x, kernel = random(16, 32, 16), random(3, 16, 16)
    operations = sharding.value_and_gradients(conv())
    x_sharding, everywhere = NamedSharding(mesh, P("a", None, "b")), NamedSharding(mesh, P())
    options = {"in_shardings": (x_sharding, everywhere), "out_shardings": (x_sharding, x_sharding, everywhere)}
    expected = jax.jit(operations)(x, kernel)
    close(jax.jit(operations, donate_argnums=0, **options)(jnp.array(x), kernel), expected)


def test_empty_batch_and_no_sharding() -> None:
    mesh = sharding.make_mesh("8")
    empty = jax.device_put(np.zeros((0, 32, 16), np.float32), NamedSharding(mesh, P("a")))
    y, _, kernel_bar = jax.jit(sharding.value_and_gradients(conv()))(empty, random(3, 16, 16))
    assert y.shape == (0, 32, 16)
    assert not kernel_bar.any()
    check_sharded(sharding.value_and_gradients(conv()), mesh, (P(), P()), random(16, 32, 16), random(3, 16, 16))


# --- without custom partitioning ----------------------------------------------------------------------------------


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("with_devices", [True, False])
def test_exported_program_contains_no_custom_partitioning(kind: str, with_devices: bool) -> None:
    """A callback cannot be serialized, so an exported program contains a contraction."""
    mesh = sharding.make_mesh("8", KINDS[kind])
    program_mesh = mesh if with_devices else AbstractMesh((8,), ("a",), (KINDS[kind],))
    x, kernel = random(16, 32, 16), random(3, 16, 16)
    operations = sharding.value_and_gradients(conv())
    shapes = [
        jax.ShapeDtypeStruct(o.shape, o.dtype, sharding=NamedSharding(program_mesh, s))
        for o, s in ((x, P("a")), (kernel, P()))
    ]
    exported = jax.export.export(jax.jit(operations))(*shapes)
    assert "CustomSPMDPartitioning" not in exported.mlir_module()
    loaded = jax.export.deserialize(bytearray(exported.serialize()))
    placed = jax.device_put(x, NamedSharding(mesh, P("a"))), jax.device_put(kernel, NamedSharding(mesh, P()))
    close(jax.jit(loaded.call)(*placed), jax.jit(operations)(x, kernel))


def test_explicitly_sharded_arrays_without_set_mesh() -> None:
    operations = sharding.value_and_gradients(conv())
    for algorithm in ["auto", *algorithms_for("shardy")]:
        operations = sharding.value_and_gradients(conv(algorithm=algorithm))
        check_sharded(
            operations, sharding.make_mesh("8", AxisType.Explicit), (P("a"), P()), random(16, 32, 16), random(3, 16, 16)
        )


def test_results_with_the_gspmd_partitioner() -> None:
    before = jax.config.jax_use_shardy_partitioner  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_use_shardy_partitioner", False)
    try:
        operations = sharding.value_and_gradients(conv())
        for spec in (P("a"), P("b", "a"), P("a", None, "b")):
            check_sharded(operations, sharding.make_mesh("4x2"), (spec, P()), random(16, 32, 16), random(3, 16, 16))
    finally:
        jax.config.update("jax_use_shardy_partitioner", before)


def test_programs_with_the_same_shapes_differ_in_their_text() -> None:
    """The persistent compilation cache uses the text of a program as key, and it contains only a callback's address."""
    mesh = sharding.make_mesh("8")
    x = jax.device_put(random(16, 32, 16), NamedSharding(mesh, P("a")))
    operations = [conv(), conv(dilation=2), conv("same"), conv(algorithm="einsum"), conv(precision="high")]
    texts = [jax.jit(operation).lower(x, random(3, 16, 16)).as_text() for operation in operations]
    with jax.default_matmul_precision("highest"):
        texts.append(jax.jit(conv()).lower(x, random(3, 16, 16)).as_text())
    meanings = {re.sub(r'backend_config = "\d+"', "", text) for text in texts}
    assert all("CustomSPMDPartitioning" in text for text in texts)
    assert len(meanings) == len(texts)


def partitioned_text(**options: Any) -> str:
    """The program of a convolution over eight devices, without the addresses of its callbacks."""
    x = jax.device_put(random(16, 32, 16), NamedSharding(sharding.make_mesh("8"), P("a")))
    text = jax.jit(conv(**options)).lower(x, random(3, 16, 16)).as_text()
    assert "CustomSPMDPartitioning" in text
    return re.sub(r'backend_config = "\d+"', "", text)


def test_text_depends_on_the_version_of_jconv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a new version would reuse programs of the previous one from the persistent compilation cache."""
    before = partitioned_text()
    assert before == partitioned_text()
    monkeypatch.setattr("jconv.primitive.bilinear.__version__", "99.0")
    assert before != partitioned_text()


def test_text_depends_on_the_chosen_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planner's choice depends on the processor and on measurements."""
    before = partitioned_text()
    choose = planner.choose
    monkeypatch.setattr(planner, "choose", lambda *_, **options: choose("einsum", *_[1:], **options))
    assert before != partitioned_text()
