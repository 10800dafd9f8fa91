"""What can be asked of the command, and what is refused before any work."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..version import __version__
from . import plugins

MISTAKE = 2

DESCRIPTION = """\
Look at, check, run and export a model that Keras saved (.keras, or a whole-model .h5), without Keras."""

EPILOG = """\
examples:
  jconv summary model.keras
  jconv verify model.keras
  jconv run model.keras --input x.npy --output y.npy
  jconv export model.keras --to model.stablehlo

exit codes: 0 done, 1 verify found a deviation beyond its bound, 2 a mistake in an option or a file, 130 stopped by
Ctrl-C. `jconv COMMAND --help` explains each."""

SUMMARY = """\
Print the layers with their shapes, sizes, receptive fields ("sees": input samples that one output sample spans), FLOPs
for one example, and the algorithm that each convolution gets here. "reads" is empty for a layer that reads the one
above it. Where the file leaves the length open, --length says one."""

VERIFY = """\
Compare JAX with the NumPy definition in float64: layer by layer, each fed with the definition's own input, and the
whole network. Every deviation is relative to the largest value of the definition's output. Bounds: 1e-5 in float32
(1e-4 with recurrent layers, whose rounding adds up along the sequence; 2e-2 where a layer computes in bfloat16 or
float16) and 1e-12 in float64. Outputs of a softmax or sigmoid that are all 0 or 1 are compared before it.

With --keras the outputs of Keras's layers too are compared, with the first bound: of Keras 3, and for a file of Keras 2
of Keras 2 or tf-keras where that is installed. It runs in a process of its own, with safe_mode on, for at most 300
seconds and in at most 8 GiB, on a copy that jconv writes; it never sees the file itself.

The input is random, whole numbers where an embedding reads it, unless there is --input."""

RUN = """\
Compute the model's output for a whole file of inputs.

--input is a .npy file of shape (examples, ...), or for a model with several inputs a .npz file with an array for each
by its name. Numbers are read as float32, whole ones where an embedding reads them as int32. The output is written as
.npy, or for several outputs as .npz by their names; bfloat16 is written as float32. No half of a file is left behind
where something fails. A .npy file is read and written a batch at a time."""

EXPORT = """\
Write the network with its arrays as a program of jax.export (StableHLO inside), for any number of examples and, where
the network allows it, any length. It runs without jconv:

  import jax
  program = jax.export.deserialize(bytearray(open("model.stablehlo", "rb").read()))
  y = program.call(x)

Several inputs are a dict by their names, as several outputs are. Open sizes leave every convolution to XLA's own
algorithm; a fixed --batch and --length let jconv choose, on one platform."""


class Parser(argparse.ArgumentParser):
    """One that says a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the line and leave with 2."""
        print(f"jconv: {message}; {self.prog} --help explains the options", file=sys.stderr)
        raise SystemExit(MISTAKE)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options in `arguments`, by default those of the process; `command` is the name of the command.

    A mistake is one line on standard error and `SystemExit(2)`.

    >>> parse(["summary", "model.keras", "--length", "100"]).length
    100
    """
    parser = Parser(
        prog="jconv",
        description=DESCRIPTION,
        epilog=plugins.listing() + EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"jconv {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text, add in (
        ("summary", SUMMARY, _summary),
        ("verify", VERIFY, _verify),
        ("run", RUN, _run),
        ("export", EXPORT, _export),
    ):
        one = commands.add_parser(
            name,
            help=text.split(".")[0].split(":")[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        one.add_argument("file", type=Path, metavar="FILE", help="a .keras or whole-model .h5 file")
        add(one)
        one.add_argument(
            "--algorithm",
            choices=("auto", "fastest"),
            default="auto",
            help="auto: local algorithms, whose error is bounded for each output; fastest: all; default auto",
        )
        one.add_argument(
            "--max-bytes",
            type=_whole(1),
            metavar="N",
            help="what the arrays of FILE may need, and those of a .npz input; default 4 GiB",
        )
    return parser.parse_args(arguments)


def _summary(parser: Any) -> None:
    parser.add_argument("--length", type=_whole(1), metavar="N", help="the length, where the file leaves it open")
    parser.add_argument("--batch", type=_whole(1), default=1, metavar="N", help="examples at once; default 1")
    parser.add_argument("--json", action="store_true", help="the same for machines")


def _verify(parser: Any) -> None:
    parser.add_argument("--input", type=Path, metavar="FILE", help="examples to use: .npy, .npz for several inputs")
    parser.add_argument("--length", type=_whole(1), metavar="N", help="of the random input; default the file's, or 64")
    parser.add_argument("--batch", type=_whole(1), default=3, metavar="N", help="random examples; default 3")
    parser.add_argument("--seed", type=_whole(0), default=0, metavar="N", help="of the random input; default 0")
    parser.add_argument("--all", action="store_true", help="show every layer, not only the worst")
    parser.add_argument("--json", action="store_true", help="the same for machines, with every layer")
    parser.add_argument(
        "--keras",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="compare with Keras too, on a copy that jconv writes; default: do not",
    )


def _run(parser: Any) -> None:
    parser.add_argument(
        "--input", type=Path, required=True, metavar="X", help="examples: .npy, .npz for several inputs"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="Y", help=".npy, or .npz for several outputs")
    parser.add_argument("--batch", type=_whole(1), default=32, metavar="N", help="examples at once; default 32")


def _export(parser: Any) -> None:
    parser.add_argument("--to", type=Path, required=True, metavar="NAME", help="the file to write")
    parser.add_argument("--batch", type=_whole(1, "any"), metavar="N", help="a number of examples; default any")
    parser.add_argument(
        "--length", type=_whole(1, "any"), metavar="N", help="a length; default any where possible, else the file's"
    )
    parser.add_argument(
        "--platforms", type=_platforms, metavar="A,B", help="cpu, cuda, rocm, tpu; default cpu,cuda where possible"
    )


def _whole(least: int, word: str | None = None) -> Any:
    def convert(text: str) -> Any:
        if text == word:
            return word
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value < 2**63:
            or_word = f" or {word!r}" if word else ""
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}{or_word}, got {text!r}")
        return value

    return convert


def _platforms(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    known = ("cpu", "cuda", "rocm", "tpu")
    if not set(names).issubset(known) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"must be some of {','.join(known)} with commas between, got {text!r}")
    return names
