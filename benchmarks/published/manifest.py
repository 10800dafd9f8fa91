"""The manifest of published files and the recorded outputs of Keras: two tables, without content of the files."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from training.errors import UserError

DATA = Path(__file__).resolve().parents[1] / "data"
MANIFEST, OUTPUTS = DATA / "wild.csv", DATA / "wild_outputs.csv"

LOADS = "loads"
REFUSED = "refused: "
"""The expectations: a file loads, or it is refused with an error that contains a word."""

BATCH = 2
VALUES = 12
"""The number of examples of an input, and of recorded values of the outputs."""

SMALL = 0.05
"""The standard deviation of the second example; that of the first is 1."""


Inputs = tuple[tuple[tuple[int, ...], int | None], ...]
"""For each input in order, its shape with the batch, and the number of rows of the embedding that reads it, or None."""


class Published(NamedTuple):
    """A row of the manifest: a file, by package and version or by repository and commit.

    `supplied` is the key in `stand_ins.STAND_INS` of the stand-ins for classes and functions that the file only names.
    """

    kind: str
    source: str
    version: str
    path: str
    sha256: str
    bytes: int
    licence: str
    keras: str
    supplied: str
    expected: str

    @property
    def project(self) -> str:
        """The name in the table: a package with its version, or a repository."""
        return f"{self.source} {self.version}" if self.kind == "package" else self.source

    @property
    def refused_by(self) -> str | None:
        """The word of the expected refusal; None if the file is expected to load."""
        return self.expected.removeprefix(REFUSED) if self.expected.startswith(REFUSED) else None


class Recorded(NamedTuple):
    """Recorded outputs of Keras: equally spaced `values` of all outputs, and the largest absolute value as `scale`."""

    sha256: str
    by: str
    inputs: Inputs
    scale: float
    values: tuple[float, ...]

    def deviation(self, outputs: Iterable[Any]) -> float:
        """The largest difference of the outputs from Keras's, relative to the scale."""
        values = recorded_values(outputs)[0]
        if len(values) != len(self.values):
            return float("inf")
        difference = np.abs(np.subtract(values, self.values))
        # NaN counts as a difference.
        return float(difference.max() / (self.scale or 1.0)) if np.isfinite(difference).all() else float("inf")


def examples(inputs: Inputs) -> list[np.ndarray[Any, Any]]:
    """The arrays of the inputs, from NumPy's legacy generator, whose values never change, with seed 0.

    Except for indices, the second example is small, because a large one may saturate the outputs.

    >>> [x] = examples((((1, 4), 9),))
    >>> x.tolist()
    [[5, 0, 3, 3]]
    """
    rng = np.random.RandomState(0)
    arrays: list[np.ndarray[Any, Any]] = []
    for shape, rows in inputs:
        x = rng.standard_normal(shape).astype("float32") if rows is None else rng.randint(0, rows, shape, "int32")
        if rows is None:
            x[1:] *= SMALL
        arrays.append(x)
    return arrays


def recorded_values(outputs: Iterable[Any]) -> tuple[list[float], float]:
    """The recorded values of outputs, and their scale.

    >>> recorded_values([np.array([[1, -3], [2, 0]]), np.ones(1)])
    ([1.0, -3.0, 2.0, 0.0, 1.0], 3.0)
    """
    flat = np.concatenate([np.asarray(y, "float64").ravel() for y in outputs])
    if not flat.size:
        return [], 0.0
    places = np.linspace(0, flat.size - 1, min(VALUES, flat.size)).astype(int)
    return flat[places].tolist(), float(np.abs(flat).max())


def read_manifest(path: Path) -> list[Published]:
    """The rows of a manifest. Raises `UserError` for a file that is not one."""
    rows = []
    for place, row in _rows(path, Published._fields):
        if not row["bytes"].isdecimal():
            raise UserError(f"{place}: bytes must be a whole number, got {row['bytes']!r}")
        published = Published(**{**row, "bytes": int(row["bytes"])})
        if published.kind not in ("package", "repository"):
            raise UserError(f"{place}: kind must be package or repository, got {published.kind!r}")
        if not re.fullmatch("[0-9a-f]{64}", published.sha256):
            raise UserError(f"{place}: sha256 must be 64 hexadecimal digits, got {published.sha256!r}")
        if published.expected != LOADS and not published.refused_by:
            raise UserError(f"{place}: expected must be loads, or refused: and a word, got {published.expected!r}")
        rows.append(published)
    return rows


def read_outputs(path: Path) -> dict[str, Recorded]:
    """The recorded outputs by digest; empty if there is no such file. Raises `UserError` for other content."""
    if not path.exists():
        return {}
    recorded = {}
    for place, row in _rows(path, Recorded._fields):
        try:
            inputs = tuple((tuple(shape), limit) for shape, limit in json.loads(row["inputs"]))
            values = tuple(float(value) for value in row["values"].split())
            recorded[row["sha256"]] = Recorded(row["sha256"], row["by"], inputs, float(row["scale"]), values)
        except (ValueError, TypeError) as error:
            raise UserError(f"{place}: {error}") from None
    return recorded


def write_outputs(path: Path, recorded: Mapping[str, Recorded]) -> None:
    """Write recorded outputs, in the order of the digests."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Recorded._fields)
        for digest in sorted(recorded):
            row = recorded[digest]
            values = " ".join(f"{value:.9g}" for value in row.values)
            writer.writerow([row.sha256, row.by, json.dumps(row.inputs), f"{row.scale:.9g}", values])


def _rows(path: Path, fields: tuple[str, ...]) -> Iterable[tuple[str, dict[str, str]]]:
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != fields:
                raise UserError(f"{path.name}: the first line must be {','.join(fields)}")
            for row in reader:
                place = f"{path.name}, line {reader.line_num}"
                if None in row or None in row.values():
                    raise UserError(f"{place}: must have {len(fields)} values")
                yield place, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
