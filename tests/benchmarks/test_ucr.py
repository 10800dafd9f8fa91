"""`python -m benchmarks.ucr`: parallel seeds, interruptions, and no remaining processes."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import ucr
from benchmarks.trainers import ucr_run, workers
from benchmarks.trainers.ucr_run import SIDE, UcrRun
from benchmarks.trainers.workers import Worker, WorkerError
from jconv.planner.hardware import cores
from training.core import plan as plan_module
from training.options.types import Interval

pytestmark = pytest.mark.slow

RUN = {"data": "ItalyPowerDemand", "network": "fcn", "epochs": 1}
COMMAND = ["--sets", "ItalyPowerDemand", "--seeds", "2", "--epochs", "1"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")


def _faked(monkeypatch, end=None):
    """Replaces each run by an immediate result, except that seed 1 raises `end`. Returns the requested seeds."""
    seeds = []

    def replies(side, requests, count):
        for request in requests:
            seeds.append(request["seed"])
            Path(request.pop("unfinished")).mkdir(parents=True, exist_ok=True)
            if end is not None and request["seed"] == 1:
                raise end
            yield UcrRun(**request, accuracy=96.0 + request["seed"], loss=0.5, seconds=2.0, cores=1)._asdict()

    monkeypatch.setattr(ucr, "replies", replies)
    return seeds


def test_seeds_in_parallel_have_the_same_bits(tmp_path, monkeypatch, capsys):
    received = []

    def replies(side, requests, count):
        """Runs the first seed once more at the end."""
        for reply in workers.replies(side, [*requests, requests[0]], count):
            received.append(reply)
            yield reply

    monkeypatch.setattr(ucr, "replies", replies)
    file = tmp_path / "a" / "b.json"
    assert ucr.main([*COMMAND, "--processes", "2", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    assert "| ItalyPowerDemand | fcn |" in out and "96.3 (0.1)" in out and "fcn, seed 1: " in out
    found = json.loads(file.read_text())
    assert sorted(run["seed"] for run in found["runs"]) == [0, 1]
    # Parallel processes compute the same bits for a seed, and other bits for another seed.
    first, again, other = sorted(received, key=lambda run: run["seed"])
    assert first == {**again, "seconds": first["seconds"]} and first["loss"] != other["loss"]
    assert found["cells"][0]["accuracies"] == [first["accuracy"], other["accuracy"]]
    assert first["cores"] == max(1, cores() // 2)


ENDS = [(KeyboardInterrupt(), 130, "interrupted"), (WorkerError("a run: no room"), 1, "a run: no room")]


@pytest.mark.parametrize(("end", "code", "message"), ENDS, ids=("Ctrl-C", "failure"))
def test_an_interrupted_command_continues(end, code, message, monkeypatch, tmp_path, capsys):
    file = tmp_path / "ucr.json"
    _faked(monkeypatch, end)
    assert ucr.main([*COMMAND, "--json", str(file)]) == code
    assert capsys.readouterr().err == f"ucr: {message}\n"
    assert [run["seed"] for run in json.loads(file.read_text())["runs"]] == [0]
    seeds = _faked(monkeypatch)
    assert ucr.main([*COMMAND, "--json", str(file)]) == 0 and seeds == [1]
    assert "| ItalyPowerDemand | fcn | 96.5 (0.5) of 2 | 96.3 (0.1) | holds | 2 |" in capsys.readouterr().out
    # Runs with another number of epochs are other runs, and the runs in the file stay.
    assert ucr.main([*COMMAND[:4], "--epochs", "2", "--json", str(file)]) == 0 and seeds == [1, 0, 1]
    assert len(json.loads(file.read_text())["runs"]) == 4
    # The checkpoints of a run are deleted when the file contains the run.
    assert not list((tmp_path / "ucr.unfinished").iterdir())


def test_an_interrupted_run_continues_from_its_checkpoint(monkeypatch, tmp_path):
    run = {**RUN, "seed": 0, "epochs": 2}
    complete = ucr_run.train(**run)
    monkeypatch.setattr(ucr_run, "EVERY", Interval(epochs=1))
    keys = []

    def epoch_key(plan, epoch):
        keys.append(epoch)
        if keys == [0, 1]:
            raise KeyboardInterrupt
        return plan_module.epoch_key(plan, epoch)

    monkeypatch.setattr(ucr_run, "epoch_key", epoch_key)
    with pytest.raises(KeyboardInterrupt):
        ucr_run.train(**run, unfinished=str(tmp_path))
    again = ucr_run.train(**run, unfinished=str(tmp_path))
    assert keys == [0, 1, 1] and again == complete._replace(seconds=again.seconds)


def test_user_errors_end_with_exit_code_2(tmp_path, capsys):
    for option in ("--seeds", "--processes", "--epochs"):
        with pytest.raises(SystemExit) as stop:
            ucr.main([option, "0"])
        assert stop.value.code == 2
        assert capsys.readouterr().err.startswith(f"ucr: argument {option}: must be a whole number of at least 1, got")
    file = tmp_path / "other.json"
    file.write_text('{"runs": [3]}')
    assert ucr.main(["--json", str(file)]) == 2
    assert capsys.readouterr().err == f"ucr: --json {file}: must be a file that this command wrote, or none\n"


def test_a_mean_holds_within_two_standard_deviations_or_one_point():
    assert ucr.Cell("cbf", "fcn", (98.5, 98.4), 1.0).holds and not ucr.Cell("cbf", "fcn", (98.3, 98.4), 1.0).holds


def test_no_process_remains(monkeypatch):
    started, start = [], workers.start_workers
    monkeypatch.setattr(workers, "start_workers", lambda *given: started.extend(start(*given)) or started)
    requests = [{**RUN, "data": "nothing", "seed": seed} for seed in range(3)]
    with pytest.raises(WorkerError, match="a run: UserError: there is no file 'nothing'"):
        list(workers.replies(SIDE, requests, 2))
    assert len(started) == 2 and all(worker.process.poll() is not None for worker in started)
    # A worker whose parent has died, so that its standard input ends, does not finish its run.
    orphan = Worker(SIDE, None)
    orphan.send(**RUN, seed=0)
    with orphan.process as process:
        assert process.stdin and process.stdout
        process.stdin.close()
        assert process.wait(30) == 0 and not process.stdout.read()


def test_the_table_of_the_docs_agrees_with_the_recorded_runs():
    docs = Path(ucr.__file__).parents[1] / "docs"
    lines = [
        line.replace("`", "").lower() for line in (docs / "background" / "training_results.md").read_text().splitlines()
    ]
    runs = {run.key: run for run in ucr._read(docs / "ucr.json")}
    found = ucr.cells(runs, list(runs))
    assert len(found) >= 7
    for cell in found:
        numbers = f"| {cell.network} | {cell.mean:.1f} ({np.std(cell.accuracies):.1f}) | "
        numbers += "{} ({}) |".format(*ucr.PUBLISHED[cell.data, cell.network])
        name = "with its own lengths" if cell.data == "PickupGestureWiimoteZ" else cell.data.split("_")[-1].lower()
        assert sum(line.endswith(numbers) and name in line for line in lines) == 1, cell
