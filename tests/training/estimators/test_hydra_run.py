"""`python -m training.fit --model hydra`, and `predict` and `compare` of its run folder."""

import csv
import io
import json

import numpy as np
import pytest

from training import compare, fit, predict
from training.api import load
from training.commands.from_options import hold_out
from training.data.datasets import Dataset
from training.estimators import HydraClassifier, hydra_ridge
from training.options.options import parse
from training.views import html_page


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load("gunpoint")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "hydra"
    assert fit.main(["--model", "hydra", "--validation", "0.2", "--seed", "3", "--out", str(folder)]) == 0
    return folder


def test_the_run_folder_has_results_pictures_and_a_report(run):
    results = json.loads((run / "results.json").read_text())
    assert results["status"] == "done"
    assert results["test"]["score"] > 0.9
    assert results["validation"]["score"] >= 0.8
    assert {one["name"] for one in results["test"]["classes"]} == {"gun-draw", "point"}
    report = (run / "report.html").read_text()
    command = html_page.code("--model hydra --validation 0.2").removeprefix("<pre>").removesuffix("</pre>\n")
    counts = "40 training, 10 validation and 150 test"
    for words in (command, counts, "ridge classifier", "Confusion matrix", "scikit-learn"):
        assert words in report
    assert (run / "calibration.png").stat().st_size > 5000


def test_the_probabilities_equal_the_estimator(run, data):
    kept = json.loads((run / "config.json").read_text())["series"]["training"]
    assert kept == 40
    trained = hydra_ridge.read(run)
    assert trained is not None
    # The same kernels, scaling and ridge classifier, fitted to the series that were not held out.
    remaining, _ = hold_out(parse(["--model", "hydra", "--validation", "0.2", "--seed", "3"]), data)
    classifier = HydraClassifier(random_state=3).fit(remaining.x_train.swapaxes(1, 2), remaining.y_train)
    wanted = classifier.predict_proba(data.x_test.swapaxes(1, 2))
    np.testing.assert_allclose(predict.predict(trained, data.x_test), wanted, rtol=1e-5, atol=1e-6)


def test_predict_reads_the_folder(run, data, tmp_path, capsys):
    file = tmp_path / "new.npy"
    np.save(file, data.x_test[:5])
    assert predict.main([str(run), "--data", str(file)]) == 0
    head, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
    assert head == ["series", "class", "gun-draw", "point"]
    assert [row[1] for row in rows] == [data.classes[number] for number in data.y_test[:5]]
    np.save(file, data.x_test[:5, :, [0, 0]])
    assert predict.main([str(run), "--data", str(file)]) == 2
    assert "series have 2 channels, the network takes 1" in capsys.readouterr().err
    assert predict.main([str(run), "--export", str(tmp_path / "program")]) == 2
    assert "--export is for networks" in capsys.readouterr().err


def test_compare_has_a_row_for_the_run(run, capsys):
    assert compare.main([str(run), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert (row["model"], row["status"], row["epochs"]) == ("hydra", "done", 0)


@pytest.mark.slow
def test_series_of_several_lengths_and_channels_in_folds(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((24, 40, 2))
    y = np.repeat(["a", "b", "c"], 8)
    x[y == "b", :, 0] += np.sin(np.arange(40))
    x[y == "c", :, 1] += np.arange(40) / 8
    x[3, 30:] = np.nan
    file = tmp_path / "three.npz"
    np.savez(file, x_train=x, y_train=y)
    out = tmp_path / "folds"
    assert fit.main(["--data", str(file), "--model", "hydra", "--folds", "3", "--out", str(out), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert len(results["folds"]) == 3
    assert results["validation"]["score"] > 0.5
    assert predict.main([str(out / "fold-1"), "--data", str(file), "--json"]) == 0
    series = json.loads(capsys.readouterr().out)["series"]
    assert [sorted(one["probabilities"]) for one in series] == [["a", "b", "c"]] * 24


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "3"], "--epochs does not apply to --model hydra, which trains no network"),
        (["--task", "regression"], "--model hydra does not support --task regression"),
        (["--data", "FRACTIONS"], "--task regression learns them"),
    ],
)
def test_options_and_data_that_do_not_apply(options, message, tmp_path, capsys):
    if "FRACTIONS" in options:
        rng = np.random.default_rng(0)
        np.savez(tmp_path / "numbers.npz", x_train=rng.standard_normal((9, 20)), y_train=rng.random(9))
        options = ["--data", str(tmp_path / "numbers.npz")]
    assert fit.main(["--model", "hydra", *options, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_second_run_and_resume(run, capsys):
    before = (run / "params.npz").read_bytes()
    same = ["--model", "hydra", "--validation", "0.2", "--seed", "3", "--out", str(run)]
    assert fit.main(same) == 2
    assert "contains an earlier run" in capsys.readouterr().err
    assert fit.main([*same, "--resume"]) == 0
    assert (run / "params.npz").read_bytes() == before
    assert fit.main(["--model", "hydra", "--out", str(run), "--resume"]) == 2
    assert "was started with" in capsys.readouterr().err
    assert (run / "params.npz").read_bytes() == before


def test_resume_refuses_changed_data(run, capsys):
    config = (run / "config.json").read_text()
    changed = {**json.loads(config), "fingerprints": {"data": "another"}}
    (run / "config.json").write_text(json.dumps(changed))
    same = ["--model", "hydra", "--validation", "0.2", "--seed", "3", "--out", str(run)]
    assert fit.main([*same, "--resume"]) == 2
    assert "gunpoint: the data have changed since" in capsys.readouterr().err
    (run / "config.json").write_text(config)


def test_a_damaged_file_is_one_line(run, tmp_path, capsys):
    for name in ("config.json", "params.npz"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    (tmp_path / "params.npz").write_bytes((tmp_path / "params.npz").read_bytes()[:100])
    assert predict.main([str(tmp_path), "--data", "gunpoint"]) == 2
    assert "cannot be read, it is empty or damaged" in capsys.readouterr().err
