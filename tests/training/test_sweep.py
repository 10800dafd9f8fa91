"""`python -m training.sweep`: the grid, errors, skipped cells, and the order of the table."""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.support.paths import ROOT
from training import fit, sweep
from training.run import run_folder
from training.run.child import FIT, Children, pinned_to, split_cores
from training.run.interrupt import handling_signals

SERIES = ["--data", "a.npz", "--model", "two-layer", "--epochs", "2", "--batch-size", "4", "--skip-proof"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.sin(np.arange(118) * np.linspace(0.3, 0.7, 5)[:, None])
    np.savez("a.npz", x_train=x, y_train=np.arange(5) % 2)


def _losses(monkeypatch, found):
    """Replaces the process of each cell by a loss, an error message or a signal. Returns the names of the cells run."""
    ran = []

    def run(children, command, log):
        folder = Path(command[command.index("--out") + 1])
        assert tuple(command[: len(FIT)]) == FIT
        ran.append(folder.name)
        value = found[folder.name]
        if isinstance(value, str):
            log.write_text(f"some words\nfit: {value}\n")
            return 2
        if value is signal.SIGTERM:
            children.signal = value
            return 143
        status = "diverged" if value > 100 else "done"
        options = sweep.parse(command[len(FIT) :])
        recorded = sweep.recorded_options(options, sweep.build_run(options).plan)
        results = {"status": status, "epochs": 2, "seconds": {"training": 1.0}, "score_name": "absolute_error"}
        parts = {
            "training": {"loss": value, "score": value},
            "validation": None,
            "test": {"loss": -value, "score": 0.0},
        }
        if options.validation:
            parts["validation"] = {"loss": 0.1, "score": -value}
        folder.mkdir(parents=True, exist_ok=True)
        run_folder.write_json(folder, run_folder.CONFIG, {"options": recorded, "data": "a", "model": options.model})
        run_folder.write_json(folder, run_folder.RESULTS, results | parts | {"best_epoch": 1})
        return int(status != "done")

    monkeypatch.setattr(Children, "run", run)
    return ran


GRID = ["--out", "s", "--grid", "learning-rate=0.1,0.01", "--grid", "seed=0,1", *SERIES]
NAMES = [f"learning-rate={rate},seed={seed}" for rate in ("0.1", "0.01") for seed in (0, 1)]


def test_order_of_the_cells_and_failed_cells(monkeypatch, capsys):
    found = dict(zip(NAMES, (0.5, "a disk is full", 1e9, 0.25), strict=True))
    ran = _losses(monkeypatch, found)
    assert sweep.main([*GRID, "--json"]) == 1
    out, err = capsys.readouterr()
    results = json.loads(out)
    # The diverged run is the last for any loss. The losses on the test set have the opposite order.
    assert [row["run"] for row in results["runs"]] == [f"s/{NAMES[i]}" for i in (3, 0, 2)]
    assert results["sorted_by"].startswith(
        "training loss, the lowest first, since --validation holds no series out; the t"
    )
    assert results["failed"] == {NAMES[1]: "a disk is full"} and ran == NAMES
    assert f"2/4 {NAMES[1]}: failed: a disk is full, " in err and f"3/4 {NAMES[2]}: diverged, " in err

    # The runs that have ended are not run again; the failed one is.
    found[NAMES[1]] = 0.125
    assert sweep.main([*GRID, "--resume"]) == 1
    out = capsys.readouterr().out
    assert ran[4:] == [NAMES[1]] and f"1/4 {NAMES[0]}: done before" in out
    table = out.partition("sorted by ")[2].splitlines()
    assert [line.split()[0] for line in table if line.startswith("s/")] == [f"s/{NAMES[i]}" for i in (1, 3, 0, 2)]


def test_the_validation_score_orders_the_runs(monkeypatch, capsys):
    _losses(monkeypatch, dict(zip(NAMES, (0.5, 0.75, 0.125, 0.25), strict=True)))
    assert sweep.main([*GRID, "--json", "--validation", "0.4"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert results["sorted_by"] == "validation absolute error, the best first; the test set is not used"
    assert [row["run"] for row in results["runs"]] == [f"s/{NAMES[i]}" for i in (1, 0, 3, 2)]
    rows, words = sweep.ranked(
        [{"status": "done", "score": "accuracy", "validation_score": None, "training_loss": "nan"}]
    )
    assert len(rows) == 1 and words.startswith("training loss")
    assert "not the same loss" in sweep.ranked(rows, ["label_smoothing"])[1]


def test_a_signal_stops_the_sweep_and_resume_continues(monkeypatch, capsys):
    found = dict(zip(NAMES, (0.5, signal.SIGTERM, 0.25, 0.25), strict=True))
    ran = _losses(monkeypatch, found)
    assert sweep.main(GRID) == 143
    out, err = capsys.readouterr()
    assert ran == NAMES[:2] and f"2/4 {NAMES[1]}: interrupted" in out and f"s/{NAMES[0]}" in out
    assert err == "sweep: interrupted; the same command with --resume continues\n"
    found[NAMES[1]] = 0.5
    assert sweep.main([*GRID, "--resume"]) == 0
    assert ran[2:] == NAMES[1:]


INVALID = {
    ("--grid", "learning-rate=0.1,-1"): "argument --learning-rate: must be a number above zero, got '-1'; --help "
    "explains the options",
    (
        "--grid",
        "accumulate=1,4",
    ): "accumulate=4: --accumulate 4 batches of 4 are 16 examples, more than the 15 training examples",
    (
        "--grid",
        "precision=float32,float16",
        "--x64",
    ): "precision=float32: --precision float32 cannot be combined with --x64, which trains in float64",
    ("--grid", "seed=0,0"): "--grid seed: a value is given twice in 0,0",
    ("--grid", "seed=0", "--grid", "seed=1"): "--grid seed is given twice",
    ("--grid", "seed=0", "--jobs", "0"): "argument --jobs: must be a whole number of at least 1, got '0'; --help "
    "explains the options",
    ("--grid", "epochs=1,2"): "--epochs is given both in --grid and separately",
    ("--grid", "seed"): "argument --grid: must be name=value,value,... got 'seed'; --help explains the options",
    ("--grid", "seed=0", "--epoch", "2"): "unrecognized arguments: --epoch 2; --help explains the options",
}


@pytest.mark.parametrize("arguments", INVALID, ids=" ".join)
def test_errors_are_found_before_anything_runs(arguments, monkeypatch, capsys):
    ran = _losses(monkeypatch, {})
    try:
        code = sweep.main(["--out", "s", *SERIES, *arguments])
    except SystemExit as stop:
        code = stop.code
    assert code == 2 and not ran and not Path("s").exists()
    assert capsys.readouterr().err == f"sweep: {INVALID[arguments]}\n"


def test_options_that_cannot_vary_and_existing_runs(monkeypatch, capsys):
    _losses(monkeypatch, dict.fromkeys(NAMES, 0.5))
    assert sweep.main(["--out", "s", "--grid", "out=a,b"]) == 2
    assert capsys.readouterr().err.startswith("sweep: --grid out: not an option of fit that can vary; those are ")
    assert sweep.main(GRID) == 0
    capsys.readouterr()
    assert sweep.main(GRID) == 2
    assert capsys.readouterr().err.startswith(f"sweep: s/{NAMES[0]} contains an earlier run; ")
    other = [argument if argument != "4" else "3" for argument in GRID]
    assert sweep.main([*other, "--resume"]) == 2
    assert f"s/{NAMES[0]} was started with --batch-size 4, not --batch-size 3; " in capsys.readouterr().err


def test_concurrent_cells_have_their_own_cores(monkeypatch):
    both, affinities = threading.Barrier(2, timeout=30), []

    def run(children, command, log):
        affinities.append(os.sched_getaffinity(0))
        both.wait()
        log.touch()
        return 2

    monkeypatch.setattr(Children, "run", run)
    before = os.sched_getaffinity(0)
    assert sweep.main([*GRID, "--jobs", "2"]) == 1
    assert len(affinities) == 4 and os.sched_getaffinity(0) == before
    assert set(map(frozenset, affinities)) == set(map(frozenset, split_cores(2)))


def test_cores_are_split_into_equal_shares(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2, 3, 5, 8})
    assert split_cores(1) == [{1, 2, 3, 5, 8}] and split_cores(2) == [{1, 2}, {3, 5, 8}]
    assert split_cores(7) == [{1}, {1}, {2}, {3}, {3}, {5}, {8}]
    monkeypatch.delattr(os, "sched_getaffinity")
    assert split_cores(2) == [set(), set()]
    with pinned_to(set()):
        pass


def test_cells_are_runs_of_fit(monkeypatch, capsys):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    assert sweep.main(["--out", "s", "--grid", "seed=3,4", *SERIES, "--jobs", "2", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert sorted((row["run"], row["status"], row["epochs"]) for row in rows) == [
        ("s/seed=3", "done", 2),
        ("s/seed=4", "done", 2),
    ]
    assert fit.main([*SERIES, "--seed", "4", "--out", "alone"]) == 0
    at_once, alone = (np.load(f"{folder}/params.npz") for folder in ("s/seed=4", "alone"))
    for name in alone.files:
        np.testing.assert_allclose(at_once[name], alone[name], rtol=1e-5, atol=1e-7)
    assert fit.main([*SERIES, "--seed", "3", "--out", "s/seed=3", "--resume", "--allow-changed-conditions"]) == 0
    assert "resumed    after epoch 2 of 2" in capsys.readouterr().out
    assert "files      s/seed=3" in Path("s/seed=3.log").read_text()


SWEEP = """
import sys, threading, time
from pathlib import Path
from training.run.child import FIT, Children
children = Children()
threading.Thread(target=children.run, args=([*FIT, *sys.argv[1:]], Path("log"))).start()
while not (running := list(children._running)):
    time.sleep(0.01)
print(running[0].pid, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux can wait for the child of another process")
def test_a_run_ends_with_the_process_that_started_it(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "-c", SWEEP, *SERIES, "--epochs", "1000000", "--out", "s"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        pid = int(process.stdout.readline())
        run = os.pidfd_open(pid)
        process.kill()
    try:
        assert select.select([run], [], [], 20)[0], "the run continues"
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(run, signal.SIGKILL)
        os.close(run)
    assert Path("log").read_text().startswith("fit: the parent process has ended, ")


CHILD = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
print("ready", flush=True)
time.sleep(60)
"""


def test_a_signal_is_passed_on_to_all_children(tmp_path):
    logs, before = [tmp_path / "a", tmp_path / "b"], signal.getsignal(signal.SIGTERM)

    def stop():
        while not all(log.exists() and log.read_bytes() for log in logs):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    children = Children()
    with handling_signals(children.pass_on), ThreadPoolExecutor(2) as pool:

        def run(code, log):
            return pool.submit(children.run, [sys.executable, "-c", code], log)

        assert run("print('one'); raise SystemExit(3)", tmp_path / "c").result() == 3
        assert (tmp_path / "c").read_text() == "one\n" and children.signal is None
        running = [run(CHILD, log) for log in logs]
        threading.Thread(target=stop).start()
        assert [one.result() for one in running] == [143, 143]
        assert children.signal is signal.SIGTERM
        assert run("1", tmp_path / "d").result() is None
    assert signal.getsignal(signal.SIGTERM) is before


def test_hydra_may_be_a_cell(monkeypatch, capsys):
    """It has no epochs and no optimizer, so its cell is not built as a network's."""
    ran = []

    def run(children, command, log):
        ran.append(command[-1])
        log.touch()
        return 2

    monkeypatch.setattr(Children, "run", run)
    np.savez("b.npz", x_train=np.eye(12), y_train=np.arange(12) % 2)
    given = ["--out", "s", "--grid", "model=hydra,mlp", "--data", "b.npz"]
    assert sweep.main(given) == 1 and ran == ["s/model=hydra", "s/model=mlp"]
    capsys.readouterr()
    assert sweep.main([*given, "--epochs", "2"]) == 2
    assert capsys.readouterr().err.startswith("sweep: model=hydra: --epochs does not apply to --model hydra, which")


def test_a_cell_of_hydra_is_resumed_with_the_same_options(capsys):
    np.savez("b.npz", x_train=np.eye(12), y_train=np.arange(12) % 2)
    given = ["--out", "s", "--grid", "model=hydra", "--data", "b.npz"]
    assert fit.main(["--model", "hydra", "--data", "b.npz", "--validation", "0.2", "--out", "s/model=hydra"]) == 0
    assert sweep.main([*given, "--validation", "0.3", "--resume"]) == 2
    assert "was started with --validation 0.2, not --validation 0.3" in capsys.readouterr().err
    assert sweep.main([*given, "--validation", "0.2", "--resume"]) == 0
    assert "1/1 model=hydra: done before" in capsys.readouterr().out
