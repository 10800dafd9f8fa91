"""A published proteomics network, without Keras: retention times of peptides by DeepLC, and what each residue does.

    pip install -e ".[examples]" && python examples/peptide_retention.py

DeepLC (Bouwmeester et al., Nature Methods 18, 2021; Apache License 2.0) predicts when a peptide leaves a liquid
chromatograph, from four inputs: the atoms of each residue, of pairs of residues, of the peptide and its ends, and the
residues themselves. The prediction is the mean of the package's three networks. pip downloads the package (32 MB), or
`--wheel` names its file. The peptides are the eleven of the iRT standard (Escher et al., Proteomics 12, 2012), whose
retention is known. Draws `peptide_retention.png`: predictions beside the standard, and the effect of every exchange of
one residue in one peptide.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np

import jconv.keras
from jconv.layers import ReLU

PACKAGE = "deeplc==2.2.38"
DIGEST = "11f38eebcb96d5f6579bb2a54c14fb4148e6d44ce85d9857907965c32ce23033"
# Peptides of the standard and their retention, which the standard sets to 0 and 100 for two of them.
STANDARD = {
    "LGGNEQVTR": -24.92,
    "GAGSSEPVTGLDAK": 0.0,
    "VEATFGVDESNAK": 12.39,
    "YILAGVENSK": 19.79,
    "TPVISGGPYEYR": 28.71,
    "TPVITGAPYEYR": 33.38,
    "DGLDAASYYAPVR": 42.26,
    "ADVTPADFSEWSK": 54.62,
    "GTFIIDPGGVIR": 70.52,
    "GTFIIDPAAVIR": 87.23,
    "LFLQFGAQGSPFLK": 100.0,
}
EXCHANGED = "VEATFGVDESNAK"
RESIDUES = "KRPTNAQVSGILCMHFYWED"  # in the order of the network's fourth input
# Atoms of each residue in that order: carbon, hydrogen, nitrogen, oxygen, sulphur. The sixth column, phosphorus, is 0.
ATOMS = """
    6 12 2 1 0,  6 12 4 1 0,  5 7 1 1 0,  4 7 1 2 0,  4 6 2 2 0,  3 5 1 1 0,  5 8 2 2 0,  5 9 1 1 0,  3 5 1 2 0,
    2 3 1 1 0,  6 11 1 1 0,  6 11 1 1 0,  3 5 1 1 1,  5 9 1 1 1,  6 7 3 1 0,  9 9 1 1 0,  9 9 1 2 0,  11 10 2 1 0,
    5 7 1 3 0,  4 5 1 3 0
"""
LENGTH = 60


def encode(peptides: Sequence[str]) -> list[np.ndarray]:
    """The network's four inputs for unmodified peptides of 8 to 60 residues."""
    table = np.zeros((len(RESIDUES), 6))
    table[:, :5] = [[int(count) for count in row.split()] for row in ATOMS.split(",")]
    residues, ends = np.zeros((len(peptides), LENGTH, len(RESIDUES)), np.float32), []
    for number, peptide in enumerate(peptides):
        chosen = [RESIDUES.index(letter) for letter in peptide]
        residues[number, np.arange(len(chosen)), chosen] = 1
        ends.append(table[chosen[:4] + chosen[-4:]].ravel())
    atoms = residues @ table
    lengths = residues.sum((1, 2))[:, None]
    complete = np.concatenate([atoms.sum(1), lengths, ends], axis=1)
    pairs = atoms.reshape(len(peptides), LENGTH // 2, 2, 6).sum(2)
    return [np.asarray(array, np.float32) for array in (atoms, pairs, complete, residues)]


def download(folder: Path) -> Path:
    """The wheel of the package, downloaded into a folder. Raises `ValueError` if pip cannot."""
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--retries", "1", "--timeout", "15"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True)
    found = list(folder.glob("*.whl"))
    if done.returncode or not found:
        reason = (done.stderr.strip() or "pip wrote no file").splitlines()[-1]
        raise ValueError(f"{PACKAGE} cannot be downloaded, and there is no --wheel: {reason}")
    return found[0]


def load(path: Path, folder: Path) -> Callable[[Sequence[str]], np.ndarray]:
    """The mean of the package's networks, as a function of peptides. Raises `ValueError` for another file."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != DIGEST:
        raise ValueError(
            f"--wheel must be the wheel of {PACKAGE} with the SHA-256 digest {DIGEST}, got {path} with {digest}"
        )
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".hdf5")]
        files = [archive.extract(name, folder) for name in names]
    # Their activation is a lambda of the package: a ReLU that is limited above and leaky below.
    models = [jconv.keras.load(file, custom_activations={"<lambda>": ReLU(20.0, 0.1)}) for file in files]
    programs = [jax.jit(lambda x, model=model, p=p, s=s: model.apply(p, s, x)[0][:, 0]) for model, p, s in models]
    return lambda peptides: np.mean([program(encode(peptides)) for program in programs], axis=0)


def main() -> None:
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("peptide_retention.png"), help="default %(default)s")
    parser.add_argument("--wheel", type=Path, help=f"the wheel of {PACKAGE}; by default pip downloads it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            predict = load(options.wheel or download(Path(folder)), Path(folder))
        except (ValueError, OSError) as error:
            parser.error(str(error))

    predicted, known = predict(list(STANDARD)), np.array(list(STANDARD.values()))
    print(f"correlation with the iRT standard {np.corrcoef(predicted, known)[0, 1]:.3f}")
    exchanged = [EXCHANGED[:i] + new + EXCHANGED[i + 1 :] for new in RESIDUES for i in range(len(EXCHANGED))]
    change = predict(exchanged).reshape(len(RESIDUES), -1) - predict([EXCHANGED])
    order = change.mean(1).argsort()[::-1]
    print("residues by delay:", "".join(RESIDUES[i] for i in order))

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
    left.plot(known, predicted, "o", color="tab:blue")
    for name, x, y in zip(STANDARD, known, predicted, strict=True):
        left.annotate(name, (x, y), (5, -9), textcoords="offset points", fontsize=6)
    left.set_xlabel("iRT standard")
    left.set_ylabel("DeepLC's prediction")
    left.set_xlim(-40, 150)
    limit = abs(change).max()
    picture = right.imshow(change[order], cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    right.set_xticks(range(len(EXCHANGED)), EXCHANGED)
    right.set_yticks(range(len(RESIDUES)), [RESIDUES[i] for i in order])
    right.set_xlabel("residue of the peptide")
    right.set_ylabel("exchanged for")
    figure.colorbar(picture, label="change of the prediction")
    figure.savefig(options.out, dpi=110)


if __name__ == "__main__":
    main()
