"""`jconv run`: results and errors."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl
from numpy.lib import format as npy

import jconv.keras
from jconv.command import main
from tests.support import command_models

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def series(tmp_path_factory: Any) -> Path:
    return command_models.series(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def words(tmp_path_factory: Any) -> Path:
    return command_models.words(tmp_path_factory.mktemp("models"))


def run(model: Path, folder: Path, *more: str, x: str = "x.npy", y: str = "y.npy") -> int:
    return main(["run", str(model), "--input", str(folder / x), "--output", str(folder / y), *more])


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("dtype", ["float64", "int16"])
def test_one_input_is_computed_in_batches(dtype: str, series: Path, tmp_path: Path, capsys: Any) -> None:
    x = (10 * RNG.standard_normal((7, 20, 4))).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    assert run(series, tmp_path, "--batch", "3") == 0
    model, params, state = jconv.keras.load(series)
    expected, _ = model.apply(params, state, np.float32(x))
    y = np.load(tmp_path / "y.npy")
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    assert capsys.readouterr().out == f"{tmp_path / 'y.npy'}: head (7, 3) float32\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "y.npy"]


def test_the_algorithm_option_selects_the_algorithm(series: Path, tmp_path: Path) -> None:
    x = RNG.standard_normal((3, 20, 4)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    assert run(series, tmp_path, "--algorithm", "fastest") == 0
    model, params, state = jconv.keras.load(series, algorithm="fastest")
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model.apply(params, state, x)[0], rtol=1e-5, atol=1e-5)


def test_several_inputs_and_outputs_are_npz_files(words: Path, tmp_path: Path) -> None:
    x = {"numbers": RNG.integers(0, 10, (5, 8)), "features": RNG.standard_normal((5, 8, 2))}
    np.savez(tmp_path / "x.npz", **x)  # pyright: ignore[reportArgumentType]
    assert run(words, tmp_path, "--batch", "4", x="x.npz", y="y.npz") == 0
    model, params, state = jconv.keras.load(words)
    expected, _ = model.apply(params, state, {name: np.asarray(a, np.float32) for name, a in x.items()})
    with np.load(tmp_path / "y.npz") as y:
        assert sorted(y.files) == ["conv", "head"]
        for name in y.files:
            np.testing.assert_allclose(y[name], expected[name], rtol=1e-5, atol=1e-5)


def test_outputs_may_have_the_names_of_numpys_arguments(tmp_path: Path) -> None:
    x = keras.Input((4, 2), name="x")
    outputs = [kl.Dense(1, name="file")(x), kl.Dense(3, name="allow_pickle")(x)]
    path = command_models.save(keras.Model(x, outputs), tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", RNG.standard_normal((2, 4, 2)))
    assert run(path, tmp_path, y="y.npz") == 0
    with np.load(tmp_path / "y.npz") as y:
        assert {name: y[name].shape for name in y.files} == {"file": (2, 4, 1), "allow_pickle": (2, 4, 3)}


def test_a_bfloat16_output_is_written_as_float32(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", RNG.standard_normal((2, 12, 3)))
    assert run(command_models.bfloat16(tmp_path), tmp_path, y="y.npz") == 0
    with np.load(tmp_path / "y.npz") as y:
        assert y["conv"].dtype == np.float32 and y["conv"].shape == (2, 10, 4)


REFUSED_ARRAYS = [
    (np.zeros((20, 4)), "x.npy has shape (20, 4), the model takes (examples, any, 4); for one example write x[None]"),
    (np.zeros((2, 20, 3)), "x.npy has shape (2, 20, 3), the model takes (examples, any, 4)"),
    (np.zeros((0, 20, 4)), "x.npy has no examples"),
    (np.zeros((2, 20, 4), complex), "x.npy must contain real numbers, got complex128"),
    (np.array(["a"]), "x.npy must contain real numbers, got <U1"),
    (np.array([{}]), "x.npy cannot be read: "),
]


@pytest.mark.parametrize(("x", "message"), REFUSED_ARRAYS)
def test_refused_arrays_change_no_file(x: Any, message: str, series: Path, tmp_path: Path, capsys: Any) -> None:
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "y.npy").write_bytes(b"before")
    assert run(series, tmp_path) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"jconv: {message}") and err.count("\n") == 1
    assert (tmp_path / "y.npy").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "y.npy"]


@pytest.mark.parametrize("how", ["stored", "compressed", "declared but missing"])
def test_the_size_of_npz_inputs_is_limited(how: str, words: Path, tmp_path: Path, capsys: Any) -> None:
    """A small file may declare arrays of any size."""
    numbers, features = np.zeros((2000, 8), np.int64), np.zeros((2000, 8, 2))
    save: Any = np.savez if how == "stored" else np.savez_compressed
    save(tmp_path / "x.npz", numbers=numbers, features=features)
    declared = numbers.nbytes + features.nbytes
    if how == "declared but missing":
        header = io.BytesIO()
        npy.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 8, 2)})
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.writestr("features.npy", header.getvalue())
        declared = 10**9 * 16 * 8
    least = declared if how == "declared but missing" else declared + 200
    assert run(words, tmp_path, "--max-bytes", str(least - 1000), x="x.npz", y="y.npz") == 2
    line = capsys.readouterr().err
    assert line.startswith("jconv: x.npz: its arrays declare ") and line.count("\n") == 1
    assert line.endswith(f"bytes, more than the {least - 1000:,} of --max-bytes\n")
    if how != "declared but missing":
        assert run(words, tmp_path, "--max-bytes", str(declared + 2000), x="x.npz", y="y.npz") == 0


def test_headers_for_structured_arrays_are_refused(words: Path, tmp_path: Path, capsys: Any) -> None:
    """NumPy reads version 3.0 too, so such a header could declare any size."""
    header = io.BytesIO()
    npy.write_array_header_2_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 8, 2)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("features.npy", header.getvalue().replace(b"NUMPY\x02", b"NUMPY\x03"))
    assert run(words, tmp_path, x="x.npz", y="y.npz") == 2
    message = "x.npz cannot be read: features.npy has a header of version (3, 0), for structured arrays only"
    assert capsys.readouterr().err == f"jconv: {message}\n"


def test_invalid_files_and_names_are_refused(series: Path, words: Path, tmp_path: Path, capsys: Any) -> None:
    numbers, features = np.zeros((2, 8), int), np.zeros((2, 8, 2))
    np.savez(tmp_path / "names.npz", numbers=numbers)
    np.savez(tmp_path / "counts.npz", numbers=numbers[:1], features=features)
    np.savez(tmp_path / "long.npz", numbers=numbers + 2**31, features=features)
    np.savez(tmp_path / "real.npz", numbers=numbers / 2, features=features)
    np.save(tmp_path / "x.npy", features)
    np.save(tmp_path / "series.npy", np.zeros((2, 20, 4)))
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "short.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-8])
    for model, x, y, message in (
        (words, "names.npz", "y.npz", "names.npz has arrays numbers; the model's inputs are numbers, features"),
        (
            words,
            "x.npy",
            "y.npz",
            "x.npy is a single array; the model has inputs numbers, features: provide a .npz with these",
        ),
        (
            words,
            "counts.npz",
            "y.npz",
            "counts.npz: all inputs must have the same number of examples, got {'numbers': 1",
        ),
        (
            words,
            "real.npz",
            "y.npz",
            "numbers in real.npz must contain integers, for an embedding, got float64",
        ),
        (words, "long.npz", "y.npz", "numbers has integers of more than 32 bits"),
        (
            words,
            "x.npy",
            "y.npy",
            "--output {}: the name must end in .npz, since the model has several outputs: conv, head",
        ),
        (series, "text.npy", "y.npy", "text.npy is neither a .npy nor a .npz file"),
        (series, "broken.npz", "y.npy", "broken.npz cannot be read: "),
        (series, "short.npy", "y.npy", "short.npy cannot be read: "),
        (series, "series.npy", "y.txt", "--output {}: the name must end in .npy or .npz"),
        (series, "series.npy", "series.npy", "{} is the input, which would be overwritten"),
        (series, "series.npy", "none/y.npy", "{}: there is no folder "),
        (series, "none.npy", "y.npy", f"{tmp_path / 'none.npy'}: No such file or directory"),
    ):
        assert run(model, tmp_path, x=x, y=y) == 2
        assert capsys.readouterr().err.startswith("jconv: " + message.replace("{}", str(tmp_path / y), 1)), x
