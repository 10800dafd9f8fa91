"""The scripts in examples/ run, print the documented results and draw a picture."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.paths import ROOT

# For each script, options that shorten its training, and a pattern in its output. By default only the first script, the
# fastest, is run.
PRINTS = {
    "quiet_after_loud.py": ([], r"auto  largest error of a quiet output \d\.\d+ units, NaN in 256 outputs"),
    "ecg_stream.py": ([], r"latency 62 samples, 172 ms; outputs come at most 62 samples late"),
    "keras_stream.py": ([], r"accuracy after 50, 100 and 150 samples: \[.*, 1\.0\]"),
    "unet_sharded.py": (["--steps", "3"], r"'all-gather': 0, .*\nfirst loss (\d\.\d{4})\d*, on one device \1"),
    "wavenet.py": (["--steps", "20"], r"streamed and complete outputs differ by \de-0[6789]"),
    "per_example_gradients.py": ([], r"of the 8 largest gradients 8 belong to flipped labels"),
    "cross_validation.py": (
        ["--epochs", "2"],
        r"Hydra five folds (0\.9\d\d|1\.000), test series (0\.9[89]\d|1\.000)\nFCN",
    ),
    "peptide_retention.py": ([], r"correlation with the iRT standard 0\.99\d\nresidues by delay: W.*K"),
}


def run(name: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / name), *options]
    variables = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)


def test_every_script_is_run_here_and_described() -> None:
    scripts = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
    assert scripts == sorted(PRINTS)
    page = (ROOT / "docs/guides/examples.md").read_text()
    assert all(f"`{name}`" in page for name in scripts)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", PRINTS)
def test_each_script_prints_its_results_and_draws(name: str, tmp_path: Path) -> None:
    options, printed = PRINTS[name]
    picture = tmp_path / "picture.png"
    done = run(name, tmp_path, "--out", str(picture), *options)
    if "cannot be downloaded" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(printed, done.stdout), done.stdout
    assert picture.stat().st_size > 10_000


@pytest.fixture
def peptide_retention() -> Any:
    spec = importlib.util.spec_from_file_location("peptide_retention", ROOT / "examples/peptide_retention.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Monoisotopic masses of atoms and of amino acid residues, in dalton.
ATOMS = {"C": 12.0, "H": 1.00782503, "N": 14.0030740, "O": 15.9949146, "S": 31.9720710, "P": 30.9737615}
RESIDUES = {
    "G": 57.02146,
    "A": 71.03711,
    "S": 87.03203,
    "P": 97.05276,
    "V": 99.06841,
    "T": 101.04768,
    "C": 103.00919,
    "L": 113.08406,
    "I": 113.08406,
    "N": 114.04293,
    "D": 115.02694,
    "Q": 128.05858,
    "K": 128.09496,
    "E": 129.04259,
    "M": 131.04049,
    "H": 137.05891,
    "F": 147.06841,
    "R": 156.10111,
    "Y": 163.06333,
    "W": 186.07931,
}


def test_encoded_peptides_have_the_masses_of_their_residues(peptide_retention: Any) -> None:
    """The atoms of each residue have its mass; pairs, ends and complete peptides have the masses of their residues."""
    peptides = ["".join(RESIDUES), "LGGNEQVTR", "W" * 60]
    masses = np.zeros((3, 60))
    for row, peptide in zip(masses, peptides, strict=True):
        row[: len(peptide)] = [RESIDUES[letter] for letter in peptide]
    atom_masses = np.array(list(ATOMS.values()))
    atoms, pairs, complete, residues = peptide_retention.encode(peptides)
    assert [array.dtype for array in (atoms, pairs, complete, residues)] == 4 * [np.float32]
    np.testing.assert_allclose(atoms @ atom_masses, masses, atol=1e-4)
    np.testing.assert_allclose(pairs @ atom_masses, masses[:, ::2] + masses[:, 1::2], atol=1e-4)
    np.testing.assert_allclose(complete[:, :6] @ atom_masses, masses.sum(1), atol=1e-2)
    np.testing.assert_array_equal(complete[:, 6], [20, 9, 60])
    for row, ends, peptide in zip(masses, complete[:, 7:].reshape(3, 8, 6) @ atom_masses, peptides, strict=True):
        np.testing.assert_allclose(ends, np.r_[row[:4], row[len(peptide) - 4 : len(peptide)]], atol=1e-4)
    letters = [peptide_retention.RESIDUES[index] for index in residues[0, :20].argmax(1)]
    assert "".join(letters) == peptides[0]
    np.testing.assert_array_equal(residues.sum(2), masses > 0)


def test_a_missing_peptide_package_is_an_error_of_one_line(
    peptide_retention: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names what is missing, and the exit code is 2, as for every user error."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wrong = tmp_path / "wrong.whl"
    wrong.write_bytes(b"")
    cases = {
        "cannot be downloaded, and there is no --wheel: ERROR: ": [],
        f"digest {peptide_retention.DIGEST}, got {wrong} with ": ["--wheel", str(wrong)],
        f"No such file or directory: '{tmp_path}/none.whl'": ["--wheel", f"{tmp_path}/none.whl"],
    }
    for message, options in cases.items():
        monkeypatch.setattr(sys, "argv", ["peptide_retention.py", *options])
        with pytest.raises(SystemExit, match="2"):
            peptide_retention.main()
        assert message in capsys.readouterr().err.splitlines()[-1]
