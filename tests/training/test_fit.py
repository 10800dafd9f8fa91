"""`python -m training.fit` from end to end: its output, its files, and its errors."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import jconv.functional.convolution
from jconv.primitive import bilinear
from tests.support.paths import ROOT
from training import fit, tasks
from training.data import datasets
from training.options import options
from training.proof import proof
from training.run import run_folder

COMMON = {
    "checkpoints",
    "config.json",
    "metrics.csv",
    "results.json",
    "params.npz",
    "learning_curves.png",
    "report.html",
}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _series(name="a.npz", n=8, length=24):
    """A file of slow and fast waves of two channels."""
    y = np.arange(n) % 2
    x = np.sin(np.arange(length) * np.where(y, 1.5, 0.5)[:, None] + np.arange(n)[:, None])
    np.savez(name, x_train=np.stack([x, x**2], -1), y_train=np.where(y, "fast", "slow"))
    return name


def _command(*arguments, **kwargs):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "training.fit", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **kwargs
    )


def _names(folder):
    return {path.name for path in Path(folder).iterdir()}


def test_two_layer_on_gunpoint(capsys):
    assert fit.main(["--model", "two-layer", "--epochs", "8"]) == 0
    folder = Path("runs/gunpoint-two-layer-0")
    assert _names(folder) == COMMON | {"gradients.json", "predictions.png"}
    metrics = np.genfromtxt(folder / "metrics.csv", delimiter=",", names=True)
    assert metrics.dtype.names[-1] == "test_absolute_error"
    assert metrics["train_loss"][-1] < 0.5 * metrics["train_loss"][0]
    proved = json.loads((folder / "gradients.json").read_text())
    assert proved["passed"] and proved["worst"]["deviation"] < 1e-11
    output = capsys.readouterr()
    task = tasks.forecast(datasets.load("gunpoint"))
    lines = [" ".join(line.split()) for line in output.out.splitlines()]
    assert f"last sample repeated, loss {task.baseline[0]:.4f} {task.baseline[1]:.4f}" in lines
    assert metrics["test_loss"][-1] < task.baseline[1]
    assert "model      two-layer, 3,296 parameters" in output.out
    assert len(output.err.splitlines()) == 8
    # The saved network has the loss of the last line.
    params, state = run_folder.read_params(folder)
    loss = task.loss_reference(task.model.reference(params, state, task.test.x), task.test.y)
    assert loss == pytest.approx(metrics["test_loss"][-1], rel=1e-4)


def test_fcn_on_a_file_is_reproducible_and_never_overwrites_a_run(capsys):
    arguments = ["--data", _series(), "--epochs", "2", "--skip-proof"]
    assert fit.main(arguments) == 0
    folder = Path("runs/a-fcn-0")
    drawn = {"confusion_matrix.png", "calibration.png", "class_activation_map.png", "embeddings.png"}
    assert _names(folder) - {"misclassified.png"} == COMMON | drawn
    assert (folder / "report.html").read_text().count('src="data:image/png;base64,') == len(_names(folder) - COMMON) + 1
    config = json.loads((folder / "config.json").read_text())
    assert config["classes"] == ["fast", "slow"] and config["batch_size"] == 4 and config["series_shape"] == [24, 2]
    output = capsys.readouterr().out
    assert "8 training and no test series of 24 samples, 2 channels, 2 classes" in output
    assert "not proved: --skip-proof" in output
    first = (folder / "metrics.csv").read_bytes()

    assert fit.main(arguments) == 2
    choices = "choose another --out, --overwrite to replace it, or --resume to continue"
    assert capsys.readouterr().err == f"fit: runs/a-fcn-0 contains an earlier run; {choices}\n"
    assert (folder / "metrics.csv").read_bytes() == first

    (folder / "notes.txt").write_text("mine")
    assert fit.main([*arguments, "--overwrite"]) == 0
    assert (folder / "metrics.csv").read_bytes() == first
    assert (folder / "notes.txt").read_text() == "mine"


def test_x64_trains_in_float64_and_json_is_the_only_output(capsys):
    arguments = ["--data", _series(length=120), "--model", "two-layer", "--epochs", "1", "--skip-proof"]
    assert fit.main([*arguments, "--x64", "--device", "cpu", "--out", "run", "--json", "--tensorboard"]) == 0
    output = capsys.readouterr()
    assert "data       a: 8 training" in output.err and "epoch 1 of 1: loss" in output.err
    assert output.out == Path("run/results.json").read_text()
    results = json.loads(output.out)
    assert results["status"] == "done" and results["epochs"] == results["best_epoch"] == 1 and results["proof"] is None
    assert results["run"] == "run" and results["test"] is None and results["began_after_epoch"] == 0
    assert len(list(Path("run/tensorboard/training").iterdir())) == 1
    assert results["command"].startswith("python -m training.fit --data a.npz --model two-layer")
    assert (
        results["given"]["--epochs"] == "1" and results["given"]["--x64"] is True and "--seed" not in results["given"]
    )
    assert datetime.fromisoformat(results["date"]).tzinfo is not None
    assert set(results["training"]) == {"loss", "score"} and results["score_name"] == "absolute_error"
    params, _ = run_folder.read_params(Path("run"))
    assert params["conv1d"]["kernel"].dtype == np.float64
    assert not fit.jax.config.jax_enable_x64


@pytest.mark.parametrize("algorithm", ["auto", "fastest"])
def test_the_algorithm_applies_to_all_convolutions_and_is_recorded(algorithm, monkeypatch):
    chosen = []

    def forward(*operands, **options):
        chosen.append(options["algorithm"])
        return bilinear.forward(*operands, **options)

    monkeypatch.setattr(jconv.functional.convolution, "bilinear", SimpleNamespace(forward=forward))
    arguments = ["--data", "gunpoint", "--model", "two-layer", "--epochs", "1", "--skip-proof", "--out", "run"]
    assert fit.main([*arguments, "--algorithm", algorithm]) == 0
    assert set(chosen) == {algorithm} and len(chosen) >= 2
    assert json.loads(Path("run/config.json").read_text())["options"]["algorithm"] == algorithm


def test_a_failed_proof_stops_the_run(monkeypatch, capsys):
    tensor = proof.TensorResult("conv1d/kernel", (1,), 1.0, False, 1e-6, 2e-6)
    monkeypatch.setattr(proof, "prove", lambda *args: proof.Proof(1e-16, (tensor,), ()))
    assert fit.main(["--model", "two-layer", "--out", "run", "--json"]) == 1
    output = capsys.readouterr()
    results = json.loads(output.out)
    assert results["status"] == "not proved" and results["training"] is results["best_epoch"] is None
    assert results["proof"] == {"of": "gradient of conv1d/kernel", "deviation": 2e-6}
    assert "NOT proved, these deviate by more than 1e-11:\n           2.0e-06  gradient of conv1d/kernel" in output.err
    assert _names("run") == {"config.json", "gradients.json"}
    assert json.loads(Path("run/gradients.json").read_text())["passed"] is False


MISTAKES = {
    ("--data", "gunpont"): "there is no file 'gunpont' and no data set of that name; built in: gunpoint, cbf, bursts; "
    "in aeon's package: ACSF1, ArrowHead, BasicMotions, CardanoSentiment, Covid3Month, GunPoint, ItalyPowerDemand, "
    "JapaneseVowels, OSULeaf, PickupGestureWiimoteZ",
    ("--model", "mlp", "--protocol", "dl4tsc"): "--protocol dl4tsc supports --model fcn and resnet, not mlp",
    ("--data", "JapaneseVowels", "--model", "mlp"): "JapaneseVowels: series have 7 to 29 samples, which the network "
    "does not accept: node 'flatten': Flatten takes no lengths or segment_ids: padding would become features",
    ("--data", "none.csv"): "none.csv: no such file",
    ("--window", "50"): "--window is an option of --task forecast, not of --task classification",
    ("--task", "segment"): "gunpoint: --task segment needs a label for each sample, arrays y_train and y_test of shape "
    "(n, length)",
    ("--task", "denoise", "--model", "fcn"): "--model fcn does not support --task denoise; use unet",
    ("--model", "unet", "--data", "one.csv"): "one: 2 samples are too few for unet: node '2.down': MaxPooling1D: x "
    "has 1 samples, 1 with padding, but kernel_size=2 with dilation=1 reaches over 2; pad x or use a smaller kernel",
    ("--model", "tcn", "--task", "forecast", "--target-channel", "2"): "--target-channel 2: series of gunpoint have 1 "
    "channel",
    ("--channels", "first"): "gunpoint: --channels first is for arrays: files that end in .npz or .npy",
    (
        "--seed",
        "429496730",
        "--members",
        "5",
    ): "--seed 429496730 with --members 5 uses seeds up to 2147483654; they must be at most 2147483647",
    ("--folds", "51"): "51 folds are more than the 50 training series of gunpoint",
    (
        "--task",
        "forecast",
        "--augment",
        "warp=0.1",
    ): "--augment warp does not fit --task forecast, which supports jitter",
    ("--batch-size", "51"): "--batch-size 51 is more than the 50 training examples",
    ("--data", "one.csv"): "one: all training series have the label '1'; at least two classes are needed",
    ("--data", "one.csv", "--model", "two-layer"): "one: a forecast of 16 samples from 100 needs series of at "
    "least 116 samples; these have 2; --window and --horizon change these sizes",
    ("--out", "."): ". is not empty and not a run folder, it has no config.json; choose another --out",
    ("--out", "one.csv"): "one.csv is a file; --out must name a folder",
    ("--out", "one.csv/run"): "one.csv/run: cannot be written to: Not a directory",
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, capsys):
    Path("one.csv").write_text("1,2,3\n1,4,5\n")
    assert fit.main(list(arguments)) == 2
    assert capsys.readouterr().err == f"fit: {MISTAKES[arguments]}\n"
    assert _names(".") == {"one.csv"}


OPTION_MISTAKES = {
    ("--epochs", "0"): "argument --epochs: must be a whole number of at least 1, got '0'",
    ("--epochs", "ten"): "argument --epochs: must be a whole number of at least 1, got 'ten'",
    ("--batch-size", "-1"): "argument --batch-size: must be a whole number of at least 1, got '-1'",
    ("--seed", "-1"): "argument --seed: must be a whole number of at least 0, got '-1'",
    ("--learning-rate", "0"): "argument --learning-rate: must be a number above zero, got '0'",
    ("--learning-rate", "nan"): "argument --learning-rate: must be a number above zero, got 'nan'",
    ("--validation", "1"): "argument --validation: must be a share between zero and one, got '1'",
    ("--epoch", "3"): "unrecognized arguments: --epoch 3",
    ("--seed", str(2**31)): f"argument --seed: must be at most {2**31 - 1}, a 32-bit number in JAX, got '{2**31}'",
    ("--fold", "6/5"): "argument --fold: must be one of at least two folds, as 2/5, got '6/5'",
    ("--folds", "3", "--validation", "0.2"): "argument --validation: not allowed with argument --folds",
    ("--target-channel", "0"): "argument --target-channel: must be the number of a channel, from 1, or all, got '0'",
    ("--augment", "slice=2"): "argument --augment: slice must be a share between zero and one, got '2'",
    ("--out",): "argument --out: expected one argument",
    ("--process-id", "0"): "argument --process-id: applies to one of several processes, and needs --processes N",
    ("--coordinator", "a:1"): "argument --coordinator: applies to one of several processes, and needs --processes N",
    ("--processes", "2", "--coordinator", "here"): "argument --coordinator: must be HOST:PORT, as 10.0.0.1:4321, got "
    "'here'",
    ("--processes", "2", "--process-id", "2"): "argument --process-id: must be less than the 2 of --processes, got 2",
}


@pytest.mark.parametrize("arguments", OPTION_MISTAKES, ids=" ".join)
def test_errors_in_options_are_one_line_and_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        fit.main(list(arguments))
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"fit: {OPTION_MISTAKES[arguments]}; --help explains the options\n"


def test_the_error_for_an_unknown_model_lists_all_models(capsys):
    with pytest.raises(SystemExit):
        fit.main(["--model", "resnet50"])
    assert re.match(r"fit: argument --model: invalid choice: 'resnet50' .*fcn.*two-layer", capsys.readouterr().err)


def test_a_missing_gpu_is_an_error(capsys, monkeypatch):
    def none(backend):
        raise RuntimeError("Unknown backend")

    monkeypatch.setattr(fit.jax, "local_devices", none)
    assert fit.main(["--device", "gpu"]) == 2
    assert capsys.readouterr().err == "fit: --device gpu: JAX finds no gpu here\n"


@pytest.mark.parametrize("package", ["tqdm", "matplotlib", "orbax.checkpoint"])
def test_a_missing_package_names_the_extra(package, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    assert fit.main([]) == 2
    assert capsys.readouterr().err == (
        "fit: training needs tqdm, matplotlib and orbax-checkpoint: "
        'pip install "tqdm>=4.66" "matplotlib>=3.10" "orbax-checkpoint>=0.12,<0.13"\n'
    )


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        fit.main(["--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for word in ("examples:", "python -m training.fit --model two-layer", "x_train", "exit codes", "default 0.001"):
        assert word in out
    for option in {*options.Options._fields} - {"command", "given"}:
        assert f"--{option.replace('_', '-')}" in out
    assert max(map(len, out.splitlines())) <= 120


def test_the_exit_code_of_the_process():
    process = _command("--data", "none.csv", "--json")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (2, "", "fit: none.csv: no such file\n")


def test_ctrl_c_saves_the_results_so_far():
    process = _command("--model", "two-layer", "--skip-proof", "--epochs", "100000", "--out", "run")
    assert process.stdout.readline().startswith("data       gunpoint")
    # Long enough for the first epochs; if not, the first one is still finished and saved.
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    done = int(re.search(r"fit: interrupted after epoch (\d+) of 100000; the results so far are saved", out)[1])
    assert "Traceback" not in err
    assert _names("run") == COMMON | {"predictions.png"}
    assert len(Path("run/metrics.csv").read_text().splitlines()) == done + 1
    assert run_folder.read_params(Path("run"))[0]["conv1d"]["kernel"].shape == (12, 1, 16)
