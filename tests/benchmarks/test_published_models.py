"""`python -m benchmarks.published_models` on small networks with the inputs and the crop of the published ones."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jconv
from benchmarks import published_models
from benchmarks.networks import JCONV, KERAS, NetworkRow
from benchmarks.published import ensemble_sides
from benchmarks.published.ensembles import (
    CONTEXT,
    DEEPLC,
    EQUAL,
    MIXED,
    MIXED_VARIANTS,
    PEPTIDES,
    PROJECTS,
    SNV,
    SPLICEAI,
    Variant,
    inputs,
    pair,
    peptides,
    score,
)
from benchmarks.published.manifest import Published
from jconv import Node, layers

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def splice_network() -> jconv.Model:
    steps = [layers.Conv1D(4, 5, padding="same", activation="relu"), layers.Conv1D(3, 3, padding="same")]
    steps += [layers.Cropping1D(CONTEXT // 2), layers.Conv1D(3, 1, activation="softmax")]
    return jconv.sequential(steps, input_shape=(None, 4))


def retention_network() -> jconv.Model:
    names = ("atoms", "pairs", "complete", "residues")
    nodes = [
        Node(f"{name}_{i}", layer, (name if i == 0 else f"{name}_{i - 1}",))
        for name in names
        for i, layer in enumerate([layers.Dense(2)] if name == "complete" else [layers.Conv1D(2, 2), layers.Flatten()])
    ]
    last = tuple(f"{name}_{0 if name == 'complete' else 1}" for name in names)
    nodes += [Node("join", layers.Concatenate(), last), Node("time", layers.Dense(1), ("join",))]
    return jconv.Model(tuple(nodes), names, ("time",), ((60, 6), (30, 6), (55,), (60, 20)))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder, found = tmp_path_factory.mktemp("published"), {}
    for name, model in ((SPLICEAI, splice_network()), (DEEPLC, retention_network())):
        found[name] = [str(folder / f"{name}{seed}.keras") for seed in range(2)]
        for seed, path in enumerate(found[name]):
            jconv.keras.save(path, model, *model.init(jax.random.key(seed)))
    return found


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(("program", "batch"), [(MIXED, 2), (EQUAL, 1), (PEPTIDES, 5)])
def test_both_sides_compute_the_mean(program: str, batch: int, files: Any, tmp_path: Path) -> None:
    own = files[DEEPLC if program == PEPTIDES else SPLICEAI]
    file, results = tmp_path / "y.npy", []
    for side in (ensemble_sides.Jconv(own), ensemble_sides.Keras(own)):
        side.reply({"program": program, "batch": batch, "save": str(file), "calls": 1})
        results.append(np.load(file)[0])
    assert np.abs(results[0] - results[1]).max() <= 1e-6 * np.abs(results[1]).max()
    row = 0 if program == PEPTIDES else 1
    x, lengths = inputs(program, batch)
    length = None if lengths is None else lengths[row]
    example = [a[:1] for a in x] if program == PEPTIDES else x[row : row + 1, :length]
    models = [jconv.keras.load(path) for path in own]
    expected = np.mean([model.reference(params, state, example) for model, params, state in models], axis=0)[0]
    found = results[0][row]
    assert np.abs(found[: len(expected)] - expected).max() <= 1e-5 * np.abs(expected).max()
    assert not found[len(expected) :].any()


@pytest.mark.parametrize("variant", MIXED_VARIANTS)
def test_a_variant_changes_the_start_of_an_intron(variant: Variant) -> None:
    reference, alternative = pair(np.random.default_rng(1), variant)
    assert (len(reference), len(alternative)) == variant.lengths
    centre = len(reference) // 2
    assert reference[centre : centre + 2] == "GT"
    assert reference[:centre] == alternative[:centre]
    assert reference[centre + variant.reference :] == alternative[centre + variant.alternative :]
    assert alternative[centre + variant.alternative - 1] == "C"


def test_batches_of_variants_and_peptides() -> None:
    x, lengths = inputs(EQUAL, 1)
    assert x.shape == (2, 10_101, 4)
    assert lengths is None
    assert (x.sum(axis=2) == 1).all()
    x, lengths = inputs(MIXED, 4)
    assert lengths.tolist() == [10_101, 10_101, 10_301, 10_271, 10_501, 10_513, 11_001, 11_001]
    assert x.sum(axis=(1, 2)).tolist() == lengths.tolist()
    assert [array.shape for array in inputs(PEPTIDES, 3)[0]] == [(3, 60, 6), (3, 30, 6), (3, 55), (3, 60, 20)]
    assert {peptide[-1] for peptide in peptides(50)} == {"K", "R"}
    assert {8, 30} <= {len(peptide) for peptide in peptides(500)}


# As the package computes it: inserted bases count as one base with their maximum, deleted bases as zeros.
@pytest.mark.parametrize(
    ("variant", "alternative", "expected"),
    [
        (SNV._replace(distance=1), [0.1, 0.9, 0.1], 0.7),
        (Variant(2, 2, 1), [0.1, 0.1, 0.2, 0.1], 0.1),
        (Variant(1, 1, 3), [0.1, 0.2, 0.6, 0.3, 0.1], 0.4),
    ],
)
def test_the_score_of_a_variant(variant: Variant, alternative: list[float], expected: float) -> None:
    reference = [0.1, 0.2, 0.1] if variant.distance == 1 else [0.1, 0.1, 0.2, 0.1, 0.1]

    def outputs(acceptor: list[float]) -> Any:
        y = np.zeros((len(acceptor) + 2, 3))
        y[: len(acceptor), 1] = acceptor
        y[len(acceptor) :, 2] = 9.0  # padding
        return y

    assert score(variant, outputs(reference), outputs(alternative)) == pytest.approx(expected)


@pytest.fixture
def folder(files: Any, tmp_path: Path) -> Path:
    """A cache with the files, and a manifest."""
    rows = []
    for name, project in PROJECTS.items():
        for path in files[name]:
            content = Path(path).read_bytes()
            digest, (package, version) = hashlib.sha256(content).hexdigest(), project.split()
            shutil.copy(path, tmp_path / digest)
            inside = f"models/{Path(path).name}"
            rows.append(Published("package", package, version, inside, digest, len(content), "MIT", "3", "", "loads"))
    with (tmp_path / "wild.csv").open("w", newline="") as file:
        csv.writer(file).writerows([Published._fields, *rows])
    return tmp_path


def run(folder: Path, *arguments: str) -> int:
    own = ["--manifest", str(folder / "wild.csv"), "--files", str(folder), "--no-fetch"]
    return published_models.main([*own, "--rounds", "1", "--seconds", "0.001", *arguments])


@pytest.mark.slow
@pytest.mark.parametrize("program", [EQUAL, pytest.param(None, marks=pytest.mark.complete)])
def test_the_command_measures_and_writes(program: str | None, folder: Path, capsys: Any) -> None:
    file = folder / "found.json"
    given = ["--program", program, "--batch", "2"] if program else []
    assert run(folder, "--sides", "jit", "--json", str(file), *given) == 0
    printed = capsys.readouterr().out
    assert f"| package | batch | {JCONV}, per second | {KERAS}, per second | jconv / {KERAS} |" in printed
    if program:
        assert "| SpliceAI | 2 variants, 4 sequences of 10,101 bases |" in printed
    else:
        assert "| SpliceAI | 4 variants, 8 sequences of 10,101 to 11,001 bases |" in printed
        assert "| DeepLC | 1,000 peptides |" in printed
    assert "bases: scores 0." in printed
    rows = json.loads(file.read_text())["rows"]
    assert len(rows) == (1 if program else 3)
    assert all(row["milliseconds"][name] for row in rows for name in (JCONV, KERAS))


def test_rates_are_computed_from_medians() -> None:
    found = {NetworkRow(DEEPLC, PEPTIDES, 10): {JCONV: [1.0, 2.0, 9.0], KERAS: [3.0]}}
    assert published_models.table(found).splitlines()[2] == "| DeepLC | 10 peptides | 5e+03 | 3.33e+03 | 1.50 |"


def test_missing_and_wrong_files_are_errors(folder: Path, capsys: Any) -> None:
    for path in folder.glob("*"):
        if len(path.name) == 64:
            path.write_bytes(b"other")
    assert run(folder) == 1
    assert "has the digest" in capsys.readouterr().err
    for path in folder.glob("*"):
        if len(path.name) == 64:
            path.unlink()
    assert run(folder) == 1
    assert "models/SpliceAI0.keras of spliceai 1.3.1: not in" in capsys.readouterr().err
    (folder / "wild.csv").write_text(",".join(Published._fields) + "\n")
    assert run(folder) == 2
    assert "has no spliceai 1.3.1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sides", "MXNet"], "--sides 'MXNet': no name of a side contains it; they are jconv"),
        (["--batch", "0"], "--batch: must be a whole number of at least 1, got '0'"),
        (["--program", "genomes"], "--program"),
        (["--json", "/nowhere/found.json"], "there is no folder /nowhere"),
    ],
)
def test_user_errors_end_with_exit_code_2(arguments: list[str], message: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as exit:
        published_models.main(arguments)
    assert exit.value.code == 2
    assert message in capsys.readouterr().err
