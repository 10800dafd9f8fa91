"""The options of `python -m training.fit`."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..core.optimizers import OPTIMIZERS
from ..core.precision import PRECISIONS
from ..core.protocols import PROTOCOLS
from ..core.schedules import SCHEDULES
from ..data.datasets import BUILT_IN
from ..errors import Parser
from ..networks import NETWORKS
from ..networks.pretrained import is_file
from ..tasks import HORIZON, NOISE, TASKS, WINDOW
from ..tasks.losses import LOSSES
from .help import DESCRIPTION, EPILOG
from .types import Interval, address, augmentation, channel, every, fold, not_negative, positive, share, whole

CHANNELS = ("first", "last")
TRACKERS = ("mlflow",)

HYDRA = "hydra"
"""A model that is not a network: random convolutions and a ridge classifier."""

# Options that the results of a run do not depend on.
FREE = (
    "command",
    "given",
    "out",
    "overwrite",
    "resume",
    "allow_changed_data",
    "allow_changed_conditions",
    "checkpoint_every",
    "device",
    "devices",
    "shard_length",
    "processes",
    "process_id",
    "coordinator",
    "skip_proof",
    "json",
    "tensorboard",
    "tracker",
)


class Options(NamedTuple):
    """The options of a run. None is a default that depends on the model or the data.

    `command` is the command line, `given` the options in it with their text, True for one without a value.
    """

    command: str
    given: dict[str, str | bool]
    data: str
    channels: str | None
    model: str
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    optimizer: str | None
    loss: str | None
    task: str | None
    window: int | None
    horizon: int | None
    target_channel: str | None
    noise: float | None
    augment: str | None
    validation: float | None
    fold: str | None
    folds: int | None
    seed: int
    members: int
    keep: str | None
    protocol: str | None
    out: Path
    overwrite: bool
    resume: bool
    allow_changed_data: bool
    allow_changed_conditions: bool
    checkpoint_every: Interval
    device: str | None
    devices: int
    shard_length: int
    processes: int | None
    process_id: int | None
    coordinator: str | None
    x64: bool
    skip_proof: bool
    json: bool
    tensorboard: bool
    tracker: str | None
    schedule: str | None
    warm_up: int | None
    precision: str | None
    accumulate: int
    clip: float | None
    weight_decay: float | None
    label_smoothing: float | None
    class_weights: str | None
    early_stopping: int | None
    ema: float | None
    algorithm: str


def parse(arguments: Sequence[str] | None, command: str = "fit") -> Options:
    """The options in `arguments`, by default in the arguments of the process.

    An error is one line on standard error that begins with the command, and `SystemExit(2)`.

    >>> str(parse(["--model", "two-layer", "--seed", "3"]).out)
    'runs/gunpoint-two-layer-3'
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _parser(command)
    values = vars(parser.parse_args(arguments))
    values["command"] = shlex.join(["python", "-m", f"training.{command}", *arguments])
    values["given"] = _given(_parser(command), arguments)
    if values["model"] is None:
        values["model"] = "unet" if values["task"] in ("denoise", "segment") else "fcn"
    if values["out"] is None:
        model = values["model"] if values["model"] in NETWORKS else Path(values["model"]).stem
        values["out"] = Path("runs") / f"{Path(values['data']).stem}-{model}-{values['seed']}"
    if values["devices"] is None:
        values["devices"] = max(values["processes"] or 1, values["shard_length"])
    _check_processes(parser, values["processes"], values["process_id"], values["coordinator"])
    return Options(**values)


def _given(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> dict[str, str | bool]:
    """The options that `arguments` name, in the order of the help, with the text of their values."""
    for action in parser._actions:
        action.default, action.type = argparse.SUPPRESS, None
    found = vars(parser.parse_args(arguments))
    return {action.option_strings[-1]: found[action.dest] for action in parser._actions if action.dest in found}


def _check_processes(parser: argparse.ArgumentParser, count: int | None, number: int | None, at: str | None) -> None:
    """Refuse `--process-id` and `--coordinator` that do not fit `--processes`."""
    for name, value in (("--process-id", number), ("--coordinator", at)):
        if count is None and value is not None:
            parser.error(f"argument {name}: applies to one of several processes, and needs --processes N")
    if count is not None and number is not None and number >= count:
        parser.error(f"argument --process-id: must be less than the {count} of --processes, got {number}")


def _parser(command: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=f"python -m training.{command}",
        description=DESCRIPTION,
        epilog=EPILOG,
    )

    group = parser.add_argument_group("data and model")
    add = group.add_argument
    add(
        "--data",
        default="gunpoint",
        metavar="NAME|FILE",
        help=f"{', '.join(BUILT_IN)}, a set's name, or a file",
    )
    words = "channel axis of arrays: last (default), (n, length, channels), or first, (n, channels, length)"
    add("--channels", choices=CHANNELS, help=words)
    add(
        "--model",
        type=_model,
        metavar="NAME|FILE",
        help=f"{', '.join(NETWORKS)}, {HYDRA}, or a file; default fcn, to denoise or segment unet",
    )
    held = group.add_mutually_exclusive_group().add_argument
    held("--validation", type=share, metavar="SHARE", help="hold out this share of the training series for validation")
    held("--fold", type=fold, metavar="I/K", help="hold out the I-th of K folds of the training series, as 2/5")
    held("--folds", type=whole(2), metavar="K", help="train K times, without each fold once, in --out/fold-I")
    words = "seed of the initial params and of the order of the examples; default 0"
    add("--seed", type=whole(0), default=0, metavar="N", help=words)
    add(
        "--members",
        type=whole(1),
        default=1,
        metavar="N",
        help="ensemble size: networks with different seeds; default 1",
    )

    add = parser.add_argument_group("task").add_argument
    add(
        "--task",
        choices=TASKS,
        help="default by labels and network: regression if labels have fractions, else classification; two-layer "
        "forecasts, unet denoises or, if each sample has a label, segments",
    )
    add("--window", type=whole(1), metavar="W", help=f"samples that a forecast is made from; default {WINDOW}")
    add("--horizon", type=whole(1), metavar="H", help=f"samples that are forecast; default {HORIZON}")
    add("--target-channel", type=channel, metavar="N|all", help="channel to forecast, from 1, or all; default 1")
    add(
        "--noise",
        type=positive,
        metavar="R",
        help="to denoise: the standard deviation of the noise, relative to the standard deviation of the channel; "
        f"default {NOISE}",
    )
    add(
        "--augment",
        type=augmentation,
        metavar="NAME=R,...",
        help="change the series of each step: jitter=0.03, scaling=0.1, slice=0.9 (the share that is kept), warp=0.2",
    )

    add = parser.add_argument_group("optimization").add_argument
    add("--epochs", type=whole(1), metavar="N", help="passes over the training set; default 400, for a forecast 60")
    add(
        "--batch-size",
        type=whole(1),
        metavar="N",
        help="examples in a batch; default a tenth of the training set, from 4 to 16; for a forecast 32",
    )
    words = "batches in a step, which uses the mean of their gradients; default 1"
    add("--accumulate", type=whole(1), default=1, metavar="N", help=words)
    words = "a new optimizer; default adam, except that a network from a file continues its own"
    add("--optimizer", choices=OPTIMIZERS, help=words)
    add(
        "--learning-rate",
        type=positive,
        metavar="R",
        help="highest learning rate; default 0.001; replaces the rate of an optimizer from a file",
    )
    add("--schedule", choices=SCHEDULES, help="of the learning rate; default cosine, to zero over all epochs")
    add("--warm-up", type=whole(0), metavar="EPOCHS", help="epochs in which the rate rises from zero; default 0")
    add("--clip", type=positive, metavar="NORM", help="scale gradients of a larger norm down to it; default none")
    add(
        "--protocol",
        choices=PROTOCOLS,
        help="published settings: epochs, batch size, schedule, params kept",
    )

    add = parser.add_argument_group("loss and kept params").add_argument
    words = "default: the loss of the file, else cross-entropy for classes and squared-error for numbers"
    add("--loss", choices=LOSSES, help=words)
    add(
        "--label-smoothing",
        type=share,
        metavar="E",
        help="targets are 1 - E for the class of the label, plus E divided equally among all classes; default 0",
    )
    add("--class-weights", choices=["balanced"], help="weight the loss so that all classes contribute equally")
    add(
        "--weight-decay",
        type=not_negative,
        metavar="RATE",
        help="of kernels, at each step RATE times the learning rate; default adamw 0.0001, lion 0.001, else 0",
    )
    add("--keep", choices=["last", "best"], help="params of the last epoch (default), or of the lowest training loss")
    add(
        "--early-stopping",
        type=whole(1),
        metavar="EPOCHS",
        help="stop after EPOCHS without a lower validation loss (training loss without --validation); keep the best",
    )
    add("--ema", type=share, metavar="DECAY", help="keep an exponential moving average of the params, as 0.999")

    add = parser.add_argument_group("computation").add_argument
    add("--device", choices=["cpu", "gpu"], help="default: the platform that JAX finds first")
    add(
        "--devices",
        type=whole(1),
        metavar="N",
        help="shard each batch over N devices, which a CPU can simulate; default 1",
    )
    add(
        "--shard-length",
        type=whole(1),
        default=1,
        metavar="N",
        help="shard the length of series over N of the devices; default 1",
    )
    add("--processes", type=whole(1), metavar="N", help="one run by N processes, by default with a device each")
    add("--process-id", type=whole(0), metavar="K", help="the number of this process, from 0; 0 writes the run folder")
    add("--coordinator", type=address, metavar="HOST:PORT", help="the address of process 0, with a free port")
    words = "dtype in which the layers compute; params stay float32; default float32"
    add("--precision", choices=PRECISIONS, help=words)
    add(
        "--algorithm",
        choices=["auto", "fastest"],
        default="auto",
        help="algorithms of convolutions: only local ones, with an error bound for each output (auto, the default), "
        "or all (fastest)",
    )
    add("--x64", action="store_true", help="train in float64; the proof always uses float64")
    add("--skip-proof", action="store_true", help="train without proving the gradients first")

    group = parser.add_argument_group("run folder")
    add = group.add_argument
    add("--out", type=Path, metavar="DIR", help="the run folder; default runs/DATA-MODEL-SEED")
    again = group.add_mutually_exclusive_group()
    again.add_argument("--overwrite", action="store_true", help="replace an earlier run in that folder")
    again.add_argument("--resume", action="store_true", help="continue the run in that folder, or start it")
    add("--allow-changed-data", action="store_true", help="resume although the data have changed")
    words = "resume although versions, cores, devices or algorithms have changed: the last digits may differ"
    add("--allow-changed-conditions", action="store_true", help=words)
    add(
        "--checkpoint-every",
        type=every,
        default=Interval(seconds=10.0),
        metavar="N|Ns",
        help="epochs, or seconds as in 60s; default 10s",
    )
    add("--json", action="store_true", help="print results.json at the end; everything else on standard error")
    add("--tensorboard", action="store_true", help="write event files of the curves to tensorboard/ in the run folder")
    add("--tracker", choices=TRACKERS, help="log options, curves and files, at the address in MLFLOW_TRACKING_URI")
    return parser


def _model(text: str) -> str:
    if text not in (*NETWORKS, HYDRA) and not is_file(text):
        known = ", ".join(map(repr, (*NETWORKS, HYDRA)))
        raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {known}, or a .keras or .h5 file)")
    return text
