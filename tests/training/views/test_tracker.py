"""`--tracker mlflow`, with a stand-in that records the calls of MLflow, and with MLflow if it is installed."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from training import fit

ROOT = Path(__file__).parents[3]
ARGUMENTS = ["--data", "a.npz", "--model", "fcn", "--skip-proof", "--tracker", "mlflow", "--out", "run"]


class _Client:
    """The part of MLflow's client that is used."""

    calls: ClassVar[list] = []
    fails_at: int | None = None

    def __getattr__(self, name):
        def call(*arguments, **named):
            self.calls.append((name, arguments, named))
            step = named["metrics"][0].step if "metrics" in named else 0
            if self.fails_at is not None and step >= self.fails_at:
                raise OSError("no route to host")
            if name == "get_experiment_by_name":
                return None
            return SimpleNamespace(info=SimpleNamespace(run_id="17")) if name == "create_run" else "3"

        return call


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    y = np.arange(8) % 2
    np.savez("a.npz", x_train=np.sin(np.arange(24) * (0.5 + y[:, None])), y_train=y)
    module, exceptions = ModuleType("mlflow"), ModuleType("mlflow.exceptions")
    client = type("Client", (_Client,), {"calls": []})
    module.MlflowClient = client
    module.entities = SimpleNamespace(
        Metric=lambda key, value, timestamp, step: SimpleNamespace(key=key, value=value, step=step),
        Param=lambda key, value: (key, value),
    )
    exceptions.MlflowException = type("MlflowException", (Exception,), {})
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", exceptions)
    return client


def test_options_curves_and_files_are_logged_and_a_resumed_run_continues(mlflow):
    assert fit.main([*ARGUMENTS, "--epochs", "2"]) == 0
    begun = {name: arguments for name, arguments, _ in mlflow.calls}
    assert (
        begun["create_experiment"] == ("jconv",) and json.loads(Path("run/mlflow.json").read_text())["run_id"] == "17"
    )
    (parameters,) = [named["params"] for name, _, named in mlflow.calls if name == "log_batch" and "params" in named]
    assert ("model", "fcn") in parameters and ("epochs", "2") in parameters
    metrics = [one for name, _, named in mlflow.calls if name == "log_batch" for one in named.get("metrics", ())]
    rows = np.genfromtxt("run/metrics.csv", delimiter=",", names=True)
    losses = [(one.step, one.value) for one in metrics if one.key == "train_loss"]
    assert losses == [(1, rows["train_loss"][0]), (2, rows["train_loss"][1])]
    assert {one.key for one in metrics} == {"learning_rate", "train_loss", "train_accuracy"}
    files = {Path(arguments[1]).name for name, arguments, _ in mlflow.calls if name == "log_artifact"}
    assert {"report.html", "params.npz", "learning_curves.png"} <= files
    assert mlflow.calls[-1][:2] == ("set_terminated", ("17", "FINISHED"))

    mlflow.calls.clear()
    assert fit.main([*ARGUMENTS, "--epochs", "2", "--resume"]) == 0
    assert mlflow.calls[0] == ("update_run", ("17",), {"status": "RUNNING"})
    assert not any(name == "create_run" for name, _, _ in mlflow.calls)
    assert fit.main([*ARGUMENTS, "--epochs", "1", "--overwrite"]) == 0
    assert any(name == "create_run" for name, _, _ in mlflow.calls)


def test_a_damaged_run_id_starts_a_new_run(mlflow):
    """It does not end a resumed run with a traceback."""
    assert fit.main([*ARGUMENTS, "--epochs", "1"]) == 0
    Path("run/mlflow.json").write_bytes(b"")
    assert fit.main([*ARGUMENTS, "--epochs", "1", "--resume"]) == 0
    assert sum(name == "create_run" for name, _, _ in mlflow.calls) == 2
    assert json.loads(Path("run/mlflow.json").read_text()) == {"run_id": "17"}


def test_a_failure_is_reported_once_and_training_continues(mlflow, capsys):
    mlflow.fails_at = 2
    assert fit.main([*ARGUMENTS, "--epochs", "4"]) == 0
    message = "fit: nothing more is logged to MLflow: no route to host; training continues\n"
    assert capsys.readouterr().err.count(message) == 1


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert fit.main(["--tracker", "mlflow", "--out", str(tmp_path / "run")]) == 2
    words = '--tracker mlflow needs MLflow: pip install "mlflow>=3,<4"'
    assert capsys.readouterr() == ("", f"fit: {words}\n")


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="MLflow is not installed")
def test_mlflow_has_the_run(tmp_path):
    y = np.arange(8) % 2
    np.savez(tmp_path / "a.npz", x_train=np.sin(np.arange(24) * (0.5 + y[:, None])), y_train=y)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "training.fit", *ARGUMENTS, "--epochs", "2"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=250)
    number = json.loads((tmp_path / "run" / "mlflow.json").read_text())["run_id"]
    script = f"""import mlflow
client = mlflow.MlflowClient()
run = client.get_run({number!r})
print(run.info.status, run.data.params["model"], len(client.get_metric_history({number!r}, "train_loss")))
print(sorted(file.path for file in client.list_artifacts({number!r}))[:2])
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.stdout.splitlines()[-2:] == ["FINISHED fcn 2", "['calibration.png', 'class_activation_map.png']"]
