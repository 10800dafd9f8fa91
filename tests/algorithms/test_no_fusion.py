"""On CPUs each operation is isolated from fusion, in every place of a program."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import pytest

import jconv
from jconv.algorithms.shared.no_fusion import isolate

ISOLATED = re.compile(r' call\(.*inlineable="false"')

PARAMS = {"kernel": jnp.ones((4, 1, 64))}
X = jnp.ones((2, 96, 64))


def loss(params, x):
    """A reduction over a convolution, which XLA would fuse into one loop in one thread."""
    return jnp.mean(jnp.square(jconv.conv1d(params, x, groups=64, padding="causal")))


def step(x):
    return x + loss(PARAMS, x)


PLACES = {
    "top level": loss,
    "scan": lambda _, x: jax.lax.scan(lambda x, _: (step(x), None), x, None, length=3)[0],
    "while": lambda _, x: jax.lax.while_loop(lambda x: x.sum() < 9, step, x),
    "cond": lambda _, x: jax.lax.cond(x.sum() < 9, step, lambda x: x, x),
    "map": lambda _, x: jax.lax.map(step, x),
    "vmap": jax.vmap(loss, (None, 0)),
}


def count_isolated(function, *args):
    """Number of isolated calls in the compiled program."""
    return len(ISOLATED.findall(jax.jit(function).lower(*args).compile().as_text()))


@pytest.mark.parametrize("place", PLACES)
def test_forward_pass_is_isolated(place):
    assert count_isolated(PLACES[place], PARAMS, X) == 1


@pytest.mark.parametrize(("argnums", "operations"), [(0, 2), (1, 2), ((0, 1), 3)])
def test_gradients_are_isolated(argnums, operations):
    assert count_isolated(jax.grad(loss, argnums), PARAMS, X) == operations


@pytest.mark.parametrize(("algorithm", "calls"), [("auto", 0), ("lax", 0), ("matmul", 0), ("shifts", 1), ("fft", 1)])
def test_matrix_products_are_not_isolated(algorithm, calls):
    params = {"kernel": jnp.ones((1, 64, 32))}
    assert count_isolated(lambda p, x: jnp.mean(jconv.conv1d(p, x, algorithm=algorithm) ** 2), params, X) == calls


def count_computations(groups, out_per_group, calls):
    """Number of computations in the compiled program that differ in more than names."""
    kernel, x = jnp.ones((5, 16, out_per_group * groups)), jnp.ones((2, 96, 16 * groups))
    convolve = partial(jconv.conv1d, groups=groups, padding="causal", algorithm="grouped")
    text = jax.jit(convolve).lower({"kernel": kernel}, x).compile().as_text()
    assert count_isolated(convolve, {"kernel": kernel}, x) == calls * groups + 1
    nameless = re.sub(r"%[\w.-]+|[\w.]+: |, metadata={[^}]*}", "", text)
    return len(set(re.findall(r"^ \(.*?^}", nameless, re.MULTILINE | re.DOTALL)))


def test_groups_compile_to_the_same_computation():
    assert count_computations(4, 32, 1) == count_computations(16, 32, 1) < 8
    # Two outputs per window, and one output at a time for samples that are not finite.
    assert count_computations(4, 16, 3) == count_computations(16, 16, 3) < 24


def test_partitioned_operation_is_not_isolated():
    # A program for two devices on an automatic mesh. tests/primitive/test_partitioned.py tests the compiled program.
    mesh = jax.sharding.AbstractMesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.ShapeDtypeStruct(X.shape, X.dtype, sharding=jax.sharding.NamedSharding(mesh, jax.P("data")))
    lowered = jax.jit(loss).trace(PARAMS, spec).lower(lowering_platforms=("cpu",)).as_text()
    assert "inlineable" not in lowered


def test_operations_on_other_platforms_are_not_isolated():
    for platforms in (("cuda",), ("tpu",), ("cuda", "tpu")):
        lowered = jax.jit(loss).trace(PARAMS, X).lower(lowering_platforms=platforms).as_text()
        assert "inlineable" not in lowered
    for platforms in (("cpu",), ("cpu", "cuda")):  # A program for several platforms contains the form of each.
        assert "inlineable" in jax.jit(loss).trace(PARAMS, X).lower(lowering_platforms=platforms).as_text()


def test_isolated_function_has_the_same_result():
    x = jnp.arange(6.0).reshape(2, 3)
    assert jnp.array_equal(isolate(lambda x, y: x @ y)(x, x.T), x @ x.T)
    assert jnp.array_equal(jax.grad(lambda x: isolate(jnp.sin)(x).sum())(x), jnp.cos(x))
