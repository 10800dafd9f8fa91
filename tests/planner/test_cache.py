"""The file of measurements: how it is read and written, and its effect on choices."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv import reference
from jconv.algorithms import OPERATIONS
from jconv.geometry import Geometry
from jconv.planner import cache
from jconv.primitive import bilinear
from jconv.sizes import Sizes

SIZES = Sizes(Geometry(50, 3), 2, 4, 8)
KEY = cache.key("forward", SIZES, jnp.dtype("float32"), None, "cpu")
PARAMS = {"kernel": np.random.default_rng(0).standard_normal((3, 4, 8)).astype(np.float32)}
X = np.random.default_rng(1).standard_normal((2, 50, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache folder that does not exist yet. What was read from other folders is cleared."""
    monkeypatch.setenv("JCONV_CACHE_DIR", str(tmp_path / "cache"))
    _clear_caches()
    yield tmp_path / "cache"
    _clear_caches()


def _clear_caches():
    cache._entries.cache_clear()
    bilinear.clear_cache()


def _write(text: str) -> None:
    path = cache.cache_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    _clear_caches()


def _write_entries(fastest: dict) -> None:
    _write(json.dumps({"format": cache.FORMAT, "fastest": fastest}))


def _entry(fastest: str, auto: str = "matmul") -> dict[str, str]:
    return {"auto": auto, "fastest": fastest}


def _lookup(sizes: Sizes = SIZES, operation: str = "forward", dtype: str = "float32", platform: str = "cpu"):
    return cache.lookup("fastest", operation, sizes, jnp.dtype(dtype), None, platform)


def _lowered(algorithm: str = "fastest", **options) -> str:
    # A new function each time, because a traced function does not choose again.
    return jax.jit(lambda p, x: jconv.conv1d(p, x, algorithm=algorithm, **options)).lower(PARAMS, X).as_text()


def test_missing_file_counts_as_empty(folder):
    assert _lookup() is None
    assert not folder.exists()


BROKEN = [
    "",
    "{",
    "[]",
    "3",
    "null",
    '"fastest"',
    "\0",
    "[" * 100_000,
    "{}",
    json.dumps({"fastest": {KEY: "fft"}}),
    json.dumps({"format": "another, 1", "fastest": {KEY: "fft"}}),
    json.dumps({"format": [cache.FORMAT], "fastest": {KEY: "fft"}}),
    json.dumps({"format": cache.FORMAT}),
    json.dumps({"format": cache.FORMAT, "fastest": [KEY, "fft"]}),
    json.dumps({"format": cache.FORMAT, "fastest": None}),
    json.dumps({"format": cache.FORMAT, "fastest": {KEY: "magic"}}),
    json.dumps({"format": cache.FORMAT, "fastest": {KEY: {"auto": "matmul", "fastest": "auto"}}}),
    json.dumps({"format": cache.FORMAT, "fastest": {KEY: {"auto": "fft", "fastest": "fft"}}}),
    json.dumps({"format": cache.FORMAT, "fastest": {KEY: {"fastest": "fft"}}}),
    json.dumps({"format": cache.FORMAT, "fastest": {KEY: {"auto": "matmul", "fastest": ["fft"]}}}),
    json.dumps({"format": "jconv tuned algorithms, 1", "fastest": {KEY: "fft"}}),
    json.dumps({"format": cache.FORMAT, "fastest": {KEY: ["fft"]}}),
    json.dumps({"format": cache.FORMAT, "fastest": {KEY: None}}),
]


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_broken_file_counts_as_empty_and_is_replaced(text):
    _write(text)
    assert _lookup() is None
    assert "stablehlo.fft" not in _lowered()
    cache.save({KEY: _entry("shifts")})
    assert _lookup() == "shifts"


def test_binary_file_counts_as_empty():
    _write("")
    cache.cache_file().write_bytes(b"\xff\xfe\x00")
    _clear_caches()
    assert _lookup() is None


def test_folder_instead_of_the_file_counts_as_empty():
    cache.cache_file().mkdir(parents=True)
    assert _lookup() is None
    with pytest.raises(OSError):
        cache.save({KEY: _entry("fft")})
    assert not list(cache.cache_file().parent.glob(".tuned*"))


def test_unknown_names_do_not_affect_other_entries():
    _write_entries({KEY: _entry("fft"), "another": "magic", "a third": 3})
    assert _lookup() == "fft"


def test_entries_of_other_machines_are_kept_but_not_used():
    foreign = [KEY.replace(" | jax", "+ | jax"), KEY.replace(f"jax {jax.__version__}", "jax 0.0.1")]
    _write_entries(dict.fromkeys(foreign, _entry("fft")))
    assert KEY not in foreign and _lookup() is None
    cache.save({KEY: _entry("shifts")})
    kept = json.loads(cache.cache_file().read_text(encoding="utf-8"))
    assert kept == {"format": cache.FORMAT, "fastest": {**dict.fromkeys(foreign, _entry("fft")), KEY: _entry("shifts")}}


def test_entries_are_merged_and_newer_ones_replace_older():
    assert cache.save({KEY: _entry("fft"), "one": _entry("lax")}) == cache.cache_file()
    cache.save({"two": _entry("matmul")})
    cache.save({KEY: _entry("shifts")})
    found = json.loads(cache.cache_file().read_text(encoding="utf-8"))["fastest"]
    assert found == {KEY: _entry("shifts"), "one": _entry("lax"), "two": _entry("matmul")}
    assert {path.name for path in cache.cache_file().parent.iterdir()} == {"tuned.json", "tuned.lock"}


def test_entries_of_another_process_are_kept():
    cache.save({KEY: _entry("fft")})
    assert _lookup() == "fft"
    entries = {KEY: _entry("fft"), "from outside": _entry("lax")}
    cache.cache_file().write_text(json.dumps({"format": cache.FORMAT, "fastest": entries}), encoding="utf-8")
    cache.save({"mine": _entry("lax")})
    assert json.loads(cache.cache_file().read_text(encoding="utf-8"))["fastest"] == {**entries, "mine": _entry("lax")}


def test_failed_write_keeps_the_old_file(monkeypatch):
    cache.save({KEY: _entry("fft")})
    before = cache.cache_file().read_bytes()

    def fail(source, target):
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PermissionError, match="no"):
        cache.save({KEY: _entry("shifts")})
    assert cache.cache_file().read_bytes() == before
    assert {path.name for path in cache.cache_file().parent.iterdir()} == {"tuned.json", "tuned.lock"}
    assert _lookup() == "fft"


def test_unwritable_folder_raises(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JCONV_CACHE_DIR", str(tmp_path / "file" / "below"))
    assert _lookup() is None
    with pytest.raises(OSError):
        cache.save({KEY: _entry("fft")})
    with pytest.raises(OSError):
        jconv.tune({"kernel": PARAMS["kernel"][:, :1, :1]}, X[:1, :8, :1], repeats=1)


def test_folder_is_set_by_environment_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_file() == tmp_path / "cache" / "tuned.json"
    monkeypatch.delenv("JCONV_CACHE_DIR")
    assert cache.cache_file() == tmp_path / "xdg" / "jconv" / "tuned.json"
    cache.save({KEY: _entry("fft")})
    assert _lookup() == "fft"
    assert (tmp_path / "xdg" / "jconv" / "tuned.json").exists()
    monkeypatch.setenv("JCONV_CACHE_DIR", "")
    assert cache.cache_file() == tmp_path / "xdg" / "jconv" / "tuned.json"
    for empty in (True, False):
        monkeypatch.setenv("XDG_CACHE_HOME", "") if empty else monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
        assert cache.cache_file() == tmp_path / "home" / ".cache" / "jconv" / "tuned.json"


def test_other_folders_have_other_files(tmp_path, monkeypatch):
    cache.save({KEY: _entry("fft")})
    assert _lookup() == "fft"
    monkeypatch.setenv("JCONV_CACHE_DIR", str(tmp_path / "other"))
    assert _lookup() is None


def test_key_contains_everything_that_a_time_depends_on():
    geometry = Geometry(50, 3, stride=2, low=1, high=1, dilation=2, groups=2)
    others = [SIZES._replace(batch=3), SIZES._replace(in_channels=8), SIZES._replace(out_channels=4)]
    others.append(SIZES._replace(geometry=geometry))
    keys = {cache.key("forward", sizes, jnp.dtype("float32"), None, "cpu") for sizes in [SIZES, *others]}
    keys |= {cache.key(operation, SIZES, jnp.dtype("float32"), None, "cpu") for operation in OPERATIONS}
    keys |= {cache.key("forward", SIZES, jnp.dtype(dtype), None, "cpu") for dtype in ("float64", "bfloat16", "float16")}
    keys |= {cache.key("forward", SIZES, jnp.dtype("float32"), p, "cpu") for p in ("highest", jax.lax.Precision.HIGH)}
    assert len(keys) == 1 + 4 + 2 + 3 + 2
    versions = f"jax {jax.__version__} | jconv {jconv.__version__}"
    assert all("\n" not in key and versions in key for key in keys)
    _write_entries({KEY: _entry("fft")})
    assert [_lookup(sizes) for sizes in others] == [None] * 4
    assert (_lookup(operation="kernel_gradient"), _lookup(dtype="float64")) == (None, None)


def test_lowered_program_uses_the_stored_algorithm():
    assert "stablehlo.fft" not in _lowered()
    _write_entries({KEY: _entry("fft")})
    assert "stablehlo.fft" in _lowered()
    assert "stablehlo.fft" not in _lowered(algorithm="lax")
    assert "stablehlo.fft" not in _lowered(padding="same")  # another geometry
    other_batch = jax.jit(lambda p, x: jconv.conv1d(p, x, algorithm="fastest")).lower(PARAMS, X[:1]).as_text()
    assert "stablehlo.fft" not in other_batch
    np.testing.assert_allclose(jconv.conv1d(PARAMS, X, algorithm="fastest"), reference.conv1d(PARAMS, X), atol=1e-5)


def test_auto_and_fastest_have_separate_entries():
    _write_entries({KEY: _entry("fft", auto="polyphase")})
    assert cache.lookup("auto", "forward", SIZES, jnp.dtype("float32"), None, "cpu") == "polyphase"
    assert cache.lookup("lax", "forward", SIZES, jnp.dtype("float32"), None, "cpu") is None
    plans = [jconv.explain(PARAMS, X, algorithm=algorithm).forward for algorithm in ("auto", "fastest")]
    assert [plan.algorithm for plan in plans] == ["polyphase", "fft"]
    assert {plan.reason for plan in plans} == {"fastest in the measurements of jconv.tune on this machine"}


def test_programs_of_several_processes_use_no_entries(monkeypatch):
    _write_entries({KEY: _entry("fft")})
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert _lookup() is None and "stablehlo.fft" not in _lowered()


def test_concurrent_processes_lose_no_entries():
    code = "import sys; from jconv.planner import cache; "
    code += "[cache.save({f'{sys.argv[1]} {i}': {'auto': 'lax', 'fastest': 'fft'}}) for i in range(20)]"
    processes = [subprocess.Popen([sys.executable, "-c", code, name]) for name in ("one", "two", "three")]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    found = json.loads(cache.cache_file().read_text(encoding="utf-8"))["fastest"]
    assert set(found) == {f"{name} {i}" for name in ("one", "two", "three") for i in range(20)}


def test_entries_are_not_used_for_ensembles():
    _write_entries({KEY: _entry("fft")})
    kernels, xs = np.stack([PARAMS["kernel"]] * 3), np.stack([X] * 3)
    mapped = jax.jit(jax.vmap(lambda kernel, x: jconv.conv1d({"kernel": kernel}, x, algorithm="fastest")))
    assert "stablehlo.fft" not in mapped.lower(kernels, xs).as_text()


@pytest.mark.parametrize("platforms", [["cuda"], ["tpu"], ["cuda", "tpu"]])
def test_program_for_a_missing_platform_uses_no_entries(platforms):
    _write_entries({KEY: _entry("fft")})
    export = jax.export.export(jax.jit(lambda p, x: jconv.conv1d(p, x, algorithm="fastest")), platforms=platforms)
    assert "stablehlo.fft" not in export(PARAMS, X).mlir_module()
