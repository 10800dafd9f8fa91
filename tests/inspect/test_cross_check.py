"""`cross_check`: the deviations of every algorithm from the reference."""

import types

import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv.algorithms import ALGORITHMS, OPERATIONS, lax
from tests.support.settings import BOUNDS, HALF, in_type

PARAMS = {"kernel": np.ones((4, 3, 5), np.float32), "bias": np.ones(5, np.float32)}
X = np.random.default_rng(0).standard_normal((2, 10, 3)).astype(np.float32)


def test_table_contains_every_algorithm_and_operation():
    table = jconv.cross_check(PARAMS, X, padding="same", stride=2, activation="gelu")
    assert table.operations == OPERATIONS == ("forward", "input_gradient", "kernel_gradient")
    assert set(table.worst) == set(ALGORITHMS)
    assert table.dtype == "float32"
    assert table.max() == max(d for row in table.worst.values() for d in row) <= BOUNDS["float32"]


def test_table_has_one_row_per_algorithm():
    title, *rows = str(jconv.cross_check(PARAMS, X)).splitlines()
    assert title.split() == ["float32", "forward", "input_gradient", "kernel_gradient"]
    assert [row.split()[0] for row in rows] == list(ALGORITHMS)
    assert all(len(row) == len(title) for row in rows)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_each_dtype_is_compared_without_conversion(dtype):
    params = {name: p.astype(jnp.dtype(dtype)) for name, p in PARAMS.items()}
    found = []
    in_type(dtype, lambda p, x: found.append(jconv.cross_check(p, x, groups=1)), params, X.astype(jnp.dtype(dtype)))
    assert found[0].dtype == dtype
    assert found[0].max() <= BOUNDS[dtype]
    assert dtype not in HALF or found[0].max() > BOUNDS["float32"]  # It did run in 16 bits.


@pytest.mark.parametrize("operation", OPERATIONS)
def test_wrong_operation_shows_only_in_its_own_cell(operation, monkeypatch):
    def wrong(*args):
        return getattr(lax, operation)(*args) * (1 + 1e-4)

    # A new name, because compiled programs are cached by name.
    broken = types.ModuleType(f"wrong {operation}")
    for name in OPERATIONS:
        setattr(broken, name, wrong if name == operation else getattr(lax, name))
    monkeypatch.setitem(ALGORITHMS, broken.__name__, broken)
    table = jconv.cross_check(PARAMS, X)
    for name, row in table.worst.items():
        for cell, deviation in zip(OPERATIONS, row, strict=True):
            assert (deviation > 9e-5) == (name == broken.__name__ and cell == operation)


def test_options_are_passed_to_the_convolution():
    def wrong(y):
        return y * (2.0 if isinstance(y, jnp.ndarray) else 1.0)

    table = jconv.cross_check(PARAMS, X, activation=wrong, precision="highest")
    assert all(row[0] == pytest.approx(1) and max(row[1:]) <= BOUNDS["float32"] for row in table.worst.values())
