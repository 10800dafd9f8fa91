"""Compares `training.estimators` with aeon's networks: seconds to fit, and accuracy on the test set.

    python -m benchmarks.estimators --aeon PYTHON      # about fifteen minutes on two cores

Both sides train the same network for the same epochs, in the same batches, with Adam at 0.001, halved after 50 epochs
without a lower loss, and keep the params of the lowest training loss. aeon's deep learning needs TensorFlow, which may
be in another environment: PYTHON is its interpreter. Each side runs in its own process, with all cores. The seconds
are for `fit`, including compilation. There are fewer epochs than published, so accuracies are lower.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NETWORKS = ("FCN", "ResNet", "InceptionTime", "LITETime")
SETS = ("GunPoint", "ItalyPowerDemand", "ArrowHead")
HEADS = ("data", "network", "fit", "aeon's", "ratio", "accuracy", "aeon's")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see `python -m benchmarks.estimators --help`."""
    options = _parse(arguments)
    if options.side:
        side, name, network = options.side
        print(json.dumps(measure(side, name, network, options.epochs, options.batch_size)))
        return 0
    # Imported here because the process of aeon has no JAX.
    import jax

    from .shared import command, markdown
    from .shared.machine import describe, machine_line

    machine, rows = describe(jax.devices()[0]), []
    print(markdown.heading(HEADS), flush=True)
    for name in options.sets:
        for network in options.networks:
            row: dict[str, Any] = {"data": name, "network": network}
            for side, python in (("jconv", sys.executable), ("aeon", options.aeon)):
                try:
                    row[side] = _in_process(python, side, name, network, options)
                except subprocess.CalledProcessError as error:
                    print(f"estimators: {side} on {name}: {error.stderr.strip()[-300:]}", file=sys.stderr)
                    return 1
            rows.append(row)
            (seconds, accuracy), (other, others) = row["jconv"], row["aeon"]
            cells = [name, network, f"{seconds:.1f} s", f"{other:.1f} s", f"{other / seconds:.1f}"]
            print(markdown.row([*cells, f"{accuracy:.3f}", f"{others:.3f}"]), flush=True)
    print(f"\n{machine_line(machine)}, {options.epochs} epochs")
    if options.json:
        command.write_json(options.json, {"machine": machine, "rows": rows})
    return 0


def measure(side: str, name: str, network: str, epochs: int, batch_size: int) -> tuple[float, float]:
    """Seconds to fit, and accuracy, of one side in this process."""
    from aeon.datasets import load_classification

    (x, y), (x_test, y_test) = (load_classification(name, split=part)[:2] for part in ("train", "test"))
    if side == "jconv":
        from training import estimators as package

        options: dict[str, Any] = {"epochs": epochs, "schedule": "plateau", "keep": "best"}
    else:
        from aeon.classification import deep_learning as package

        # aeon's networks write their checkpoints to files.
        options = {"n_epochs": epochs, "file_path": f"{tempfile.mkdtemp()}/"}
    estimator = getattr(package, f"{network}Classifier")(batch_size=batch_size, random_state=0, **options)
    began = time.perf_counter()
    estimator.fit(x, y)
    seconds = time.perf_counter() - began
    return seconds, float(estimator.score(x_test, y_test))


def _in_process(python: str, side: str, name: str, network: str, options: argparse.Namespace) -> list[float]:
    file = Path(__file__).resolve()
    # aeon's side is run as a file, because `-m` would import the package, which needs JAX.
    own = ["-m", "benchmarks.estimators"] if side == "jconv" else ["-P", str(file)]
    numbers = ["--epochs", str(options.epochs), "--batch-size", str(options.batch_size)]
    command = [python, "-W", "ignore", *own, "--side", side, name, network, *numbers]
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "tensorflow"}
    if side == "aeon":
        quiet.pop("PYTHONPATH", None)
    done = subprocess.run(command, env=quiet, cwd=file.parents[1], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimators", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--aeon", default=sys.executable, metavar="PYTHON", help="one with aeon and TensorFlow; default: this one"
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS), metavar="NAME", help=f"default {' '.join(SETS)}")
    parser.add_argument("--networks", nargs="+", default=["FCN", "LITETime"], choices=NETWORKS)
    parser.add_argument("--epochs", type=int, default=100, help="default 100")
    parser.add_argument("--batch-size", type=int, default=16, help="default 16")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measurements to this file")
    parser.add_argument("--side", nargs=3, metavar=("SIDE", "NAME", "NETWORK"), help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
