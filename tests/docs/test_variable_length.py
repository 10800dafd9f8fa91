"""The drawing in docs/guides/variable_length.md, and options that cannot be combined."""

import re

import numpy as np
import pytest

import jconv
from jconv import ragged
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/guides/variable_length.md").read_text()


def test_the_drawing_of_a_packed_row_is_correct() -> None:
    drawing = re.findall(r"```text\n(segment_ids.*?)```", PAGE, re.DOTALL)[0]
    rows = [
        [-1 if word == "-" else int(word) for word in re.findall(r" (-?\d+|-)(?=\s)", row + " ")]
        for row in drawing.splitlines()
    ]
    params, ids = {"kernel": np.ones((3, 1, 1), np.float32)}, np.array(rows[0])
    x = np.ones((len(ids), 1), np.float32)
    for stride, row in zip((1, 2), rows[1:], strict=True):
        assert jconv.conv1d(params, x, stride=stride, segment_ids=ids)[1].tolist() == row


@pytest.mark.parametrize("sequences", [[], [np.ones(3)], [np.ones((2, 1)), np.ones((2, 2))]])
def test_sequences_that_cannot_be_combined_raise(sequences: list) -> None:
    for function in (ragged.pad, ragged.pack):
        with pytest.raises(ValueError, match="sequences must be arrays"):
            function(sequences)
        with pytest.raises(ValueError, match="at least the length of the longest sequence, 3, got 2"):
            function([np.ones((3, 1))], length=2)


def test_unpacking_undoes_packing() -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.standard_normal((n, 2)) for n in rng.integers(1, 12, 20)]
    x, ids = ragged.pack(sequences, length=16)
    assert len(x) < 20
    for one, other in zip(ragged.unpack(x, ids), sequences, strict=True):
        np.testing.assert_array_equal(one, other)
