"""The conditions of a run: device, cores, versions, and the two ceilings of the roofline model."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jconv.planner import cores, this_machine
from training.errors import UserError

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
REPEATS = 15


class Ceilings(NamedTuple):
    """The measured speed of this device: of a large float32 matrix product, and of a large copy (read and write)."""

    gflops: float
    gigabytes: float


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


def ceilings(kind: str) -> Ceilings:
    """Measure both ceilings, as the best of several repeats."""
    n, count = MATRIX[kind], COPIED[kind]
    a, copied = jnp.ones((n, n), jnp.float32), jnp.ones(count)
    multiply = jax.jit(jnp.matmul)
    # The result reuses the memory of the donated argument; with new pages, their allocation would be measured too.
    negate = jax.jit(jnp.negative, donate_argnums=0)

    def copy() -> None:
        nonlocal copied
        copied = jax.block_until_ready(negate(copied))

    product = _fewest_seconds(lambda: jax.block_until_ready(multiply(a, a)))
    return Ceilings(2e-9 * n**3 / product, 8e-9 * count / _fewest_seconds(copy))


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
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def versions_line(versions: Mapping[str, str]) -> str:
    """The versions of packages in one line."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def machine_line(machine: Mapping[str, Any]) -> str:
    """The day and the processor of a `describe`, in one line."""
    return f"{machine['date'][:10]}, {machine['cpu']}, {machine['cores']} cores"


def _fewest_seconds(call: Callable[[], Any]) -> float:
    call()
    return min(once(call)[1] for _ in range(REPEATS))
