"""`training.predict`: answers in the units of the data, equal to what the task's own evaluation computes."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from training import loop, predict
from training.asked import asked
from training.data import datasets
from training.learner import first_learner
from training.options import parse
from training.run import run_folder, trained
from training.run.config import config

pytestmark = pytest.mark.usefixtures("quick_compile")

KINDS = {
    "classification": ["--model", "fcn", "--protocol", "dl4tsc"],
    "regression": ["--model", "fcn"],
    "forecast": ["--model", "tcn", "--task", "forecast", "--window", "20", "--horizon", "3", "--target-channel", "all"],
    "denoise": ["--task", "denoise"],
    "segment": ["--task", "segment"],
}


def _file(folder: Path, kind: str) -> str:
    rng = np.random.default_rng(0)
    x = 5 + 3 * rng.normal(size=(12, 32, 2))
    labels = {"regression": rng.normal(size=12), "segment": rng.integers(0, 3, (12, 32))}
    y = labels.get(kind, np.arange(12) % 3)
    path = folder / "drawn.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x[:5], y_test=y[:5])
    return str(path)


def _run(folder: Path, kind: str, *more: str) -> tuple[Any, Any, Any]:
    """A run folder of a network as it was drawn, with its task and learner."""
    arguments = [*KINDS[kind], "--data", _file(folder, kind), "--epochs", "1", "--out", str(folder), *more]
    options = parse(arguments)
    data, _, task, plan = asked(options)
    learner = first_learner(task, plan, jnp.float32)
    run_folder.write_json(folder, run_folder.CONFIG, config(options, plan, data, task, learner))
    run_folder.write_params(folder, learner.params, learner.state)
    return data, task, learner


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_the_task_in_the_data_s_units(tmp_path: Path, kind: str) -> None:
    data, task, learner = _run(tmp_path, kind)
    network = trained.read(tmp_path)
    mean, deviation = task.scaling
    x = data.x_test
    if kind == "denoise":
        x = task.test.x * deviation + mean
    found = predict.predict(network, x)
    examples = loop.on_device(task.test, learner)
    output = np.asarray(loop.evaluation(task)(learner.params, learner.state, examples)[0])
    if task.classes:
        wanted = np.asarray(jax.nn.softmax(output))
    elif kind == "regression":
        wanted = task.target.mean + task.target.deviation * output[:, 0]
    elif kind == "denoise":
        wanted = output * deviation + mean
    else:
        # Of each test series the last window is what nothing follows: the one before is a whole window's.
        x = x[:, :-3]
        found = predict.predict(network, x)
        wanted = output.reshape(5, -1, 2, 3)[:, -1].swapaxes(1, 2) * deviation + mean
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    assert found.shape[0] == 5 and np.ptp(found) > 1e-4
    program = jax.export.deserialize(bytearray(predict.exported(network)))
    np.testing.assert_allclose(program.call(x[:2, -network.shape[0] :].astype("float32")), found[:2], atol=1e-5)


def test_tables(tmp_path: Path) -> None:
    _run(tmp_path, "classification")
    network = trained.read(tmp_path)

    def rows(network: trained.Trained, found: Any, lengths: Any = None) -> list[list[str]]:
        return list(csv.reader(io.StringIO(predict.table(network, np.array(found), lengths))))

    shares = [[0.25, 0.5, 0.25], [1, 0, 0]]
    assert rows(network, shares) == [
        ["series", "class", "0", "1", "2"],
        ["1", "1", "0.25", "0.5", "0.25"],
        ["2", "0", "1.0", "0.0", "0.0"],
    ]
    assert rows(network._replace(kind="regression"), [1.5]) == [["series", "prediction"], ["1", "1.5"]]
    by_sample = [[shares[0], shares[1]]]
    assert rows(network._replace(kind="segment"), by_sample, [1]) == [["series", "1", "2"], ["1", "1", ""]]
    forecast = rows(network._replace(kind="forecast"), [[[1, 2], [3, 4], [5, 6]]])
    assert forecast == [["series", "channel", "1", "2", "3"], ["1", "1", "1.0", "3.0", "5.0"]] + [
        ["1", "2", "2.0", "4.0", "6.0"]
    ]


def test_members_unequal_lengths_and_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run(tmp_path, "classification", "--members", "2")
    x, lengths = datasets.series(str(tmp_path / "drawn.npz"))
    assert x.shape == (5, 32, 2) and lengths is None
    network = trained.read(tmp_path)
    whole = predict.predict(network, x)
    shorter = x.copy()
    shorter[1, 20:] = np.nan
    np.save(tmp_path / "new.npy", shorter)
    answers = str(tmp_path / "answers.npy")
    assert predict.main([str(tmp_path), "--data", str(tmp_path / "new.npy"), "--out", answers]) == 0
    found = np.load(answers)
    np.testing.assert_allclose(found[[0, 2, 3, 4]], whole[[0, 2, 3, 4]], atol=1e-5)
    np.testing.assert_allclose(found[1], predict.predict(network, x[1:2, :20])[0], atol=1e-5)
    assert predict.main([str(tmp_path), "--export", str(tmp_path / "program")]) == 0
    program = jax.export.deserialize(bytearray((tmp_path / "program").read_bytes()))
    np.testing.assert_allclose(program.call(x[:3].astype("float32")), whole[:3], atol=1e-5)
    assert f"{tmp_path / 'program'}: a program of series (any number, 32, 2)" in capsys.readouterr().out


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run(tmp_path, "forecast")
    run, network = str(tmp_path), trained.read(tmp_path)
    np.save(tmp_path / "short.npy", np.ones((2, 9, 2)))
    np.save(tmp_path / "narrow.npy", np.ones((2, 30)))
    (tmp_path / "no.npy").write_text("no")
    said = {
        "short.npy": f"predict: {run}: a forecast reads 20 samples; series 1 has 9",
        "narrow.npy": f"predict: {run}: series have 1 channels, the network's 2",
        "no.npy": f"predict: {tmp_path / 'no.npy'}: is no NumPy .npy file of numbers or text",
        "none.npy": f"predict: {tmp_path / 'none.npy'}: cannot be read: No such file or directory",
    }
    for name, line in said.items():
        assert predict.main([run, "--data", str(tmp_path / name)]) == 2
        assert capsys.readouterr().err == line + "\n"
    (tmp_path / "x").mkdir()
    assert predict.main([str(tmp_path / "x"), "--data", "gunpoint"]) == 2
    assert "no run folder, config.json is missing or cannot be read" in capsys.readouterr().err
    with pytest.raises(predict.UserError, match="has arrays for series of 20 samples, and these have 24"):
        own = network._replace(params={name: {} for name in network.params})
        trained.model_for(own, 24)
    run_folder.write_json(tmp_path, run_folder.CONFIG, {"model": "fcn"})
    with pytest.raises(predict.UserError, match="is not what this version writes"):
        trained.read(tmp_path)
    run_folder.write_json(tmp_path, run_folder.CONFIG, {"model": "some.keras"})
    with pytest.raises(predict.UserError, match=r"its network is from a file; jconv run .* asks it"):
        trained.read(tmp_path)
