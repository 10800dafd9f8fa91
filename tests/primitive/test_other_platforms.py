"""On platforms without measurements each operation lowers to the convolution of lax's automatic differentiation."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv.algorithms import lax_autodiff
from jconv.geometry import Geometry
from tests.support.settings import quick_jit

PLATFORMS = ("cuda", "rocm", "tpu")
IN_CHANNELS, OUT_CHANNELS = 4, 8
# stride, dilation, (low, high). With stride 3, samples remain after the last window. The last crops the input gradient.
WINDOWS = [(1, 1, (0, 0)), (1, 3, (6, 0)), (2, 1, (3, 1)), (3, 2, (0, 2)), (2, 3, (1, 1)), (1, 1, (7, 5))]


def lax_conv(x: Any, kernel: Any, g: Geometry, **options: Any) -> Any:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (g.stride,),
        [(g.low, g.high)],
        rhs_dilation=(g.dilation,),
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=g.groups,
        **options,
    )


def jconv_conv(x: Any, kernel: Any, g: Geometry, **options: Any) -> Any:
    windows = {"stride": g.stride, "dilation": g.dilation, "padding": (g.low, g.high), "groups": g.groups}
    return jconv.conv1d({"kernel": kernel}, x, **windows, **options)


def operations(conv: Any, g: Geometry, **options: Any) -> Any:
    """Output and both gradients."""

    def run(x: Any, kernel: Any) -> Any:
        y, pull = jax.vjp(lambda x, kernel: conv(x, kernel, g, **options), x, kernel)
        return y, *pull(jnp.cos(y))

    return run


def operands(g: Geometry, dtype: Any = jnp.float32, batch: int = 2) -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((batch, g.length, IN_CHANNELS)), dtype)
    return x, jnp.asarray(rng.standard_normal((g.kernel_size, IN_CHANNELS // g.groups, OUT_CHANNELS)), dtype)


def convolutions(function: Any, *arguments: Any, platform: str) -> list[str]:
    """The convolutions of a program, without the names of values: all attributes and types remain."""
    text = jax.jit(function).trace(*arguments).lower(lowering_platforms=(platform,)).as_text()
    found = [line.strip() for line in text.splitlines() if "stablehlo.convolution" in line]
    return sorted(re.sub(r"%[\w#:]+", "%", line) for line in found)


def geometries(groups: int) -> list[Geometry]:
    return [
        Geometry(length=17, kernel_size=size, stride=stride, low=low, high=high, dilation=dilation, groups=groups)
        for size in (1, 3)
        for stride, dilation, (low, high) in WINDOWS
    ]


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_operations_lower_to_the_convolutions_of_lax(groups, platform):
    for g in geometries(groups):
        found = convolutions(operations(jconv_conv, g), *operands(g), platform=platform)
        assert found == convolutions(operations(lax_conv, g), *operands(g), platform=platform), g
        assert len(found) == 3


@pytest.mark.parametrize("options", [{"dtype": jnp.bfloat16}, {"dtype": jnp.float16}, {"batch": 1}], ids=str)
def test_dtypes_and_batches_lower_to_the_convolutions_of_lax(options):
    for g in (Geometry(17, 3, 2, 1, 1), Geometry(17, 3, groups=2)):
        found = convolutions(operations(jconv_conv, g), *operands(g, **options), platform="cuda")
        assert found == convolutions(operations(lax_conv, g), *operands(g, **options), platform="cuda")


@pytest.mark.parametrize("precision", [None, "highest", jax.lax.Precision.HIGH, ("default", "highest")], ids=str)
def test_precision_lowers_to_the_precision_of_lax(precision):
    g = Geometry(17, 3, 2, 1, 1, groups=2)
    run, of_lax = (operations(conv, g, precision=precision) for conv in (jconv_conv, lax_conv))
    assert convolutions(run, *operands(g), platform="cuda") == convolutions(of_lax, *operands(g), platform="cuda")


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0)])
@pytest.mark.parametrize("groups", [1, 2])
def test_vmapped_operations_lower_to_the_convolutions_of_lax(axes, groups):
    g = Geometry(17, 3, 2, 1, 1, groups=groups)
    arguments = [
        array if axis is None else jnp.stack([array] * 3) for array, axis in zip(operands(g), axes, strict=True)
    ]
    mapped = (jax.vmap(operations(conv, g), axes) for conv in (jconv_conv, lax_conv))
    found, of_lax = (convolutions(run, *arguments, platform="cuda") for run in mapped)
    assert found == of_lax


def test_gradients_in_a_scan_lower_to_the_convolutions_of_lax():
    g = Geometry(17, 3, 2, 1, 1, groups=2)

    def scanned(conv: Any) -> Any:
        return lambda x, kernel: jax.lax.scan(lambda c, _: (c, operations(conv, g)(x, c)), kernel, length=2)[1]

    found, of_lax = (convolutions(scanned(conv), *operands(g), platform="tpu") for conv in (jconv_conv, lax_conv))
    assert found == of_lax


def test_empty_batch_can_be_lowered():
    g = Geometry(17, 3, groups=2)
    assert convolutions(operations(jconv_conv, g), *operands(g, batch=0), platform="cuda")


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_lax_autodiff_has_the_values_of_lax(groups):
    """All geometries in one program, on the default platform."""

    def run(arguments: Any) -> Any:
        found = []
        for g, (x, kernel) in zip(geometries(groups), arguments, strict=True):
            y, x_bar, kernel_bar = operations(lax_conv, g)(x, kernel)
            y_bar = jnp.cos(y)
            found.append((lax_autodiff.forward(x, kernel, g), y))
            found.append((lax_autodiff.input_gradient(y_bar, kernel, g), x_bar))
            found.append((lax_autodiff.kernel_gradient(x, y_bar, g), kernel_bar))
        return found

    for found, wanted in quick_jit(run)([operands(g) for g in geometries(groups)]):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_program_for_several_platforms_contains_the_form_of_each():
    g = Geometry(17, 3, 2, 1, 1, groups=2)
    x, kernel = operands(g)
    exported = jax.export.export(jax.jit(operations(jconv_conv, g)), platforms=("cpu", "cuda", "tpu"))(x, kernel)
    forms = re.findall(r"dim_numbers = (\S.*?), window", exported.mlir_module())
    assert "[f, 0, b]x[i, 0, o]->[0, b, f]" in forms  # lax's kernel gradient
    assert forms.count("[b, 0, f]x[0, i, o]->[b, 0, f]") > 1  # both forward passes, and a CPU's gradients
    for found, wanted in zip(exported.call(x, kernel), operations(lax_conv, g)(x, kernel), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_program_for_several_platforms_accepts_a_symbolic_length():
    batch, length = jax.export.symbolic_shape("b, n")
    shapes = jax.ShapeDtypeStruct((batch, length, 4), jnp.float32), jax.ShapeDtypeStruct((3, 2, 8), jnp.float32)

    def run(x: Any, kernel: Any) -> Any:
        y, pull = jax.vjp(lambda x, k: jconv.conv1d({"kernel": k}, x, stride=2, padding="same", groups=2), x, kernel)
        return y, *pull(jnp.cos(y))

    exported = jax.export.export(jax.jit(run), platforms=("cpu", "cuda"))(*shapes)
    x, kernel = operands(Geometry(17, 3, groups=2))
    for found, wanted in zip(exported.call(x, kernel), run(x, kernel), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
