"""Settings of all tests: Keras's backend, eight devices, a compilation cache, and deterministic property tests."""

import atexit
import gc
import os
import shutil
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import settings

os.environ.setdefault("KERAS_BACKEND", "jax")

# Tests do not measure speed, so LLVM's passes are disabled. XLA's passes all run.
XLA_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
# JAX 0.10 can compile without the fusion emitters, in half the time. Later versions cannot.
QUICK_EMITTERS = " --xla_cpu_use_fusion_emitters=false" if jax.__version_info__ < (0, 11) else ""

# Simulated devices for the sharding tests. Everything else runs on the first one.
jax.config.update("jax_num_cpu_devices", 8)

# Each operation of a program records only the innermost frame of the Python stack, which is faster to trace.
jax.config.update("jax_include_full_tracebacks_in_locations", False)

# Each new geometry is compiled, so examples have no deadline.
for profile, examples in (("default", 3), ("complete", 15)):
    settings.register_profile(f"jconv-{profile}", deadline=None, derandomize=True, max_examples=examples)

CACHE_BYTES = 300_000_000
MARKERS = pytest.StashKey[dict[str, list[set[str]]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Sets how programs are compiled, the number of examples of property tests, and the folders of test processes."""
    is_default = "not complete" in config.option.markexpr
    settings.load_profile("jconv-default" if is_default else "jconv-complete")
    # XLA reads this variable when it compiles the first program. Subprocesses inherit it.
    os.environ.setdefault("XLA_FLAGS", XLA_FLAGS + QUICK_EMITTERS * is_default)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        # pytest's workers inherit this environment. The process that starts them deletes the folder.
        own = tempfile.mkdtemp(prefix="jconv-tests-")
        atexit.register(shutil.rmtree, own, ignore_errors=True)
        os.environ["JCONV_TEST_FOLDER"] = own
        # Programs of any size are compiled once for all processes and, with pytest's cache, for later runs. Reading a
        # program takes a fifth of the time of compiling it.
        cache = getattr(config, "cache", None)
        compiled = cache.mkdir("jax") if cache else Path(own, "jax")
        # The cache only grows, because programs with custom partitioning are never found again.
        if cache and sum(file.stat().st_size for file in compiled.iterdir()) > CACHE_BYTES:
            shutil.rmtree(compiled)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(compiled)
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    # JAX read the environment when it was imported above, before these variables were set.
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    # Measurements of jconv.tune on this machine must not affect the tests.
    os.environ["JCONV_CACHE_DIR"] = tempfile.mkdtemp(dir=os.environ["JCONV_TEST_FOLDER"])


def pytest_collection_finish() -> None:
    """Excludes imported modules and collected tests from garbage collection, which is faster."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def quick_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws Keras's weights with NumPy, because JAX compiles a program for each shape."""
    from keras.src.initializers import random_initializers

    rng = np.random.default_rng(0)

    def draw(self: object, shape: tuple[int, ...], dtype: str | None = None) -> object:
        return (0.3 * rng.standard_normal(shape)).astype(dtype or "float32")

    for name in ("VarianceScaling", "Orthogonal", "RandomUniform"):
        monkeypatch.setattr(getattr(random_initializers, name), "__call__", draw)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks as `complete` the cases of a function with `default_cases(n)` that do not run by default.

    The first case always runs. The cases that run are not evenly spaced, because with a constant step all of them could
    have the same value of a parameter.
    """
    functions: dict[str, list[pytest.Item]] = {}
    for item in items:
        functions.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for cases in functions.values():
        marker = cases[0].get_closest_marker("default_cases")
        if marker is not None:
            (count,) = marker.args
            for index in sorted(range(len(cases)), key=lambda index: index * 0.618034 % 1)[count:]:
                cases[index].add_marker("complete")
    config.stash[MARKERS] = {
        name: [{marker.name for marker in case.iter_markers()} for case in cases] for name, cases in functions.items()
    }


@pytest.fixture
def collected_markers(request: pytest.FixtureRequest) -> dict[str, list[set[str]]]:
    """For each collected test function, the marker names of each of its cases, before any case is deselected."""
    return request.config.stash[MARKERS]
