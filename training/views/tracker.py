"""`--tracker mlflow`: options, curves and files of a run in MLflow, at the address that MLflow is configured with.

A resumed run continues its run in MLflow, whose ID is in `mlflow.json` in the run folder. If that file is damaged,
MLflow gets a new run. If MLflow fails during training, a message is printed once, and training continues without it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core.learner import Row
from ..errors import UserError, first_line, tell

EXTRA = '--tracker mlflow needs MLflow: pip install "mlflow>=3,<4"'
EXPERIMENT = "jconv"
# MLflow's limit for the text of a parameter.
MAX_PARAMETER_LENGTH = 6000
# MLflow's status for each status in `results.json`; FAILED for all others.
STATUS = {"done": "FINISHED", "interrupted": "KILLED"}


@contextmanager
def opened(
    record: Path, options: Mapping[str, Any], score_name: str, write: Callable[[Path, bytes], None]
) -> Iterator[Callable[[Row], None]]:
    """Begin or continue a run in MLflow; within the block, the yielded function logs the row of an epoch.

    `record` is the file with the run's ID, which `write` writes. `options` become the run's parameters. Raises
    `UserError` if MLflow cannot begin the run.
    """
    client, entities, failures = _mlflow()
    try:
        run_id = _begin(client, record, options, entities, write)
    except failures as error:
        raise UserError(f"--tracker mlflow: {first_line(error, 200)}") from None
    has_failed = False

    def log(row: Row) -> None:
        nonlocal has_failed
        if has_failed:
            return
        now = int(time.time() * 1000)
        values = {name.replace("score", score_name): value for name, value in row._asdict().items() if name != "epoch"}
        metrics = [entities.Metric(name, value, now, row.epoch) for name, value in values.items() if value is not None]
        try:
            client.log_batch(run_id, metrics=metrics)
        except failures as error:
            has_failed = True
            tell(f"nothing more is logged to MLflow: {first_line(error, 200)}; training continues")

    yield log


def finish(record: Path, status: str) -> None:
    """Add the files of the run folder, without checkpoints, to the run in MLflow, and end that run."""
    client, _, failures = _mlflow()
    try:
        run_id = _read_run_id(record)
        for path in sorted(record.parent.iterdir()):
            if path.is_file() and not path.name.startswith(".") and path != record:
                client.log_artifact(run_id, str(path))
        client.set_terminated(run_id, STATUS.get(status, "FAILED"))
    except failures as error:
        tell(f"the files were not added to MLflow: {first_line(error, 200)}")


def _mlflow() -> tuple[Any, Any, tuple[type[Exception], ...]]:
    """A client, the module of entities, and the exceptions that MLflow raises."""
    import mlflow  # pyright: ignore[reportMissingImports]
    from mlflow.exceptions import MlflowException  # pyright: ignore[reportMissingImports]

    return mlflow.MlflowClient(), mlflow.entities, (MlflowException, OSError)


def _begin(
    client: Any, record: Path, options: Mapping[str, Any], entities: Any, write: Callable[[Path, bytes], None]
) -> str:
    """The ID of the run in MLflow: the one in `record`, else the ID of a new run."""
    run_id = _read_run_id(record)
    if run_id is not None:
        client.update_run(run_id, status="RUNNING")
        return run_id
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    experiment = client.get_experiment_by_name(name)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(name)
    run_id = client.create_run(experiment_id, run_name=record.parent.resolve().name).info.run_id
    text = {name: str(value)[:MAX_PARAMETER_LENGTH] for name, value in options.items() if value is not None}
    client.log_batch(run_id, params=[entities.Param(name, value) for name, value in text.items()])
    write(record, (json.dumps({"run_id": run_id}) + "\n").encode())
    return run_id


def _read_run_id(record: Path) -> str | None:
    """The ID of the run in MLflow, None if the file is missing or damaged."""
    try:
        return str(json.loads(record.read_text())["run_id"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
