"""Published networks whose outputs are averaged: their files, and inputs encoded as their packages do.

SpliceAI (Jaganathan et al., Cell 176, 2019) predicts splice sites from 5,000 bases at both sides; DeepLC (Bouwmeester
et al., Nature Methods 18, 2021) predicts when a peptide leaves a liquid chromatograph.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from examples.peptide_retention import RESIDUES, encode

SPLICEAI, DEEPLC = "SpliceAI", "DeepLC"
PROJECTS = {SPLICEAI: "spliceai 1.3.1", DEEPLC: "deeplc 3.1.13"}
"""The projects of the manifest that have the files."""

EQUAL, MIXED, PEPTIDES = "equal lengths", "mixed lengths", "peptides"
PROGRAMS = {EQUAL: SPLICEAI, MIXED: SPLICEAI, PEPTIDES: DEEPLC}

CONTEXT = 10_000
"""The bases that SpliceAI's models crop, half of them at each end."""

# A splice site at each end of an exon: the end of an intron, with its tract of pyrimidines, and the start of the next.
INTRON_END, EXON, INTRON_BEGIN = "TTTTCTTTTTTCTTTTCTTTGCAG", 120, "CAGGTAAGTA"
GENE_STEP = 400

BASES = "ACGT"


class Variant(NamedTuple):
    """A change at the centre of a sequence: `alternative` bases replace `reference` bases.

    Its score is of the outputs up to `distance` bases before and after it.
    """

    distance: int
    reference: int
    alternative: int

    @property
    def lengths(self) -> tuple[int, int]:
        """The samples of both sequences."""
        length = CONTEXT + 2 * self.distance + 1
        return length, length + self.alternative - self.reference


SNV = Variant(50, 1, 1)
"""What the package scores by default: 10,101 bases."""

MIXED_VARIANTS = (SNV, Variant(150, 31, 1), Variant(250, 1, 13), Variant(500, 1, 1))


def variants(program: str, count: int) -> list[Variant]:
    """The variants of a batch."""
    return [SNV if program == EQUAL else MIXED_VARIANTS[i % len(MIXED_VARIANTS)] for i in range(count)]


def inputs(program: str, count: int) -> tuple[Any, Any]:
    """`(x, lengths)` of a program, the same for every side; `lengths` is None if no row is padded.

    Each variant has two rows, reference and alternative. Shorter rows end in zeros, which stand for unknown bases.
    """
    if program == PEPTIDES:
        return encode(peptides(count)), None
    rng, rows = np.random.default_rng(0), []
    for variant in variants(program, count):
        rows += pair(rng, variant)
    lengths = np.array([len(row) for row in rows], np.int32)
    x = np.zeros((len(rows), max(lengths), len(BASES)), np.float32)
    for padded, row in zip(x, rows, strict=True):
        padded[: len(row)] = np.eye(len(BASES))[[BASES.index(base) for base in row]]
    return x, lengths if program == MIXED else None


def pair(rng: np.random.Generator, variant: Variant) -> tuple[str, str]:
    """The reference and alternative sequences of a variant, which changes the first base of an intron."""
    length, _ = variant.lengths
    bases, centre = rng.choice(list(BASES), length), length // 2
    exon = INTRON_END + "".join(rng.choice(list(BASES), EXON)) + INTRON_BEGIN
    first = len(exon) - len(INTRON_BEGIN) + INTRON_BEGIN.index("GT")
    for begin in range((centre - first) % GENE_STEP, length - len(exon), GENE_STEP):
        bases[begin : begin + len(exon)] = list(exon)
    reference = "".join(bases)
    alternative = "".join(rng.choice(list(BASES), variant.alternative - 1)) + "C"
    return reference, reference[:centre] + alternative + reference[centre + variant.reference :]


def peptides(count: int) -> list[str]:
    """Random peptides as trypsin produces them: 8 to 30 residues, of which the last is K or R."""
    rng, inside = np.random.default_rng(0), sorted(set(RESIDUES) - {"K", "R"})
    return ["".join([*rng.choice(inside, rng.integers(7, 30)), rng.choice(["K", "R"])]) for _ in range(count)]


def clear_padding(y: Any, lengths: Any) -> Any:
    """Outputs of SpliceAI with zeros where a row has ended."""
    if lengths is None:
        return y
    return np.where((np.arange(y.shape[1]) < lengths[:, None] - CONTEXT)[..., None], y, 0)


def score(variant: Variant, reference: Any, alternative: Any) -> float:
    """The score of a variant from the outputs for both sequences, (length, 3), as the package spliceai computes it.

    It is the largest change, at any base, of the probability of an acceptor or a donor.
    """
    shown, centre = 2 * variant.distance + 1, variant.distance
    reference, alternative = reference[:shown], alternative[: shown + variant.alternative - variant.reference]
    if variant.reference > 1:
        begin = centre + variant.alternative
        gap = np.zeros((variant.reference - variant.alternative, 3))
        alternative = np.concatenate([alternative[:begin], gap, alternative[begin:]])
    elif variant.alternative > 1:
        end = centre + variant.alternative
        inserted = alternative[centre:end].max(axis=0, keepdims=True)
        alternative = np.concatenate([alternative[:centre], inserted, alternative[end:]])
    return float(np.abs(alternative - reference)[:, 1:].max())
