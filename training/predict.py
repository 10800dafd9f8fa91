"""`python -m training.predict RUN`: predictions of a trained network for new series, or the network as a program."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np

from .arrays import Array
from .data import datasets
from .errors import MISTAKE, Parser, UserError, output, require
from .estimators import hydra_ridge
from .estimators.hydra_ridge import TrainedHydra
from .options.options import CHANNELS
from .run import durable, run_folder, trained
from .run.trained import Trained

DESCRIPTION = """\
Predict with a network that python -m training.fit has trained.

RUN is its run folder. Series have the units of the training data: they are standardized in the same way, and
predictions have these units too."""

EPILOG = """\
examples:
  python -m training.predict runs/first --data new.csv
  python -m training.predict runs/first --data new.npy --out predictions.npy
  python -m training.predict runs/first --data new.csv --labels none --json
  python -m training.predict runs/first --export network.bin

--data: a .npy file of series (n, length) or (n, length, channels), with NaN after the end of shorter ones; or what
training reads, of which the test set is used if there is one, without its labels. The rows of a .csv or .tsv may begin
with a label: a row must have as many values as a training series, or one more. Rows of other lengths need --labels, and
so do all rows if the training series had several lengths. A forecast continues each series.

The output is a .csv with a row for each series: its number, from 1, and the class and all probabilities, or the
prediction, or the class or value of each sample; series of several channels have a row for each channel. A .npy has
the probabilities or values as an array; --json prints one object.

--export: a program for jax.export.deserialize(bytes).call(x), which needs only JAX. It reads any number of series of
the training length, in the units of the data.

exit codes: 0 done, 2 an error in an option or a file."""

ARRAYS = (".npy", ".npz")
EXTRA = "jax.export needs flatbuffers to write a program: pip install flatbuffers"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; see `python -m training.predict --help`."""
    parser = _parser()
    options = parser.parse_args(arguments)
    for name in ("labels", "channels", "out", "json"):
        if options.export and getattr(options, name):
            parser.error(f"argument --{name}: applies to predictions, not to --export")
    try:
        network = hydra_ridge.read(options.run) or trained.read(options.run)
        with jax.enable_x64(network.x64):
            if options.export:
                if isinstance(network, TrainedHydra):
                    raise UserError(f"{network.name}: --export is for networks, and this is a ridge classifier")
                _write(options.export, exported(network))
                length, channels = network.shape
                output(f"{options.export}: a program for series of shape (any number, {length}, {channels})\n")
            else:
                _predict_file(options, network)
    except UserError as error:
        print(f"predict: {error}", file=sys.stderr)
        return MISTAKE
    return 0


def predict(network: Trained | TrainedHydra, x: Array, lengths: Array | None = None) -> Array:
    """Predictions for series x (n, length, channels), computed in batches; see `trained.predict`.

    Raises `UserError` for series that do not fit the network.
    """
    if x.shape[2] != network.shape[1]:
        raise UserError(f"{network.name}: series have {x.shape[2]} channels, the network takes {network.shape[1]}")
    if isinstance(network, TrainedHydra):
        return network.model.probabilities(x, lengths)
    if network.kind == "forecast":
        x, lengths = _windows(network, x, lengths), None
    model = trained.model_for(network, x.shape[1], lengths)
    outputs = jax.jit(lambda x, lengths: trained.outputs(network, model, x, lengths))
    return trained.predict_in_batches(network, outputs, x, lengths)


def exported(network: Trained) -> bytes:
    """A program of `jax.export` for any number of series of the training length.

    Raises `UserError` without the package flatbuffers, which JAX needs to write it.
    """
    require(EXTRA, "flatbuffers")
    length, channels = network.shape
    model = trained.model_for(network, length)
    dtype = jax.tree.leaves(network.params)[0].dtype
    x = jax.ShapeDtypeStruct(jax.export.symbolic_shape(f"n, {length}, {channels}"), dtype)
    predict_batch = jax.jit(lambda x: trained.predict(network, model, x))
    return bytes(jax.export.export(predict_batch, platforms=("cpu", "cuda"))(x).serialize())


def table(network: Trained | TrainedHydra, found: Array, lengths: Array | None = None) -> str:
    """The predictions as CSV; cells after the end of shorter series are empty."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(_rows(network, found, lengths))
    return text.getvalue()


def as_json(network: Trained | TrainedHydra, found: Array, lengths: Array | None = None) -> dict[str, Any]:
    """The predictions as one object: the run, its task, and an object for each series, in the order of the file.

    A series has its `class` and `probabilities` by class, or its `prediction`, or the `classes` of its samples, or
    their `values` as a list for each channel.
    """
    own = [None] * len(found) if lengths is None or network.kind == "forecast" else lengths
    series = [_object(network, values, length) for values, length in zip(found, own, strict=True)]
    return {"run": network.name, "task": network.kind, "series": series}


def _object(network: Trained | TrainedHydra, values: Array, length: int | None) -> dict[str, Any]:
    if network.kind == "classification":
        probabilities = dict(zip(network.classes, values.tolist(), strict=True))
        return {"class": network.classes[values.argmax()], "probabilities": probabilities}
    if network.kind == "regression":
        return {"prediction": float(values)}
    if network.kind == "segment":
        return {"classes": [network.classes[number] for number in values[:length].argmax(-1)]}
    return {"values": values[:length].T.tolist()}


def _rows(network: Trained | TrainedHydra, found: Array, lengths: Array | None) -> Iterator[list[Any]]:
    series = as_json(network, found, lengths)["series"]
    if network.kind == "classification":
        yield ["series", "class", *network.classes]
        for number, own in enumerate(series, start=1):
            yield [number, own["class"], *map(_text, own["probabilities"].values())]
        return
    if network.kind == "regression":
        yield ["series", "prediction"]
        yield from ([number, _text(own["prediction"])] for number, own in enumerate(series, start=1))
        return
    longest, several = found.shape[1], network.kind != "segment" and found.shape[2] > 1
    yield ["series", *(["channel"] if several else []), *range(1, longest + 1)]
    for number, own in enumerate(series, start=1):
        for channel, line in enumerate([own["classes"]] if network.kind == "segment" else own["values"], start=1):
            padding = [""] * (longest - len(line))
            yield [number, *([channel] if several else []), *map(_text, line), *padding]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(float(value))


def _windows(network: Trained, x: Array, lengths: Array | None) -> Array:
    """The last samples of each series, which a forecast reads."""
    window = network.shape[0]
    ends = np.full(len(x), x.shape[1]) if lengths is None else lengths
    if ends.min() < window:
        short = int(ends.argmin())
        raise UserError(f"{network.name}: a forecast reads {window} samples; series {short + 1} has {ends[short]}")
    return np.stack([series[end - window : end] for series, end in zip(x, ends, strict=True)])


def _read(network: Trained | TrainedHydra, source: str, labels: str | None, channels: str | None) -> datasets.Series:
    """The series to predict for; by default arrays have the layout of the training data."""
    is_array = source.endswith(ARRAYS)
    first = channels == "first" if channels or not is_array else network.channels_first
    has_classes = network.kind == "classification"
    found = datasets.series(source, network.length, network.is_fixed, labels, first, has_classes)
    if is_array and channels is None and found.x.shape[2] != network.shape[1] == found.x.shape[1]:
        other = "last" if first else "first"
        words = f"series have {found.x.shape[2]} channels, the network takes {network.shape[1]}"
        raise UserError(f"{source}: {words}; --channels {other} reads them as {network.shape[1]} channels")
    return found


def _notes(network: Trained | TrainedHydra, found: datasets.Series) -> list[str]:
    """Notes on how the series were read, and on lengths that differ from training."""
    notes = list(found.notes)
    sizes = np.full(len(found.x), found.x.shape[1]) if found.lengths is None else found.lengths
    if network.is_fixed and network.kind != "forecast" and (sizes != network.length).any():
        shortest, longest = int(sizes.min()), int(sizes.max())
        found_sizes = f"{shortest}" if shortest == longest else f"{shortest} to {longest}"
        notes.append(f"series have {found_sizes} samples; the network was trained on series of {network.length}")
    return notes


def _predict_file(options: argparse.Namespace, network: Trained | TrainedHydra) -> None:
    series, out = _read(network, options.data, options.labels, options.channels), options.out
    found = predict(network, series.x, series.lengths)
    for note in _notes(network, series):
        print(f"predict: {note}", file=sys.stderr)
    if options.json:
        output(run_folder.as_json(as_json(network, found, series.lengths)))
    elif out is None:
        output(table(network, found, series.lengths))
    elif out.suffix == ".npy":
        content = io.BytesIO()
        np.save(content, found)
        _write(out, content.getvalue())
    else:
        _write(out, table(network, found, series.lengths).encode())


def _write(path: Path, content: bytes) -> None:
    with run_folder.writable(path.parent):
        durable.write(path, content)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m training.predict", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder of python -m training.fit")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", metavar="NAME|FILE", help="series to predict for")
    what.add_argument("--export", type=Path, metavar="FILE", help="write the network as a program of jax.export")
    words = "whether rows of a .csv or .tsv begin with a label; default: by the length of the training series"
    parser.add_argument("--labels", choices=["first", "none"], help=words)
    words = "the position of the channel axis in arrays; default: as in training"
    parser.add_argument("--channels", choices=CHANNELS, help=words)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--out", type=_out, metavar="FILE", help="a .csv or .npy; default standard output")
    where.add_argument("--json", action="store_true", help='print {"run": ..., "task": ..., "series": [...]}')
    return parser


def _out(text: str) -> Path:
    if not text.endswith((".csv", ".npy")):
        raise argparse.ArgumentTypeError(f"the name must end in .csv or .npy, got {text!r}")
    return Path(text)


if __name__ == "__main__":
    raise SystemExit(main())
