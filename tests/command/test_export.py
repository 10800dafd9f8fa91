"""`jconv export`: programs for known and unknown sizes, which run without jconv."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax.export
import keras
import numpy as np
import pytest
from keras import layers as kl

import jconv.keras
from jconv.command import main
from tests.support import command_models

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def series(tmp_path_factory: Any) -> Path:
    return command_models.series(tmp_path_factory.mktemp("models"))


def export(model: Path, *more: str) -> tuple[int, Path]:
    path = model.with_name("program.stablehlo")
    path.unlink(missing_ok=True)
    return main(["export", str(model), "--to", str(path), *more]), path


def call(path: Path, x: Any) -> Any:
    return jax.export.deserialize(bytearray(path.read_bytes())).call(x)


def expected(model: Path, x: Any) -> Any:
    loaded, params, state = jconv.keras.load(model)
    return loaded.apply(params, state, x)[0]


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_a_program_takes_any_batch_and_length_without_jconv(series: Path, capsys: Any) -> None:
    code, path = export(series)
    assert code == 0
    out = capsys.readouterr().out
    assert " bytes for cpu, cuda; series (batch, length, 4); any number of examples, any length of at least 1\n" in out
    xs = [RNG.standard_normal(shape).astype(np.float32) for shape in ((1, 9, 4), (3, 32, 4))]
    given = path.with_name("given.npz")
    np.savez(given, *xs)
    script = (
        "import sys, jax.export, numpy as np\n"
        f"program = jax.export.deserialize(bytearray(open({str(path)!r}, 'rb').read()))\n"
        f"x = np.load({str(given)!r})\n"
        f"np.savez({str(given)!r}, *[program.call(x[name]) for name in x.files])\n"
        "assert not any(name.startswith('jconv') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "JAX_PLATFORMS": "cpu"})
    with np.load(given) as ys:
        for x, name in zip(xs, ys.files, strict=True):
            close(ys[name], expected(series, x))


def test_a_program_of_fixed_sizes_refuses_others(series: Path, capsys: Any) -> None:
    code, path = export(series, "--batch", "2", "--length", "16", "--platforms", "cpu")
    assert code == 0 and "for cpu; series (2, 16, 4); 2 examples, length 16\n" in capsys.readouterr().out
    x = RNG.standard_normal((2, 16, 4)).astype(np.float32)
    close(call(path, x), expected(series, x))
    with pytest.raises(ValueError, match="Shape mismatch"):
        call(path, x[:1])


def test_a_network_of_fixed_length_is_exported_with_this_length(tmp_path: Path, capsys: Any) -> None:
    model = command_models.words(tmp_path)
    code, path = export(model)
    first, second = capsys.readouterr().out.splitlines()
    assert code == 0 and first.endswith("any number of examples, the file's length")
    assert second.startswith("no other length: node 'head': ")
    x = {"numbers": np.int32(RNG.integers(0, 10, (3, 8))), "features": np.float32(RNG.standard_normal((3, 8, 2)))}
    y, want = call(path, x), expected(model, x)
    assert set(y) == {"conv", "head"}
    for name in y:
        close(y[name], want[name])
    code, path = export(model, "--length", "any")
    assert code == 2 and not path.exists()
    assert "words.keras cannot be exported: " in capsys.readouterr().err


def test_several_inputs_share_one_unknown_length(tmp_path: Path, capsys: Any) -> None:
    a, b = keras.Input((None, 2), name="a"), keras.Input((None, 2), name="b")
    model = command_models.save(keras.Model([a, b], kl.Conv1D(3, 3)(kl.Add()([a, b]))), tmp_path / "two.keras")
    code, path = export(model)
    assert code == 0
    assert capsys.readouterr().out.endswith("any length of at least 3, the same for all inputs\n")
    x = {name: np.float32(RNG.standard_normal((2, 5, 2))) for name in ("a", "b")}
    close(call(path, x), expected(model, x))


def test_lengths_must_be_multiples_of_4(tmp_path: Path, capsys: Any) -> None:
    model = command_models.halving(tmp_path)
    code, path = export(model)
    assert code == 0
    assert (
        "x (batch, 4*length, 2); any number of examples, any length of at least 4 that is a" in capsys.readouterr().out
    )
    x = np.float32(RNG.standard_normal((2, 12, 2)))
    close(call(path, x), expected(model, x))
    code, _ = export(model, "--length", "6")
    assert code == 2 and "--length 6: node 'join': " in capsys.readouterr().err


def test_missing_flatbuffers_is_reported(series: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, path = export(series)
    assert code == 2 and not path.exists()
    assert (
        capsys.readouterr().err == "jconv: jax.export needs flatbuffers to write a program: pip install flatbuffers\n"
    )
