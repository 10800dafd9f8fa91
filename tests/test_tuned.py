"""The file of measurements: what is read, what is kept, and what it changes."""

import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jconv
from jconv import bilinear, reference, tuned
from jconv.algorithms import FACES
from jconv.costs import Sizes
from jconv.geometry import Geometry

SIZES = Sizes(Geometry(50, 3), 2, 4, 8)
KEY = tuned.key("forward", SIZES, jnp.dtype("float32"), None, "cpu")
PARAMS = {"kernel": np.random.default_rng(0).standard_normal((3, 4, 8)).astype(np.float32)}
X = np.random.default_rng(1).standard_normal((2, 50, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache folder that does not exist yet; what was read from others is forgotten."""
    monkeypatch.setenv("JCONV_CACHE_DIR", str(tmp_path / "cache"))
    _forget()
    yield tmp_path / "cache"
    _forget()


def _forget():
    tuned._entries.cache_clear()
    bilinear.forget()


def _write(text: str) -> None:
    path = tuned.cache_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    _forget()


def _write_entries(fastest: dict) -> None:
    _write(json.dumps({"format": tuned.FORMAT, "fastest": fastest}))


def _lookup(sizes: Sizes = SIZES, face: str = "forward", dtype: str = "float32", platform: str = "cpu"):
    return tuned.lookup(face, sizes, jnp.dtype(dtype), None, platform)


def _lowered(**options) -> str:
    # A function of its own each time: what was traced before is not asked about again.
    return jax.jit(lambda p, x: jconv.conv1d(p, x, **options)).lower(PARAMS, X).as_text()


def test_a_missing_file_is_an_empty_one(folder):
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
    json.dumps({"format": [tuned.FORMAT], "fastest": {KEY: "fft"}}),
    json.dumps({"format": tuned.FORMAT}),
    json.dumps({"format": tuned.FORMAT, "fastest": [KEY, "fft"]}),
    json.dumps({"format": tuned.FORMAT, "fastest": None}),
    json.dumps({"format": tuned.FORMAT, "fastest": {KEY: "magic"}}),
    json.dumps({"format": tuned.FORMAT, "fastest": {KEY: "auto"}}),
    json.dumps({"format": tuned.FORMAT, "fastest": {KEY: ["fft"]}}),
    json.dumps({"format": tuned.FORMAT, "fastest": {KEY: None}}),
]


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_file_is_an_empty_one_and_is_replaced(text):
    _write(text)
    assert _lookup() is None
    assert "stablehlo.fft" not in _lowered()
    tuned.remember({KEY: "shifts"})
    assert _lookup() == "shifts"


def test_a_file_that_is_no_text_is_an_empty_one():
    _write("")
    tuned.cache_file().write_bytes(b"\xff\xfe\x00")
    _forget()
    assert _lookup() is None


def test_a_folder_in_place_of_the_file_is_an_empty_one():
    tuned.cache_file().mkdir(parents=True)
    assert _lookup() is None
    with pytest.raises(OSError):
        tuned.remember({KEY: "fft"})
    assert not list(tuned.cache_file().parent.glob("tuned-*"))


def test_unknown_names_do_not_hide_the_others():
    _write_entries({KEY: "fft", "another": "magic", "a third": 3})
    assert _lookup() == "fft"


def test_entries_of_other_machines_are_kept_and_not_used():
    foreign = [KEY.replace(" | jax", "+ | jax"), KEY.replace(f"jax {jax.__version__}", "jax 0.0.1")]
    _write_entries(dict.fromkeys(foreign, "fft"))
    assert KEY not in foreign and _lookup() is None
    tuned.remember({KEY: "shifts"})
    kept = json.loads(tuned.cache_file().read_text(encoding="utf-8"))
    assert kept == {"format": tuned.FORMAT, "fastest": {**dict.fromkeys(foreign, "fft"), KEY: "shifts"}}


def test_entries_are_merged_and_the_newest_counts():
    assert tuned.remember({KEY: "fft", "one": "lax"}) == tuned.cache_file()
    tuned.remember({"two": "matmul"})
    tuned.remember({KEY: "shifts"})
    found = json.loads(tuned.cache_file().read_text(encoding="utf-8"))["fastest"]
    assert found == {KEY: "shifts", "one": "lax", "two": "matmul"}
    assert [path.name for path in tuned.cache_file().parent.iterdir()] == ["tuned.json"]


def test_what_another_process_wrote_is_kept():
    tuned.remember({KEY: "fft"})
    assert _lookup() == "fft"
    entries = {KEY: "fft", "from outside": "lax"}
    tuned.cache_file().write_text(json.dumps({"format": tuned.FORMAT, "fastest": entries}), encoding="utf-8")
    tuned.remember({"mine": "lax"})
    assert json.loads(tuned.cache_file().read_text(encoding="utf-8"))["fastest"] == {**entries, "mine": "lax"}


def test_a_failing_write_leaves_the_old_file(monkeypatch):
    tuned.remember({KEY: "fft"})
    before = tuned.cache_file().read_bytes()

    def fail(source, target):
        raise PermissionError("no")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PermissionError, match="no"):
        tuned.remember({KEY: "shifts"})
    assert tuned.cache_file().read_bytes() == before
    assert [path.name for path in tuned.cache_file().parent.iterdir()] == ["tuned.json"]
    assert _lookup() == "fft"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JCONV_CACHE_DIR", str(tmp_path / "file" / "below"))
    assert _lookup() is None
    with pytest.raises(OSError):
        tuned.remember({KEY: "fft"})
    with pytest.raises(OSError):
        jconv.tune({"kernel": PARAMS["kernel"][:, :1, :1]}, X[:1, :8, :1], repeats=1)


def test_the_folder_is_the_environments(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert tuned.cache_file() == tmp_path / "cache" / "tuned.json"
    monkeypatch.delenv("JCONV_CACHE_DIR")
    assert tuned.cache_file() == tmp_path / "xdg" / "jconv" / "tuned.json"
    tuned.remember({KEY: "fft"})
    assert _lookup() == "fft"
    assert (tmp_path / "xdg" / "jconv" / "tuned.json").exists()
    monkeypatch.setenv("JCONV_CACHE_DIR", "")
    assert tuned.cache_file() == tmp_path / "xdg" / "jconv" / "tuned.json"
    for empty in (True, False):
        monkeypatch.setenv("XDG_CACHE_HOME", "") if empty else monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
        assert tuned.cache_file() == tmp_path / "home" / ".cache" / "jconv" / "tuned.json"


def test_another_folder_is_another_file(tmp_path, monkeypatch):
    tuned.remember({KEY: "fft"})
    assert _lookup() == "fft"
    monkeypatch.setenv("JCONV_CACHE_DIR", str(tmp_path / "other"))
    assert _lookup() is None


def test_the_key_says_all_that_a_time_depends_on():
    geometry = Geometry(50, 3, stride=2, low=1, high=1, dilation=2, groups=2)
    others = [SIZES._replace(batch=3), SIZES._replace(in_channels=8), SIZES._replace(out_channels=4)]
    others.append(SIZES._replace(geometry=geometry))
    keys = {tuned.key("forward", sizes, jnp.dtype("float32"), None, "cpu") for sizes in [SIZES, *others]}
    keys |= {tuned.key(face, SIZES, jnp.dtype("float32"), None, "cpu") for face in FACES}
    keys |= {tuned.key("forward", SIZES, jnp.dtype(dtype), None, "cpu") for dtype in ("float64", "bfloat16", "float16")}
    keys |= {tuned.key("forward", SIZES, jnp.dtype("float32"), p, "cpu") for p in ("highest", jax.lax.Precision.HIGH)}
    assert len(keys) == 1 + 4 + 2 + 3 + 2
    versions = f"jax {jax.__version__} | jconv {jconv.__version__}"
    assert all("\n" not in key and versions in key for key in keys)
    _write_entries({KEY: "fft"})
    assert [_lookup(sizes) for sizes in others] == [None] * 4
    assert (_lookup(face="kernel_gradient"), _lookup(dtype="float64")) == (None, None)


def test_what_was_tuned_is_what_is_lowered():
    assert "stablehlo.fft" not in _lowered()
    _write_entries({KEY: "fft"})
    assert "stablehlo.fft" in _lowered()
    assert "stablehlo.fft" not in _lowered(algorithm="lax")
    assert "stablehlo.fft" not in _lowered(padding="same")  # another geometry
    wide = jax.jit(lambda p, x: jconv.conv1d(p, x)).lower(PARAMS, X[:1]).as_text()  # another batch
    assert "stablehlo.fft" not in wide
    np.testing.assert_allclose(jconv.conv1d(PARAMS, X), reference.conv1d(PARAMS, X), atol=1e-5)


def test_several_members_are_not_what_was_tuned():
    _write_entries({KEY: "fft"})
    kernels, xs = np.stack([PARAMS["kernel"]] * 3), np.stack([X] * 3)
    mapped = jax.jit(jax.vmap(lambda kernel, x: jconv.conv1d({"kernel": kernel}, x)))
    assert "stablehlo.fft" not in mapped.lower(kernels, xs).as_text()


@pytest.mark.parametrize("platforms", [["cuda"], ["tpu"], ["cuda", "tpu"]])
def test_a_program_for_a_platform_that_is_not_here(platforms):
    _write_entries({KEY: "fft"})
    export = jax.export.export(jax.jit(lambda p, x: jconv.conv1d(p, x)), platforms=platforms)
    assert "stablehlo.fft" not in export(PARAMS, X).mlir_module()
