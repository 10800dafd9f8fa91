"""`jconv verify`: correct files, injected errors, and limits on Keras."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from keras import layers as kl

from jconv.command import deviations, main, real_keras, verify
from jconv.functional.default_algorithm import resolve
from jconv.layers import Dense
from tests.support import command_models
from tests.support.keras_two import as_keras_two


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: Any) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="module")
def series(tmp_path_factory: Any) -> Path:
    return command_models.series(tmp_path_factory.mktemp("models"))


# Each line of standard input has a script and its arguments, which are run.
RUN_SCRIPTS = """
import json, sys
for line in sys.stdin:
    script, *sys.argv[1:] = json.loads(line)
    exec(script, {"__name__": "__main__"})
    print("done", flush=True)
"""


@pytest.fixture(scope="module")
def run_script() -> Iterator[Callable[..., Any]]:
    """Replaces `subprocess.run` with one process for all scripts, so that several tests import Keras once."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", RUN_SCRIPTS],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert command[:3] == [sys.executable, "-P", "-c"]
        stdin.write(json.dumps(command[3:]) + "\n")
        stdin.flush()
        assert stdout.readline() == "done\n"
        return subprocess.CompletedProcess(command, 0)

    with process:
        yield run
        stdin.close()


@pytest.fixture
def shared_keras_process(run_script: Callable[..., Any], monkeypatch: Any) -> None:
    """Runs Keras in the process of `run_script` instead of a new one."""
    monkeypatch.setattr(real_keras.subprocess, "run", run_script)


def data_of(capsys: Any) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_correct_file_is_within_the_bounds(series: Path, capsys: Any) -> None:
    assert main(["verify", str(series), "--keras", "--length", "20", "--json"]) == 0
    data = data_of(capsys)
    assert not data["beyond"] and data["note"] == f"by keras {keras.__version__}"
    by_name = {node["name"]: node for node in (*data["nodes"], data["network"])}
    for name in ("patch", "separable", "norm", "mean", "head", "whole network"):
        found = by_name[name]
        assert found["float32"]["deviation"] < found["float32"]["bound"] == 1e-5
        assert found["float64"]["deviation"] < found["float64"]["bound"] == 1e-12
        assert found["Keras"]["deviation"] < found["Keras"]["bound"] == 1e-5
    assert sum("Keras" in node for node in data["nodes"]) == 5


def test_the_algorithm_and_the_matmul_precision_are_set(series: Path, capsys: Any, monkeypatch: Any) -> None:
    found = []

    def network_deviations(*arguments: Any) -> Any:
        found.append((resolve("auto"), jax.config.jax_default_matmul_precision))  # pyright: ignore
        return deviations.network_deviations(*arguments)

    monkeypatch.setattr(verify, "network_deviations", network_deviations)
    arguments = ["verify", str(series), "--no-keras", "--length", "20", "--json"]
    assert main([*arguments, "--algorithm", "fastest"]) == 0
    assert not data_of(capsys)["beyond"]
    # The precision "highest" would exclude Winograd; CPUs compute in full float32 precision without it.
    assert found == [("fastest", None)]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert main(arguments) == 0
    assert found[1:] == [("auto", "highest")]


def test_the_report_has_a_line_for_each_node(series: Path, capsys: Any) -> None:
    assert main(["verify", str(series), "--length", "20", "--no-keras", "--all"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "series.keras: 9 nodes; input series (3, 20, 4), random, seed 0"
    assert lines[1].split() == ["node", "layer", "float32", "float64"]
    assert len(lines) == 4 + 9 + 1 + 2 and lines[-4].startswith("whole network")
    assert lines[-2].startswith("float32 worst ") and lines[-1].startswith("float64 worst ")
    assert "within the bound of 1e-05: " in lines[-2] and "within the bound of 1e-12: " in lines[-1]


def test_the_report_has_the_worst_nodes(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    path = command_models.words(tmp_path)
    monkeypatch.setattr("jconv.command.verify.WORST", 1)
    assert main(["verify", str(path), "--no-keras", "--batch", "2", "--seed", "4"]) == 0
    out = capsys.readouterr().out
    assert "input numbers (2, 8), features (2, 8, 2), random, seed 4" in out
    assert re.search(r"\nthe [12] worst of 5 nodes; --all shows all\n", out)
    assert main(["verify", str(path), "--no-keras", "--all"]) == 0
    assert "--all" not in capsys.readouterr().out


def test_the_bound_of_a_bfloat16_layer_is_larger(tmp_path: Path, capsys: Any) -> None:
    assert main(["verify", str(command_models.bfloat16(tmp_path)), "--no-keras", "--json"]) == 0
    data = data_of(capsys)
    (conv, *_) = data["nodes"]
    assert conv["float32"]["bound"] == data["network"]["float32"]["bound"] == 2e-2
    assert 1e-5 < conv["float32"]["deviation"] < 2e-2
    assert conv["float64"]["bound"] == 1e-12 and conv["float64"]["deviation"] < 1e-12


@pytest.mark.parametrize(("injected", "shown"), [(lambda y: y * (1 + 1e-4), None), (lambda y: y / 0, "inf")])
def test_an_injected_error_is_found_and_named(
    injected: Any, shown: str | None, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    x = keras.Input((6, 5), name="x")
    path = str(command_models.save(keras.Model(x, kl.Dense(3, name="head")(kl.ReLU()(x))), tmp_path / "dense.keras"))
    original = Dense._jax
    deviations._apply_layer.clear_cache()
    monkeypatch.setattr(Dense, "_jax", lambda self, params, x: injected(original(self, params, x)))
    assert main(["verify", path, "--no-keras", "--json"]) == 1
    data = data_of(capsys)
    assert data["beyond"] == ["head", "whole network"]
    head = next(node for node in data["nodes"] if node["name"] == "head")["float64"]["deviation"]
    assert head == shown if shown else head == pytest.approx(1e-4, rel=1e-6)
    assert main(["verify", path, "--no-keras"]) == 1
    out = capsys.readouterr().out
    assert " !" in out and "beyond the bound of 1e-12: " in out
    deviations._apply_layer.clear_cache()
    deviations._apply_model.clear_cache()


def test_input_files_may_contain_nan(series: Path, tmp_path: Path, capsys: Any) -> None:
    x = np.random.default_rng(0).standard_normal((3, 20, 4))
    x[1, 3, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    assert main(["verify", str(series), "--no-keras", "--input", str(tmp_path / "x.npy")]) == 0
    assert "input series (3, 20, 4), x.npy" in capsys.readouterr().out
    np.save(tmp_path / "x.npy", x[0])
    assert main(["verify", str(series), "--no-keras", "--input", str(tmp_path / "x.npy")]) == 2
    assert capsys.readouterr().err == (
        "jconv: x.npy has shape (20, 4), the model takes (examples, any, 4); for one example write x[None]\n"
    )


def test_relative_deviation() -> None:
    of = deviations.relative_deviation
    assert of(np.float32([1, 2]), np.array([1.0, 4.0])) == 0.5
    assert of(np.zeros(3), np.zeros(3)) == of(np.zeros((0, 2)), np.zeros((0, 2))) == 0
    assert of(np.zeros(3), np.zeros((3, 1))) == math.inf
    assert of(np.array([np.inf, 1]), np.array([np.inf, 1])) == 0
    assert of(np.array([np.inf]), np.array([-np.inf])) == math.inf
    assert of(np.array([1.0]), np.array([np.nan])) == math.inf
    assert of(jnp.array([True, False]), np.array([1.0, 0.0])) == 0
    assert of((np.ones(1), np.ones(2)), (np.ones(1), 2 * np.ones(2))) == 0.5
    assert of((np.ones(1),), (np.ones(1), np.ones(2))) == math.inf


def test_keras_runs_only_with_the_option(series: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(real_keras.subprocess, "run", None)
    assert main(["verify", str(series), "--length", "20", "--json"]) == 0
    data = data_of(capsys)
    assert not data["note"] and not any("Keras" in node for node in (*data["nodes"], data["network"]))


def test_keras_loads_a_copy_without_names_of_other_modules(
    run_script: Callable[..., Any], tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    """jconv writes the copy, without the custom initializer."""

    @keras.saving.register_keras_serializable("tests")
    class Own(keras.initializers.Initializer):
        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            return keras.ops.ones(shape)

    x = keras.Input((4,))
    path = command_models.save(keras.Model(x, kl.Dense(2, kernel_initializer=Own())(x)), tmp_path / "own.keras")
    seen: list[bytes] = []

    def watched(command: Any, **options: Any) -> Any:
        with zipfile.ZipFile(command[5]) as file:
            seen.append(file.read("config.json"))
        return run_script(command, **options)

    monkeypatch.setattr(real_keras.subprocess, "run", watched)
    assert main(["verify", str(path), "--keras"]) == 0
    assert "\nKeras   worst " in capsys.readouterr().out
    assert b"Own" in zipfile.ZipFile(path).read("config.json") and b"Own" not in seen[0]


def old_lstm(folder: Path) -> Path:
    """A file of Keras 2 with `hard_sigmoid`, which Keras 3 defines differently."""
    model = keras.Sequential([keras.Input((8, 3)), kl.LSTM(4, recurrent_activation="hard_sigmoid"), kl.Dense(2)])
    as_keras_two(command_models.save(model, folder / "new.h5"), folder / "old.h5")
    return folder / "old.h5"


@pytest.mark.usefixtures("shared_keras_process")
def test_the_bound_for_hard_sigmoid_of_keras_2_is_larger(tmp_path: Path, capsys: Any) -> None:
    assert main(["verify", str(old_lstm(tmp_path)), "--keras", "--json"]) == 0
    network = data_of(capsys)["network"]
    assert network["Keras"]["deviation"] < 1e-5 < network["Keras"]["bound"] == network["float32"]["bound"] == 1e-4


def test_keras_2_gets_only_the_config_and_the_arrays(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    path = old_lstm(tmp_path)
    with h5py.File(path, "r+") as file:
        file["own"] = np.ones(3)
        file.attrs["training_config"] = "{}"
    script = """
import json, sys
import h5py, numpy as np
with h5py.File(sys.argv[2]) as file:
    assert set(file) == {"model_weights"} and file.attrs["keras_version"] in ("2.11.0", b"2.11.0"), dict(file.attrs)
    assert set(file.attrs) == {"model_config", "keras_version", "backend"}
    assert file["model_weights"].attrs["keras_version"] == file.attrs["keras_version"]
    assert json.loads(file.attrs["model_config"])["class_name"] == "Sequential"
    shapes = []
    file["model_weights"].visititems(lambda _, item: shapes.append(item.shape) if hasattr(item, "shape") else None)
assert sorted(shapes) == [(2,), (3, 16), (4, 2), (4, 16), (16,)], shapes
np.savez(sys.argv[4], **{"output/0": np.full((3, 2), 7.0)})
"""
    monkeypatch.setattr(real_keras, "installed_modules", lambda: {2: "keras"})
    monkeypatch.setattr(real_keras, "SCRIPT", script)
    assert main(["verify", str(path), "--keras", "--json"]) == 1
    assert data_of(capsys)["beyond"] == ["whole network"]
    with h5py.File(path, "r+") as opened:
        file: Any = opened
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][-1]["config"]["kernel_initializer"] = {"class_name": "A", "module": "own.code"}
        file.attrs["model_config"] = json.dumps(config)
    assert main(["verify", str(path), "--keras"]) == 2
    assert "the file names the module 'own.code', which is not part of Keras" in capsys.readouterr().err


def test_a_missing_version_of_keras_is_reported(series: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(real_keras, "installed_modules", dict)
    assert main(["verify", str(series), "--length", "20", "--keras"]) == 2
    assert capsys.readouterr().err == "jconv: --keras: Keras is not installed: pip install keras\n"
    monkeypatch.setattr(real_keras, "installed_modules", lambda: {2: "tf_keras"})
    assert main(["verify", str(series), "--length", "20", "--keras"]) == 2
    assert "only Keras 2 is installed, which cannot read files of Keras 3" in capsys.readouterr().err


def test_failures_of_keras_are_reported(series: Path, capsys: Any, monkeypatch: Any) -> None:
    verify = ["verify", str(series), "--length", "20", "--keras"]
    monkeypatch.setattr(real_keras, "SCRIPT", "raise SystemExit('out of luck')")
    assert main(verify) == 2
    assert capsys.readouterr().err == "jconv: series.keras: Keras computed no outputs: out of luck\n"
    monkeypatch.setattr(real_keras, "MAX_SECONDS", 1)
    monkeypatch.setattr(real_keras, "SCRIPT", "while True: pass")
    assert main(verify) == 2
    assert "Keras computed no outputs: it needs more than 1 seconds\n" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="the limit works on Linux only")
def test_the_memory_of_keras_is_limited(series: Path, capsys: Any, monkeypatch: Any) -> None:
    limit, rest = "(resource.RLIMIT_CORE, (0, 0))", "import importlib\n"
    assert limit in real_keras.SCRIPT and rest in real_keras.SCRIPT
    script = real_keras.SCRIPT.replace(rest, "bytearray(2**30)\nprint('none', file=sys.stderr); sys.exit(3)\n", 1)
    monkeypatch.setattr(real_keras, "SCRIPT", script)
    monkeypatch.setattr(real_keras, "MAX_MEMORY", 2**29)
    assert main(["verify", str(series), "--length", "20", "--keras"]) == 2
    assert "Keras computed no outputs: MemoryError" in capsys.readouterr().err


@pytest.mark.usefixtures("shared_keras_process")
def test_saturated_outputs_are_compared_before_their_activation(tmp_path: Path, capsys: Any) -> None:
    """After a saturated softmax, different networks would have the same outputs."""
    x = keras.Input((6,), name="x")
    model = keras.Model(x, kl.Dense(3, activation="softmax", name="head")(kl.Rescaling(1e4, name="loud")(x)))
    path = str(command_models.save(model, tmp_path / "loud.keras"))
    assert main(["verify", path, "--keras", "--json"]) == 0
    data = data_of(capsys)
    assert data["note"].startswith("the outputs are saturated and compared before the activation of head; by keras ")
    for column in ("float32", "Keras"):
        assert 1e-9 < data["network"][column]["deviation"] < data["network"][column]["bound"]
    assert main(["verify", path]) == 0
    assert "before the activation of head" in capsys.readouterr().out.splitlines()[-1]
