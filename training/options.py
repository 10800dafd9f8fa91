"""The command line of `python -m training.fit`: what can be asked for, and what is refused before any work."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from .data.datasets import BUILT_IN
from .help import DESCRIPTION, EPILOG
from .losses import LOSSES
from .optimizers import OPTIMIZERS
from .pretrained import is_file
from .protocols import PROTOCOLS
from .tasks import TASKS


class Every(NamedTuple):
    """How often: after this many epochs, or at the end of the epoch when this many seconds have gone by."""

    epochs: int | None = None
    seconds: float | None = None


# Options that the numbers of a run do not depend on.
FREE = (
    "out",
    "overwrite",
    "resume",
    "allow_changed_data",
    "checkpoint_every",
    "device",
    "skip_proof",
    "json",
    "tensorboard",
)


class Options(NamedTuple):
    """What was asked for. None stands for a default that depends on the model or the data."""

    data: str
    model: str
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    optimizer: str | None
    loss: str | None
    task: str | None
    validation: float | None
    seed: int
    members: int
    keep: str
    protocol: str | None
    out: Path
    overwrite: bool
    resume: bool
    allow_changed_data: bool
    checkpoint_every: Every
    device: str | None
    x64: bool
    skip_proof: bool
    json: bool
    tensorboard: bool


def parse(arguments: Sequence[str] | None) -> Options:
    """The options in `arguments`, by default those of the process.

    A mistake is one line on standard error and `SystemExit(2)`.

    >>> str(parse(["--model", "two-layer", "--seed", "3"]).out)
    'runs/gunpoint-two-layer-3'
    """
    values = vars(_parser().parse_args(arguments))
    if values["out"] is None:
        model = values["model"] if values["model"] in TASKS else Path(values["model"]).stem
        values["out"] = Path("runs") / f"{Path(values['data']).stem}-{model}-{values['seed']}"
    return Options(**values)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"fit: {message}; --help explains the options", file=sys.stderr)
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m training.fit",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--data", default="gunpoint", metavar="NAME|FILE", help=f"{', '.join(BUILT_IN)} (the default), or a file")
    add("--model", default="fcn", type=_model, metavar="NAME|FILE", help=f"{', '.join(TASKS)} (default fcn), or a file")
    add("--epochs", type=_whole(1), metavar="N", help="passes over the training set; default 400, two-layer 60")
    add(
        "--batch-size",
        type=_whole(1),
        metavar="N",
        help="examples a step; default a tenth of the training set, from 4 to 16; two-layer 32",
    )
    add(
        "--learning-rate",
        type=_rate,
        metavar="R",
        help="the first, falling to zero; default 0.001; for a file's optimizer its rate from now on",
    )
    add("--optimizer", choices=OPTIMIZERS, help="begins afresh; default adam, or the file's, which goes on")
    add("--loss", choices=LOSSES, help="default cross-entropy or, of numbers, squared-error; or the file's")
    add("--task", choices=["classification", "regression"], help="default: regression where labels have fractions")
    add(
        "--validation",
        type=_share,
        metavar="SHARE",
        help="of the training series, held out and evaluated; default none",
    )
    add("--seed", type=_whole(0), default=0, metavar="N", help="of the initial params and the order; default 0")
    add(
        "--members",
        type=_whole(1),
        default=1,
        metavar="N",
        help="networks of other seeds; together they vote; default 1",
    )
    add("--keep", choices=["last", "best"], default="last", help="params: the last (default), or of the lowest loss")
    add("--protocol", choices=PROTOCOLS, help="a published way to train, its epochs, batch, schedule and params kept")
    add("--out", type=Path, metavar="DIR", help="the run folder; default runs/DATA-MODEL-SEED")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--overwrite", action="store_true", help="replace an earlier run in that folder")
    again.add_argument("--resume", action="store_true", help="go on with the run in that folder, or begin it")
    add("--allow-changed-data", action="store_true", help="resume although the data are others than before")
    add(
        "--checkpoint-every",
        type=_every,
        default=Every(seconds=10.0),
        metavar="N|Ns",
        help="epochs, or seconds as in 60s; default 10s",
    )
    add("--device", choices=["cpu", "gpu"], help="default: what JAX finds first")
    add("--x64", action="store_true", help="train in float64; the proof always is")
    add("--skip-proof", action="store_true", help="train without proving the gradients first")
    add("--json", action="store_true", help="print results.json, one object, at the end; all else on standard error")
    add("--tensorboard", action="store_true", help="write event files of the curves to tensorboard/ in the run folder")
    return parser


def _model(text: str) -> str:
    if text not in TASKS and not is_file(text):
        known = ", ".join(map(repr, TASKS))
        raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {known}, or a .keras or .h5 file)")
    return text


def _whole(least: int) -> Any:
    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        # The seed and the counts are 32-bit numbers in JAX.
        if not least <= value < 2**31:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, got {text!r}")
        return value

    return convert


def _every(text: str) -> Every:
    try:
        every = Every(seconds=float(text[:-1])) if text.endswith("s") else Every(epochs=int(text))
    except ValueError:
        every = Every(0)
    number = every.epochs if every.seconds is None else every.seconds
    if number is None or not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(
            f"must be a number of epochs above zero, or of seconds as in 60s, got {text!r}"
        )
    return every


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be a share between zero and one, got {text!r}")
    return value


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above zero, got {text!r}")
    return value
