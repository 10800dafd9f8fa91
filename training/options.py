"""The command line of `python -m training.fit`: what can be asked for, and what is refused before any work."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from .data.datasets import BUILT_IN
from .losses import LOSSES
from .networks import NETWORKS
from .optimizers import OPTIMIZERS
from .pretrained import is_file
from .protocols import PROTOCOLS
from .tasks import TASKS

DESCRIPTION = """\
Train a 1-D convolutional network on a set of series, after proving its gradients.

Without options: prove the gradients of the fully convolutional network of Wang, Yan and Oates (2017) to 1e-11 against
a NumPy definition, then train it on GunPoint, 50 series of real motion capture, and test it on 150 others."""

NETWORK_WORDS = "\n  ".join(f"{name:<14} {kind.words}" for name, kind in NETWORKS.items() if not kind.sequence)

EPILOG = f"""\
examples:
  python -m training.fit
  python -m training.fit --model two-layer
  python -m training.fit --data series.csv --epochs 100 --out runs/first
  python -m training.fit --data Trace_TRAIN.tsv
  python -m training.fit --data Covid3Month --model resnet --epochs 100
  python -m training.fit --seed 1 --overwrite --skip-proof
  python -m training.fit --model some.keras --data series.csv --epochs 20
  python -m training.fit --model some.keras --data series.csv --optimizer adamw --loss cross-entropy

data files:
  .tsv, .csv   a row a series, the label first, then the samples; a .csv may have a header row. X_TEST.tsv is the test
               set of X_TRAIN.tsv where it lies beside it.
  .npz         x_train (n, length) or (n, length, channels), y_train (n,); x_test and y_test, or neither.
  .npy         these arrays one by one, beside each other: X_x_train.npy, X_y_train.npy and so on.
  .ts, .arff   as aeon reads them, likewise with X_TEST beside X_TRAIN.
  NAME         a set of the UCR and UEA archives: in aeon's package, or fetched once.
  Labels are text or whole numbers, classes; numbers with fractions are the targets of a regression, and so are all
  numbers with --task regression. They are standardized by the training set.
  Series may differ in length: shorter rows, or NaN behind. Nothing else may be missing. Each channel is standardized
  by the training set.

models:
  {NETWORK_WORDS}
  two-layer      forecasts the next 16 samples of the first channel from 100: two convolutions of 16 filters, kernel
                 size 12, stride 12. Labels are not used; all others tell classes apart.
  FILE           a network that Keras saved, .keras or .h5: trained on from its weights, with the layers' penalties
                 and constraints and, where it was compiled, its optimizer with that one's state and its loss;
                 --optimizer and --loss take their places. It reads series of the data's length and channels,
                 standardized, and its output is a number for each class, one number for a regression, or 16
                 numbers (1, 16), a forecast.

the run folder:
  report.html, which shows it all; config.json, gradients.json (the proof), metrics.csv (a line an epoch),
  results.json, params.npz, and pictures; for a network from a file model.keras, with which Keras goes on;
  checkpoints/, the last two and the best. python -m training.compare RUN RUN ... sets runs side by side.
  Ctrl-C or SIGTERM stops after the epoch and saves what there is; another Ctrl-C stops at once. The same command with
  --resume goes on from the newest checkpoint, to the same numbers as if the run had never stopped.

exit codes: 0 done, 1 gradients not proved or a loss that is not finite, 2 a mistake in an option or a file, or a folder
that cannot be written to, 130 stopped by Ctrl-C, 143 by SIGTERM."""


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
