"""The options of the command and their help texts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..version import __version__
from . import plugins
from .errors import Parser

DESCRIPTION = """\
Summarize, check, run and export a model that Keras saved (.keras, or a complete model in .h5), without Keras."""

EPILOG = """\
examples:
  jconv summary model.keras
  jconv verify model.keras
  jconv run model.keras --input x.npy --output y.npy
  jconv export model.keras --to model.stablehlo
  jconv export model.keras --to model_stream --stream --chunk 16

exit codes: 0 success, 1 verify found a deviation beyond its bound, 2 a mistake in an option or a file, 130 stopped by
Ctrl-C. `jconv COMMAND --help` explains each command."""

SUMMARY = """\
Print the layers with their shapes, parameters, receptive fields ("sees": the number of input samples that one output
sample depends on), FLOPs for one example, and the algorithm of each convolution on this machine. "reads" is empty for a
layer that reads the one above it. If the length is not fixed in the file, --length sets it."""

VERIFY = """\
Compare JAX with the NumPy definition in float64: each layer, on the definition's own input, and the complete network.
Deviations are relative to the largest value of the definition's output. Their bounds are 1e-5 in float32 (1e-4 with
recurrent layers, whose rounding errors accumulate along the sequence; 2e-2 if a layer computes in bfloat16 or float16)
and 1e-12 in float64. If all outputs of a softmax or sigmoid are 0 or 1, the values before it are compared.

--keras also compares the outputs of Keras's layers, with the network's bound in float32. Files of Keras 2 are compared
with Keras 2 or tf-keras if one is installed, and otherwise with Keras 3. Keras runs in a separate process with
safe_mode, for at most 300 seconds and with at most 8 GiB, on a copy that jconv writes; it never opens the file itself.

Without --input, the input is random: integers for an embedding, else real numbers."""

RUN = """\
Compute the model's output for a file of inputs.

--input is a .npy file of shape (examples, ...), or for a model with several inputs a .npz file with one array per
input name. Numbers are converted to float32, or to int32 for an embedding. The output is written as .npy, or for
several outputs as .npz with one array per output name; bfloat16 becomes float32. .npy files are read and written batch
by batch. If something fails, no partial file is left."""

EXPORT = """\
Write the network with its parameters as a program of jax.export (StableHLO), for any number of examples and, if the
network allows it, any length. It runs without jconv:

  import jax
  program = jax.export.deserialize(bytearray(open("model.stablehlo", "rb").read()))
  y = program.call(x)

Several inputs are passed as a dict by name, and several outputs are returned as a dict. With symbolic sizes, XLA
chooses the algorithm of each convolution; with --batch, --length and one platform, jconv does.

--stream writes a new folder NAME of programs that compute the network chunk by chunk, if its layers allow that:

  start.stablehlo       start(x) -> (y, state)        for the first samples, possibly none
  step.stablehlo        step(state, x) -> (y, state)  for the next N samples, with --chunk N
  short_step.stablehlo  like step, for as few samples as possible; only if N is larger
  end.stablehlo         end(state) -> y               the outputs that still wait for samples
  stream.json           the number of samples of each call, and the delay of the outputs

The y of all calls, concatenated, are the output for the complete sequence. `state` is a tuple of arrays. x has the
shape of the model's input, with the number of samples of the call as its length."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options in `arguments`, by default `sys.argv[1:]`; `command` is the name of the subcommand.

    A mistake is printed as one line on standard error and raises `SystemExit(2)`.

    >>> parse(["summary", "model.keras", "--length", "100"]).length
    100
    """
    parser = Parser(prog="jconv", description=DESCRIPTION, epilog=plugins.help_text() + EPILOG)
    parser.add_argument("--version", action="version", version=f"jconv {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text, add_options in (
        ("summary", SUMMARY, _add_summary),
        ("verify", VERIFY, _add_verify),
        ("run", RUN, _add_run),
        ("export", EXPORT, _add_export),
    ):
        command = commands.add_parser(name, help=text.split(".")[0].split(":")[0], description=text)
        command.add_argument("file", type=Path, metavar="FILE", help="a .keras file, or a complete model in .h5")
        add_options(command)
        command.add_argument(
            "--algorithm",
            choices=("auto", "fastest"),
            default="auto",
            help="auto: local algorithms, with an error bound for each output; fastest: all; default auto",
        )
        command.add_argument(
            "--input-shape",
            type=_shape,
            metavar="N,N",
            help="shape of one example, if FILE has none: samples,channels, for example any,3",
        )
        _add_integer(
            command,
            "--max-bytes",
            default=4 * 2**30,
            help="limit on the bytes of the arrays in FILE, and in a .npz input; default 4 GiB",
        )
    return parser.parse_args(arguments)


def _add_summary(parser: Any) -> None:
    _add_integer(parser, "--length", help="the length, if it is unknown in the file")
    _add_integer(parser, "--batch", default=1, help="batch size; default 1")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_verify(parser: Any) -> None:
    parser.add_argument("--input", type=Path, metavar="FILE", help="examples: .npy, or .npz for several inputs")
    _add_integer(parser, "--length", help="length of random inputs; default the file's, or 64")
    _add_integer(parser, "--batch", default=3, help="number of random examples; default 3")
    _add_integer(parser, "--seed", minimum=0, default=0, help="seed of random inputs; default 0")
    parser.add_argument("--all", action="store_true", help="show all layers, not only the worst")
    parser.add_argument("--json", action="store_true", help="print JSON, with all layers")
    parser.add_argument(
        "--keras",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="also compare with Keras, on a copy that jconv writes; default no",
    )


def _add_run(parser: Any) -> None:
    parser.add_argument(
        "--input", type=Path, required=True, metavar="X", help="examples: .npy, or .npz for several inputs"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="Y", help=".npy, or .npz for several outputs")
    _add_integer(parser, "--batch", default=32, help="batch size; default 32")


def _add_export(parser: Any) -> None:
    parser.add_argument("--to", type=Path, required=True, metavar="NAME", help="the file to write, or a new folder")
    parser.add_argument("--stream", action="store_true", help="write programs that compute chunk by chunk")
    _add_integer(parser, "--chunk", help="samples per step of a stream; default as few as possible")
    _add_integer(parser, "--batch", word="any", default="any", help="the number of examples; default any")
    _add_integer(parser, "--length", word="any", help="the length; default any if possible, else the file's")
    parser.add_argument(
        "--platforms", type=_platforms, metavar="A,B", help="cpu, cuda, rocm, tpu; default cpu,cuda if possible"
    )


def _add_integer(parser: Any, name: str, *, minimum: int = 1, word: str | None = None, **options: Any) -> None:
    parser.add_argument(name, type=_integer(minimum, word), metavar="N", **options)


def _integer(minimum: int, word: str | None = None) -> Any:
    """A parser of integers of at least `minimum`, which also accepts `word`."""

    def convert(text: str) -> Any:
        if text == word:
            return word
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if not minimum <= value < 2**63:
            or_word = f" or {word!r}" if word else ""
            raise argparse.ArgumentTypeError(f"must be an integer of at least {minimum}{or_word}, got {text!r}")
        return value

    return convert


def _shape(text: str) -> tuple[int | None, ...]:
    size = _integer(1, "any")
    return tuple(None if part == "any" else size(part) for part in text.split(","))


def _platforms(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    known = ("cpu", "cuda", "rocm", "tpu")
    if not set(names).issubset(known) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"must be a comma-separated list of {', '.join(known)}, got {text!r}")
    return names
