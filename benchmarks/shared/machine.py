"""The conditions of a run: device, cores, versions, and the two ceilings of the roofline model."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jconv.planner import cores, this_machine
from training.errors import UserError

from ..convolution.rows import Row
from .timing import once

PACKAGES = (
    "jconv",
    "jax",
    "jaxlib",
    "numpy",
    "torch",
    "onnxruntime",
    "onnx",
    "flax",
    "keras",
    "tensorflow",
    "sequence_layers",
)
MATRIX = {"cpu": 2048, "gpu": 8192}
COPIED = {"cpu": 2**25, "gpu": 2**28}
"""The size of the copy in float32 elements, much larger than any cache."""


class Ceilings(NamedTuple):
    """The measured speed of this device: of a large float32 matrix product, and of a large copy (read and write)."""

    gflops: float
    gigabytes: float

    def attainable(self, row: Row) -> float:
        """The least milliseconds for the forward pass of a row: the larger of the times of arithmetic and memory."""
        return 1e3 * max(row.flops / (1e9 * self.gflops), row.bytes / (1e9 * self.gigabytes))


def use_device(kind: str) -> Any:
    """Make the first device of a kind JAX's default, with true float32. Raises `UserError` if there is none."""
    try:
        device = jax.devices(kind)[0]
    except RuntimeError:
        raise UserError(f"--device {kind}: JAX finds no {kind} here") from None
    jax.config.update("jax_default_device", device)
    if kind == "gpu":
        # The default on GPUs is TensorFloat-32, with relative errors of 1e-3.
        jax.config.update("jax_default_matmul_precision", "highest")
    return device


def ceilings(kind: str, repeats: int = 15) -> Ceilings:
    """Measure both ceilings, as the best of several repeats."""
    n, count = MATRIX[kind], COPIED[kind]
    a = jnp.ones((n, n), jnp.float32)
    product = _best(jax.jit(jnp.matmul), lambda _: (a, a), repeats)
    # The result reuses the memory of the donated argument; with new pages, their allocation would be measured too.
    copy = _best(jax.jit(jnp.negative, donate_argnums=0), lambda former: (former,), repeats, jnp.ones(count))
    return Ceilings(2e-9 * n**3 / product, 8e-9 * count / copy)


def describe(device: Any) -> dict[str, Any]:
    """Date, machine and versions, for the record."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "platform": device.platform,
        "device": device.device_kind,
        "cpu": this_machine().processor,
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": installed_versions(),
    }


def installed_versions() -> dict[str, str]:
    """The versions of the packages that a comparison may use, by name."""
    return {name: found for name in PACKAGES if (found := _version(name))}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _best(
    function: Callable[..., Any], arguments: Callable[[Any], tuple[Any, ...]], repeats: int, former: Any = None
) -> float:
    """The fewest seconds of a call; `arguments` returns its arguments, given the result of the previous call."""
    seconds = []
    for _ in range(1 + repeats):
        given = arguments(former)
        former, took = once(partial(_finished, function, given))
        seconds.append(took)
    return min(seconds[1:])


def _finished(function: Callable[..., Any], given: tuple[Any, ...]) -> Any:
    return jax.block_until_ready(function(*given))
