"""`jconv summary`; errors and exit codes of all commands."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jconv
import jconv.keras
from jconv import layers as jl
from jconv.algorithms import ALGORITHMS
from jconv.command import main
from jconv.command import summary as module
from jconv.functional.default_algorithm import resolve
from jconv.version import __version__
from tests.support import command_models, keras_crafted


@pytest.fixture(scope="module")
def series(tmp_path_factory: Any) -> Path:
    return command_models.series(tmp_path_factory.mktemp("models"))


def test_the_table_has_a_line_for_each_node(series: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert main(["summary", str(series), "--length", "64", "--batch", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["node", "layer", "reads", "output", "params", "sees", "FLOPs", "algorithm"]
    assert lines[2].split() == ["series", "input", "(64,", "4)"]
    patch = "patch Conv1D(6, 4, stride=2, padding='same', activation='relu') (32, 6) 102 4 6,144"
    assert " ".join(lines[3].split()[:-1]) == patch and lines[3].split()[-1] in ALGORITHMS
    for text in ("x * 2.0", "x + 1.5", "relu(x)", "x[:, :, 1:]"):
        (line,) = [line for line in lines if f"  {text}  " in line]
        assert re.split(r"  +", line)[-2] == "8"
    assert lines[-2].startswith("params ") and lines[-1].startswith("FLOPs ")


def test_an_unknown_length_is_shown_in_88_columns(series: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "88")
    assert main(["summary", str(series)]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 88 and "(None, 6)" in out and "FLOPs ? for one example" in out
    (patch,) = [line for line in out.splitlines() if line.startswith("patch")]
    assert patch.split()[-2:] == ["?", "?"]


def test_a_model_that_was_saved_before_it_was_built_needs_an_input_shape(tmp_path: Path, capsys: Any) -> None:
    layer = {"class_name": "Conv1D", "config": {"name": "conv1d", "filters": 3, "kernel_size": [2]}}
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [layer]}}
    path = str(keras_crafted.saved(tmp_path, keras_crafted.archive(config)))
    np.save(tmp_path / "x.npy", np.ones((2, 9, 4), "f"))
    given = ["--input-shape", "any,4"]
    run = ["run", path, "--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "y.npy")]
    for command in (["summary", path], ["verify", path], run, ["export", path, "--to", str(tmp_path / "model")]):
        assert main(command) == 2
        assert "give input_shape=, or --input-shape to the jconv command" in capsys.readouterr().err
        assert main([*command, *given]) == 0
    assert np.load(tmp_path / "y.npy").shape == (2, 8, 3)
    capsys.readouterr()
    assert main(["summary", path, "--input-shape", "any,5"]) == 2
    assert main(["summary", str(command_models.series(tmp_path)), *given]) == 2
    assert "input_shape is for a Sequential model that has none" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["summary", path, "--input-shape", "0,4"])
    assert "argument --input-shape: must be an integer of at least 1 or 'any', got '0'" in capsys.readouterr().err


def test_a_layer_that_is_always_in_training_is_marked() -> None:
    model = jconv.sequential([jl.InMode(jl.Dropout(0.5), True), jl.Conv1D(3, 2)], input_shape=(8, 4))
    assert "Dropout(0.5) always in training" in model.summary(batch=1)


def test_json_has_the_data_of_the_table(series: Path, capsys: Any) -> None:
    assert main(["summary", str(series), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["inputs"] == {"series": [None, 4]} and data["outputs"] == ["head"]
    patch = data["nodes"][0]
    assert patch["name"] == "patch" and patch["params"] == 102 and patch["flops"] is None and patch["sees"] == 4
    assert patch["algorithms"] == ["?"] and data["trained"] > 102 and data["state"] == 10


def test_the_algorithm_option_selects_the_algorithm(tmp_path: Path, capsys: Any) -> None:
    network = jconv.sequential([jl.DepthwiseConv1D(1024)], input_shape=(8192, 16))
    jconv.keras.save(tmp_path / "long.keras", network, *network.init(jax.random.key(0)))
    found = {}
    for algorithm in ("auto", "fastest"):
        assert main(["summary", str(tmp_path / "long.keras"), "--json", "--algorithm", algorithm]) == 0
        (found[algorithm],) = json.loads(capsys.readouterr().out)["nodes"][0]["algorithms"]
    assert ALGORITHMS[found["auto"]].LOCAL and not ALGORITHMS[found["fastest"]].LOCAL
    # The default is restored.
    assert resolve("auto") == "auto"
    with pytest.raises(SystemExit) as stop:
        main(["summary", str(tmp_path / "long.keras"), "--algorithm", "fast"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("jconv: argument --algorithm: invalid choice: 'fast' (choose from ")


@pytest.mark.parametrize("command", ["summary", "verify", "run", "export"])
def test_every_command_uses_the_algorithm(command: str, series: Path, monkeypatch: Any) -> None:
    found = []
    module = importlib.import_module(f"jconv.command.{command}")
    monkeypatch.setattr(module, "run", lambda options: found.append(resolve("auto")) or 0)
    needed = {"run": ["--input", "x.npy", "--output", "y.npy"], "export": ["--to", "y"]}.get(command, [])
    for algorithm in ("auto", "fastest"):
        assert main([command, str(series), *needed, "--algorithm", algorithm]) == 0
    assert main([command, str(series), *needed]) == 0
    assert found == ["auto", "fastest", "auto"]


def test_python_m_jconv_runs_the_command(series: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jconv", "summary", str(series)], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0 and done.stdout.startswith("node ") and not done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["summary", "nope.keras"], "jconv: nope.keras: No such file or directory"),
        (
            ["summary", "text.txt"],
            "jconv: text.txt is neither a .keras archive, an HDF5 file nor a JSON file: it begins with b'hello'",
        ),
        (["summary", "series.keras", "--length", "0"], None),
        (["summary", "series.keras", "--max-bytes", "10"], None),
        (["verify", "series.keras", "--seed", "x"], None),
        (["run", "series.keras"], None),
        (["export", "series.keras", "--to", "a", "--platforms", "cpu,abacus"], None),
        (["unknown"], None),
        ([], None),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments: list[str], message: str | None, series: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("series.keras").symlink_to(series)
    Path("text.txt").write_text("hello")
    try:
        code: Any = main(arguments)
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert code == 2 and not out
    assert err.startswith("jconv: ") and err.count("\n") == 1
    assert message is None or err == message + "\n"


def test_a_length_for_a_model_of_fixed_length_is_refused(tmp_path: Path, capsys: Any) -> None:
    path = command_models.bfloat16(tmp_path)
    assert main(["summary", str(path), "--length", "7"]) == 2
    assert capsys.readouterr().err == ("jconv: --length 7: the model has no unknown length; its inputs are x (12, 3)\n")


def test_other_exceptions_have_an_exit_code_and_one_line(series: Path, capsys: Any, monkeypatch: Any) -> None:
    for error, code, message in (
        (KeyboardInterrupt(), 130, "jconv: interrupted\n"),
        (
            ModuleNotFoundError("no", name="h5py"),
            2,
            "jconv: h5py is needed for this and is not installed: pip install h5py\n",
        ),
        (ImportError("reading needs h5py: pip install h5py"), 2, "jconv: reading needs h5py: pip install h5py\n"),
        (ValueError("one line\nand more"), 2, "jconv: one line\n"),
    ):
        monkeypatch.setattr(module, "run", lambda options, error=error: (_ for _ in ()).throw(error))
        assert main(["summary", str(series)]) == code
        assert capsys.readouterr().err == message
    # Errors in jconv's own code keep their traceback.
    monkeypatch.setattr(module, "run", lambda options: {}["missing"])
    with pytest.raises(KeyError):
        main(["summary", str(series)])


def test_a_closed_pipe_ends_the_command(series: Path) -> None:
    command = f"{sys.executable} -m jconv summary {series} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 141 and not done.stderr


def test_help_and_version_are_printed(capsys: Any) -> None:
    for arguments in (["--help"], *([name, "--help"] for name in ("summary", "verify", "run", "export"))):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 120
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"jconv {__version__}\n"
