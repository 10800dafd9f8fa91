"""`training.predict`: predictions in the units of the data, equal to the outputs of the evaluation."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from training import predict
from training.commands.from_options import build_run
from training.core import loop
from training.core.learner import init_learner
from training.data import datasets
from training.options.options import parse
from training.run import run_folder, trained
from training.run.config import config

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
    """A run folder of an untrained network, with its task and learner."""
    arguments = [*KINDS[kind], "--data", _file(folder, kind), "--epochs", "1", "--out", str(folder), *more]
    options = parse(arguments)
    data, _, task, plan = build_run(options)
    learner = init_learner(task, plan, jnp.float32)
    run_folder.write_json(folder, run_folder.CONFIG, config(options, plan, data, task, learner))
    run_folder.write_params(folder, learner.params, learner.state)
    return data, task, learner


def test_predictions_use_the_algorithm_of_the_run(tmp_path: Path) -> None:
    _run(tmp_path, "classification", "--algorithm", "fastest")
    network = trained.read(tmp_path)
    model = trained.model_for(network, 32)
    program = str(jax.make_jaxpr(lambda x: trained.predict(network, model, x))(jnp.ones((3, 32, 2))))
    assert program.count("algorithm=fastest") == 3 and "algorithm=auto" not in program
    # Earlier versions recorded no algorithm.
    content = run_folder.read_json(tmp_path, run_folder.CONFIG)
    assert content is not None
    del content["options"]["algorithm"]
    run_folder.write_json(tmp_path, run_folder.CONFIG, content)
    assert trained.read(tmp_path).algorithm == "auto"


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("kind", KINDS)
def test_predictions_equal_the_evaluation_in_the_units_of_the_data(tmp_path: Path, kind: str) -> None:
    data, task, learner = _run(tmp_path, kind)
    network = trained.read(tmp_path)
    mean, deviation = task.scaling
    x = data.x_test
    if kind == "denoise":
        x = task.test.x * deviation + mean
    found = predict.predict(network, x)
    examples = loop.to_device(task.test, learner)
    output = np.asarray(loop.make_evaluation(task)(learner.params, learner.state, examples)[0])
    if task.classes:
        wanted = np.asarray(jax.nn.softmax(output))
    elif kind == "regression":
        wanted = task.target_scaling.mean + task.target_scaling.deviation * output[:, 0]
    elif kind == "denoise":
        wanted = output * deviation + mean
    else:
        # The evaluation's last window is followed by the 3 samples that it forecasts.
        x = x[:, :-3]
        found = predict.predict(network, x)
        wanted = output.reshape(5, -1, 2, 3)[:, -1].swapaxes(1, 2) * deviation + mean
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    assert found.shape[0] == 5 and np.ptp(found) > 1e-4
    program = jax.export.deserialize(bytearray(predict.exported(network)))
    np.testing.assert_allclose(program.call(x[:2, -network.shape[0] :].astype("float32")), found[:2], atol=1e-5)


def test_tables_of_each_kind_of_prediction(tmp_path: Path) -> None:
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


def test_ensembles_series_of_variable_length_and_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run(tmp_path, "classification", "--members", "2")
    x, lengths, _ = datasets.series(str(tmp_path / "drawn.npz"), 32)
    assert x.shape == (5, 32, 2) and lengths is None
    network = trained.read(tmp_path)
    predictions = predict.predict(network, x)
    shorter = x.copy()
    shorter[1, 20:] = np.nan
    np.save(tmp_path / "new.npy", shorter)
    answers = str(tmp_path / "answers.npy")
    assert predict.main([str(tmp_path), "--data", str(tmp_path / "new.npy"), "--out", answers]) == 0
    found = np.load(answers)
    np.testing.assert_allclose(found[[0, 2, 3, 4]], predictions[[0, 2, 3, 4]], atol=1e-5)
    np.testing.assert_allclose(found[1], predict.predict(network, x[1:2, :20])[0], atol=1e-5)
    assert predict.main([str(tmp_path), "--export", str(tmp_path / "program")]) == 0
    program = jax.export.deserialize(bytearray((tmp_path / "program").read_bytes()))
    np.testing.assert_allclose(program.call(x[:3].astype("float32")), predictions[:3], atol=1e-5)
    assert f"{tmp_path / 'program'}: a program for series of shape (any number, 32, 2)" in capsys.readouterr().out


@pytest.mark.parametrize("protocol", [[], ["--protocol", "dl4tsc"]], ids=["channels", "each series"])
def test_series_far_from_zero_are_standardized_as_in_training(tmp_path: Path, protocol: list[str]) -> None:
    """In float32, times in seconds since 1970 have a resolution of 128 seconds."""
    rng = np.random.default_rng(0)
    path = tmp_path / "far.npz"
    np.savez(path, x_train=1.7e9 + rng.normal(size=(12, 32, 1)), y_train=np.arange(12) % 2)
    options = parse(["--data", str(path), "--epochs", "1", "--out", str(tmp_path), *protocol])
    data, _, task, plan = build_run(options)
    learner = init_learner(task, plan, jnp.float32)
    run_folder.write_json(tmp_path, run_folder.CONFIG, config(options, plan, data, task, learner))
    run_folder.write_params(tmp_path, learner.params, learner.state)
    output, *_ = loop.make_evaluation(task)(learner.params, learner.state, loop.to_device(task.train, learner))
    found = predict.predict(trained.read(tmp_path), data.x_train)
    np.testing.assert_allclose(found, jax.nn.softmax(output), atol=1e-6)


def test_predictions_far_from_zero_keep_their_digits() -> None:
    """A float32 near 1e9 has a resolution of 64."""
    none: Any = ()
    network = trained.Trained("run", "regression", "fcn", 1, (9, 1), (), none, target=(1e9, 2.0))
    assert trained.in_units(network, np.array([[0.5], [1.0]], np.float32)).tolist() == [1e9 + 1, 1e9 + 2]


@pytest.mark.parametrize(
    ("value", "words"),
    [(1e300, "values up to 1e+300, too far from those of the training series"), (np.nan, "missing values")],
)
def test_values_that_float32_does_not_hold_are_an_error(tmp_path: Path, value: float, words: str) -> None:
    data, *_ = _run(tmp_path, "regression")
    x = data.x_test.copy()
    x[3, 5, 1] = value
    with pytest.raises(predict.UserError, match=re.escape(f"{tmp_path}: series 4 has {words}")):
        predict.predict(trained.read(tmp_path), x)


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run(tmp_path, "forecast")
    run, network = str(tmp_path), trained.read(tmp_path)
    np.save(tmp_path / "short.npy", np.ones((2, 9, 2)))
    np.save(tmp_path / "narrow.npy", np.ones((2, 30)))
    (tmp_path / "no.npy").write_text("no")
    message = {
        "short.npy": f"predict: {run}: a forecast reads 20 samples; series 1 has 9",
        "narrow.npy": f"predict: {run}: series have 1 channels, the network takes 2",
        "no.npy": f"predict: {tmp_path / 'no.npy'}: is not a NumPy .npy file of numbers or text",
        "none.npy": f"predict: {tmp_path / 'none.npy'}: cannot be read: No such file or directory",
    }
    for name, line in message.items():
        assert predict.main([run, "--data", str(tmp_path / name)]) == 2
        assert capsys.readouterr().err == line + "\n"
    (tmp_path / "x").mkdir()
    assert predict.main([str(tmp_path / "x"), "--data", "gunpoint"]) == 2
    assert "not a run folder, config.json is missing or cannot be read" in capsys.readouterr().err
    with pytest.raises(predict.UserError, match="has arrays for series of 20 samples, and these have 24"):
        own = network._replace(params={name: {} for name in network.params})
        trained.model_for(own, 24)
    run_folder.write_json(tmp_path, run_folder.CONFIG, {"model": "fcn"})
    with pytest.raises(predict.UserError, match="is not what this version writes"):
        trained.read(tmp_path)
    run_folder.write_json(tmp_path, run_folder.CONFIG, {"model": "some.keras"})
    with pytest.raises(predict.UserError, match=r"its network is from a file; use jconv run .*"):
        trained.read(tmp_path)


@pytest.mark.parametrize("more", [["--json"], ["--out", "a.csv"], ["--labels", "none"], ["--channels", "first"]])
def test_options_of_predictions_do_not_apply_to_an_export(tmp_path: Path, capsys: Any, more: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        predict.main([str(tmp_path), "--export", str(tmp_path / "program"), *more])
    assert caught.value.code == 2
    message = f"predict: argument {more[0]}: applies to predictions, not to --export; --help explains the options"
    assert capsys.readouterr().err == message + "\n"


@pytest.fixture
def table_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that writes a table and runs the command on it, for a run with 12 samples per series."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("drawn.npz", x_train=rng.normal(size=(6, 12)), y_train=np.arange(6) % 2)
    options = parse(["--data", "drawn.npz", "--epochs", "1", "--out", "run"])
    data, _, task, plan = build_run(options)
    learner = init_learner(task, plan, jnp.float32)
    Path("run").mkdir()
    run_folder.write_json(Path("run"), run_folder.CONFIG, config(options, plan, data, task, learner))
    run_folder.write_params(Path("run"), learner.params, learner.state)

    def read(text: str, *more: str, change: dict[str, Any] | None = None) -> Any:
        Path("new.csv").write_text(text)
        if change:
            before = run_folder.read_json(Path("run"), run_folder.CONFIG)
            assert before is not None
            run_folder.write_json(Path("run"), run_folder.CONFIG, before | change)
        return predict.main(["run", "--data", "new.csv", *more])

    return read


def _text(*rows: Any) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


ROWS = np.random.default_rng(1).normal(size=(3, 12)).round(3).tolist()
READ_AS_SERIES = {
    "no labels": _text(*ROWS),
    "labels": _text(*(["up", *row] for row in ROWS)),
    "labels that are numbers": _text(*([2, *row] for row in ROWS)),
    "no labels, pandas' header": _text(range(12), *ROWS),
    "labels, pandas' header": _text(range(13), *([1, *row] for row in ROWS)),
    "no labels, pandas' header and index": _text(["", *range(12)], *([n, *row] for n, row in enumerate(ROWS))),
    "labels, names and index": _text(["", *"abcdefghijklm"], *([n, 1, *row] for n, row in enumerate(ROWS))),
}


@pytest.mark.parametrize("kind", READ_AS_SERIES)
def test_the_training_length_decides_about_labels_in_a_table(table_run: Any, kind: str, capsys: Any) -> None:
    """Without labels no first sample is dropped, and a header is not predicted as a series."""
    assert table_run(READ_AS_SERIES[kind], "--json") == 0
    found = [row["probabilities"] for row in json.loads(capsys.readouterr().out)["series"]]
    network = trained.read(Path("run"))
    wanted = predict.predict(network, np.array(ROWS)[:, :, None])
    np.testing.assert_allclose([list(row.values()) for row in found], wanted, rtol=1e-5)


def test_rows_of_another_length_need_the_labels_option(table_run: Any, capsys: Any) -> None:
    short = _text(*(row[:9] for row in ROWS))
    assert table_run(short) == 2
    fits = "neither 12, the length of the training series, nor 13, a label and a series"
    line = f"predict: new.csv: rows have 9 cells, {fits}; --labels first or none reads other lengths\n"
    assert capsys.readouterr() == ("", line)
    assert table_run(short + _text(ROWS[0])) == 2
    assert "rows have 9 to 12 cells" in capsys.readouterr().err
    assert table_run(short, "--labels", "none") == 0
    output = capsys.readouterr()
    assert output.err == "predict: series have 9 samples; the network was trained on series of 12\n"
    assert output.out.count("\n") == 4
    assert table_run(_text(*ROWS), "--labels", "first") == 0
    assert capsys.readouterr().err == "predict: series have 11 samples; the network was trained on series of 12\n"
    assert table_run(_text(["up"]), "--labels", "first") == 2
    assert capsys.readouterr().err.startswith("predict: new.csv: row 1 has a label and no values")


def test_a_sample_is_not_taken_for_a_label(table_run: Any, capsys: Any) -> None:
    """Series with one sample more do not lose the first one without a message."""
    longer = np.random.default_rng(2).normal(size=(3, 13)).round(3).tolist()
    assert table_run(_text(*longer)) == 2
    why = f"rows have 13 cells, one more than the training series, but '{longer[0][0]}' is not a class"
    assert capsys.readouterr().err == f"predict: new.csv: {why}; --labels none reads all cells as samples\n"
    assert table_run(_text(*([7, *row] for row in ROWS))) == 0
    words = (
        "rows have 13 cells: the first is read as a label, the others as a series; --labels none reads all as samples"
    )
    assert capsys.readouterr().err == f"predict: new.csv: {words}\n"


def test_labels_that_the_header_names_are_no_samples(table_run: Any, capsys: Any) -> None:
    """A label and one sample too few have the length of the training series."""
    assert table_run(_text(["label", *range(11)], *([1, *row[:11]] for row in ROWS))) == 2
    line = capsys.readouterr().err
    assert "rows have 12 cells, the first is a label by the header, and not 13, a label and a series" in line
    several = {"unequal_lengths": True}
    assert table_run(_text(["label", *range(12)], *([1, *row] for row in ROWS)), change=several) == 0


def test_several_training_lengths_need_the_labels_option(table_run: Any, capsys: Any) -> None:
    several = {"unequal_lengths": True}
    assert table_run(_text(*ROWS), change=several) == 2
    why = "the training series have several lengths, so whether rows begin with a label is unknown"
    assert capsys.readouterr().err == f"predict: new.csv: {why}; give --labels first or none\n"
    assert table_run(_text(*ROWS), "--labels", "none", change=several) == 0
    assert table_run(_text(["up", *ROWS[0]], ["up", *ROWS[1][:9]]), change=several) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", ["empty", "truncated", "no archive", "a bit"])
def test_damaged_params_are_one_line(table_run: Any, capsys: Any, damage: str) -> None:
    path = Path("run", run_folder.PARAMS)
    content = path.read_bytes()
    middle = len(content) // 2
    changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    path.write_bytes({"empty": b"", "truncated": content[:-100], "no archive": b"text", "a bit": changed}[damage])
    assert table_run(_text(*ROWS)) == 2
    line = capsys.readouterr().err
    assert (
        line.startswith("predict: run/params.npz: cannot be read, it is empty or damaged: ") and line.count("\n") == 1
    )
    # NumPy's message for a file that is no archive advises to unpickle it.
    assert "pickle" not in line


def test_json_of_each_kind(tmp_path: Path) -> None:
    _run(tmp_path, "classification")
    network = trained.read(tmp_path)
    found = predict.as_json(network, np.array([[0.25, 0.5, 0.25]]))
    shares = {"0": 0.25, "1": 0.5, "2": 0.25}
    assert found["task"] == "classification" and found["series"] == [{"class": "1", "probabilities": shares}]

    def of(kind: str, found: Any, lengths: Any = None) -> Any:
        return predict.as_json(network._replace(kind=kind), np.array(found), lengths)["series"]

    assert of("regression", [1.5]) == [{"prediction": 1.5}]
    assert of("segment", [[[0.1, 0.9, 0.0], [1.0, 0.0, 0.0]]], [1]) == [{"classes": ["1"]}]
    assert of("denoise", [[[1.0], [2.0]]], [1]) == [{"values": [[1.0]]}]
    assert of("forecast", [[[1.0, 2.0], [3.0, 4.0]]], [9]) == [{"values": [[1.0, 3.0], [2.0, 4.0]]}]


def test_arrays_have_the_layout_of_training_by_default(tmp_path: Path, capsys: Any) -> None:
    _run(tmp_path, "classification")
    x = np.random.default_rng(2).normal(size=(3, 32, 2))
    np.save(tmp_path / "last.npy", x)
    np.save(tmp_path / "first.npy", x.swapaxes(1, 2))

    def run_command(name: str, *more: str) -> Any:
        code = predict.main([str(tmp_path), "--data", str(tmp_path / name), *more])
        output = capsys.readouterr()
        return output.out if code == 0 else output.err

    wanted = run_command("last.npy")
    assert wanted.startswith("series,class")
    message = (
        f"{tmp_path / 'first.npy'}: series have 32 channels, the network takes 2; --channels first reads them as 2"
    )
    assert run_command("first.npy") == f"predict: {message} channels\n"
    assert run_command("first.npy", "--channels", "first") == wanted
    before = run_folder.read_json(tmp_path, run_folder.CONFIG)
    assert before is not None
    before["options"]["channels"] = "first"
    run_folder.write_json(tmp_path, run_folder.CONFIG, before)
    assert run_command("first.npy") == wanted
    assert run_command("last.npy", "--channels", "last") == wanted
    table = str(tmp_path / "x.csv")
    Path(table).write_text(_text(*ROWS))
    assert predict.main([str(tmp_path), "--data", table, "--channels", "first"]) == 2
    assert "--channels first is for arrays" in capsys.readouterr().err
    assert predict.main([str(tmp_path), "--data", str(tmp_path / "last.npy"), "--labels", "none"]) == 2
    assert "--labels none is for tables, files that end in .tsv or .csv" in capsys.readouterr().err
