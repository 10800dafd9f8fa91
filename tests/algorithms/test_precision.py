"""`precision`: names of one precision give one value; the call checks it and reads JAX's default."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.lax import DotAlgorithmPreset, Precision

import jconv
from jconv.algorithms import ALGORITHMS
from jconv.inspect.equation import trace_conv1d
from jconv.primitive.precision import canonical_precision

PARAMS, X = {"kernel": jnp.ones((3, 4, 8))}, jnp.ones((2, 16, 4))
CALLS: dict[str, Any] = {
    "conv1d": lambda **options: jconv.conv1d(PARAMS, X, **options),
    "depthwise_conv1d": lambda **options: jconv.depthwise_conv1d(PARAMS, X, **options),
    "separable_conv1d": lambda **options: jconv.separable_conv1d(
        {"depthwise_kernel": jnp.ones((3, 4, 1)), "pointwise_kernel": jnp.ones((1, 4, 2))}, X, **options
    ),
    "conv1d_transpose": lambda **options: jconv.conv1d_transpose({"kernel": jnp.ones((3, 8, 4))}, X, **options),
    "lengths": lambda **options: jconv.conv1d(PARAMS, X, lengths=[3, 16], **options),
    "segments": lambda **options: jconv.depthwise_conv1d(
        PARAMS, X, segment_ids=np.zeros((2, 16), int), padding="causal", **options
    ),
}


@pytest.mark.parametrize(
    "precision", ["nonsense", "", "F32", 3, True, ("high",), ["high"] * 3, ("high", None), {}, 1.0]
)
@pytest.mark.parametrize("call", CALLS)
def test_invalid_precision_raises(call, precision):
    for algorithm in ("auto", "fastest", *ALGORITHMS):
        with pytest.raises(ValueError, match=r"^precision must be None, .*, got " + re.escape(repr(precision)) + "$"):
            CALLS[call](precision=precision, algorithm=algorithm)


HIGHEST = [
    "highest",
    "float32",
    Precision.HIGHEST,
    ["highest", "highest"],
    ("float32", Precision.HIGHEST),
    DotAlgorithmPreset.F32_F32_F32,
    DotAlgorithmPreset.F64_F64_F64,
    "F32_F32_F32",
    "F64_F64_F64",
]


@pytest.mark.parametrize("precision", HIGHEST, ids=str)
def test_all_names_of_highest_are_one_value(precision):
    assert canonical_precision(precision) is Precision.HIGHEST
    assert trace_conv1d(PARAMS, X, precision=precision).precision is Precision.HIGHEST
    for algorithm in ALGORITHMS:
        jconv.conv1d(PARAMS, X, precision=precision, algorithm=algorithm)


@pytest.mark.parametrize("precision", ["high", "tensorfloat32", Precision.HIGH, ["high", "high"]], ids=str)
def test_all_names_of_high_are_one_value(precision):
    assert canonical_precision(precision) is Precision.HIGH


def test_pairs_and_presets():
    assert canonical_precision(None) is None
    assert canonical_precision(["default", "highest"]) == (Precision.DEFAULT, Precision.HIGHEST)
    assert canonical_precision(DotAlgorithmPreset.TF32_TF32_F32) is Precision.DEFAULT  # as in lax's convolution
    both_bfloat16 = jax.lax.DotAlgorithm(jnp.bfloat16, jnp.bfloat16, jnp.float32)
    assert canonical_precision(both_bfloat16) is Precision.DEFAULT


def precisions(text: str) -> set[str]:
    return set(re.findall(r"\b(DEFAULT|HIGH|HIGHEST)\b", text))


@pytest.mark.parametrize("algorithm", ["lax", "matmul", "einsum"])
def test_default_precision_is_read_when_the_call_is_traced(algorithm):
    """The context may end before the program is lowered, or begin after the call was traced."""

    def gradients(x: Any) -> Any:
        with jax.default_matmul_precision("highest"):
            y, pull = jax.vjp(lambda x: jconv.conv1d(PARAMS, x, algorithm=algorithm), x)
        return pull(y)

    assert precisions(jax.jit(gradients).lower(X).as_text()) == {"HIGHEST"}
    traced = jax.jit(lambda x: jconv.conv1d(PARAMS, x, algorithm=algorithm)).trace(X)
    with jax.default_matmul_precision("highest"):
        assert precisions(traced.lower().as_text()) == {"DEFAULT"}
        inside = jax.jit(lambda x: jconv.conv1d(PARAMS, x, algorithm=algorithm, precision="default"))
        assert precisions(inside.lower(X).as_text()) == {"DEFAULT"}


@pytest.mark.parametrize("preset", ["F32_F32_F32", "BF16_BF16_F32"])
def test_preset_as_default_precision_is_accepted(preset):
    with jax.default_matmul_precision(preset):
        expected = Precision.HIGHEST if preset == "F32_F32_F32" else Precision.DEFAULT
        assert trace_conv1d(PARAMS, X).precision is expected
        np.testing.assert_allclose(jconv.conv1d(PARAMS, X), jconv.reference.conv1d(PARAMS, X))
