"""Convolution settings for several tests: 150 fixed ones, random ones, and a fast way to run many.

A random setting is always valid. Its random arrays have the scale of a trained network: `x` and the outputs are about
one.
"""

from __future__ import annotations

import itertools
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv import reference
from jconv.algorithms import ALGORITHMS
from jconv.functional.activations import ACTIVATIONS

# The error bound of each dtype, relative to the largest value of the reference. For 16-bit floats it is one unit in the
# last place of that value.
BOUNDS = {"float32": 2e-6, "float64": 1e-14, "bfloat16": 2.0**-7, "float16": 2.0**-10}
HALF = ("bfloat16", "float16")

# For hundreds of small convolutions that are compiled and run once: LLVM's passes would take most of the time. Tests
# with few programs compile with the default options.
QUICK: dict[str, Any] = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
if jax.__version_info__ < (0, 11):
    QUICK["xla_cpu_use_fusion_emitters"] = False
quick_jit = partial(jax.jit, compiler_options=QUICK)


@dataclass(frozen=True)
class Setting:
    """One convolution: the sizes and the dtype of its arrays, and the options of `conv1d`."""

    lead: tuple[int, ...]
    length: int
    in_channels: int
    out_channels: int
    kernel_size: int
    dtype: str = "float32"
    bias: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def linear(self) -> dict[str, Any]:
        """The options without the activation."""
        return {name: value for name, value in self.options.items() if name != "activation"}

    def in_type(self, dtype: str) -> Setting:
        """The same setting with another dtype."""
        return replace(self, dtype=dtype)

    def arrays(self, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """`(params, x)` in NumPy, with the dtype of this setting."""
        rng = np.random.default_rng(seed)
        dtype = jnp.dtype(self.dtype)
        in_per_group = self.in_channels // self.options.get("groups", 1)
        x = rng.standard_normal((*self.lead, self.length, self.in_channels)).astype(dtype)
        kernel = rng.standard_normal((self.kernel_size, in_per_group, self.out_channels))
        params = {"kernel": (kernel / np.sqrt(self.kernel_size * in_per_group)).astype(dtype)}
        if self.bias:
            params["bias"] = rng.standard_normal(self.out_channels).astype(dtype)
        return params, x

    def cotangent(self, seed: int = 1) -> np.ndarray:
        """A random array of the shape of the output before the activation.

        All values are positive: the gradient of the bias is their sum, and values of both signs could cancel except for
        rounding.
        """
        out_length = jconv.output_length(
            self.length,
            self.kernel_size,
            **{n: v for n, v in self.options.items() if n in ("stride", "padding", "dilation")},
        )
        shape = (*self.lead, out_length, self.out_channels)
        return np.random.default_rng(seed).uniform(0.5, 1.5, shape).astype(jnp.dtype(self.dtype))


# A popular NumPy implementation is correct for 52 of these 150 settings.
SAME_PADDING_SETTINGS = tuple(
    Setting((2,), length, 3, 4, kernel_size, options={"stride": stride, "padding": "same"})
    for length, kernel_size, stride in itertools.product((1, 5, 9, 16, 100, 101), (1, 2, 3, 5, 12), (1, 2, 3, 5, 12))
)

LEADS = ((), (1,), (2,), (3,), (2, 3), (1, 2, 2))


def random_settings(count: int, seed: int = 0, **fixed: Any) -> list[Setting]:
    """`count` valid settings; more settings begin with the same ones. `fixed` overrides options and `dtype`."""
    rng = np.random.default_rng(seed)
    return [_random_setting(rng, fixed) for _ in range(count)]


def _random_setting(rng: np.random.Generator, fixed: dict[str, Any]) -> Setting:
    def pick(values: Sequence[Any], p: Sequence[float] | None = None) -> Any:
        return values[rng.choice(len(values), p=p)]

    groups = int(pick((1, 2, 3, 5), (0.5, 0.2, 0.2, 0.1)))
    # One kernel in twenty has more than 64 taps, above which windows are gathered.
    kernel_size = int(rng.integers(65, 80) if rng.random() < 0.05 else rng.integers(1, 9))
    dilation = int(pick((1, 2, 3, 5), (0.55, 0.2, 0.15, 0.1)))
    span = (kernel_size - 1) * dilation + 1
    length = int(rng.integers(1, 40))
    low, high = (int(n) for n in rng.integers(0, 12, 2))
    padding = pick(("valid", "same", "causal", "full", low, (low, high)))
    options = {
        "stride": int(pick((1, 2, 3, 5), (0.5, 0.25, 0.15, 0.1))),
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "padding_mode": pick(("zeros", "reflect", "edge", "wrap"), (0.55, 0.15, 0.15, 0.15)),
        "activation": pick((None, *sorted(ACTIVATIONS)), (0.5, *[0.5 / len(ACTIVATIONS)] * len(ACTIVATIONS))),
    }
    dtype = fixed.get("dtype", pick(tuple(BOUNDS), (0.4, 0.3, 0.15, 0.15)))
    if dtype in HALF:  # activations compute in 16 bits: tests/functional/test_activations.py
        options["activation"] = None
    options |= {name: value for name, value in fixed.items() if name != "dtype"}
    in_channels, out_channels = groups * int(rng.integers(1, 4)), groups * int(rng.integers(1, 4))
    out_channels += out_channels % 2 * groups * (options["activation"] == "glu")  # glu halves the channels
    padding = options["padding"]
    padded = {"valid": 0, "same": span, "causal": span, "full": 2 * span, low: 2 * low, (low, high): low + high}
    return Setting(
        lead=pick(LEADS),
        length=max(length, span - padded[padding]),
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=kernel_size,
        dtype=dtype,
        bias=bool(rng.random() < 0.7),
        options=options,
    )


# JCONV_TEST_SETTINGS=2000 in the environment is the full sweep; the default settings are the first of these.
COUNT = int(os.environ.get("JCONV_TEST_SETTINGS", "100"))

# By default, a test runs each case with one algorithm, so that the cases are divided among all algorithms; the choice
# differs between versions of JAX. The full sweep runs each case with every algorithm.
IS_FULL_SWEEP = COUNT >= 2000


def algorithms_for(*case: object) -> list[str]:
    """The algorithms that run a case; always the same for the same case and version of JAX."""
    names = sorted(ALGORITHMS)
    if IS_FULL_SWEEP:
        return names
    return [names[zlib.crc32(repr((case, jax.__version_info__[:2])).encode()) % len(names)]]


Operations = dict[str, np.ndarray]


def chunks(settings: Sequence[Setting], size: int = 25) -> list[Any]:
    """The settings as pytest params, each with up to `size` settings of one dtype, which form one program."""
    params = []
    for dtype in BOUNDS:
        of_type = [setting for setting in settings if setting.dtype == dtype]
        for start in range(0, len(of_type), size):
            params.append(pytest.param(of_type[start : start + size], id=f"{dtype}-{start}"))
    return params


def expected_operations(setting: Setting) -> Operations:
    """The output, and the gradients of <cotangent, output before the activation>, by the NumPy reference."""
    params, x = setting.arrays()
    params_bar, x_bar = reference.conv1d_vjp(params, x, setting.cotangent(), **setting.linear)
    bars = {f"{name}_bar": bar for name, bar in params_bar.items()}
    return {"y": reference.conv1d(params, x, **setting.options), "x_bar": x_bar, **bars}


def jax_operations(
    settings: Sequence[Setting], *, gradients: bool = True, algorithms: Sequence[str] = ()
) -> list[dict[str, Operations]]:
    """`expected_operations` in JAX for each setting, by algorithm; the default is `algorithms_for`.

    All settings must have one dtype; they are compiled as one program.
    """

    def one(setting: Setting, params: Any, x: Any, cotangent: Any, algorithm: str) -> dict[str, jax.Array]:
        conv = partial(jconv.conv1d, algorithm=algorithm)
        y = conv(params, x, **setting.options)
        if not gradients:
            return {"y": y}
        _, pull = jax.vjp(lambda p, x: conv(p, x, **setting.linear), params, x)
        params_bar, x_bar = pull(cotangent)
        return {"y": y, "x_bar": x_bar, **{f"{name}_bar": bar for name, bar in params_bar.items()}}

    def program(inputs: Any) -> list[dict[str, dict[str, jax.Array]]]:
        return [
            {name: one(setting, *arrays, name) for name in algorithms or algorithms_for(setting)}
            for setting, arrays in zip(settings, inputs, strict=True)
        ]

    return in_type(settings[0].dtype, quick_jit(program), [(*s.arrays(), s.cotangent()) for s in settings])


def in_type(dtype: str, function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)` with NumPy arrays in and out, in JAX's 64-bit mode if `dtype` is float64."""
    with jax.enable_x64(dtype == "float64"):
        return jax.tree.map(np.asarray, function(*jax.device_put(args)))


def deviation(actual: Any, expected: Any) -> float:
    """`max |actual - expected| / max |expected|` in float64."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max(initial=0) / (np.abs(expected).max(initial=0) or 1))
