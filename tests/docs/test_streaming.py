"""The table of docs/guides/stream.md, and examples/ecg_stream.py."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jconv import layers as jl
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/guides/stream.md").read_text()


def test_the_table_names_existing_layers() -> None:
    table = PAGE.partition("| layer | keeps |")[2].partition("\n\n")[0]
    first = [row.split("|")[1] for row in table.splitlines() if row.startswith("| ") and "works sample" not in row]
    names = {name for row in first for name in re.findall(r"\b[A-Z]\w+", row)}
    assert len(names) > 12 and names <= set(jl.__all__)


@pytest.fixture
def example() -> Any:
    spec = importlib.util.spec_from_file_location("ecg_stream", ROOT / "examples/ecg_stream.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_streamed_detector_finds_the_beats_of_an_ecg_with_its_latency(example: Any, tmp_path: Path) -> None:
    pywt = pytest.importorskip("pywt")
    signal = pywt.data.ecg().astype("float32")
    signal -= signal.mean()
    model, params = example.detector()
    complete = np.asarray(model.apply(params, {}, signal[None, :, None])[0])[0, :, 0]
    outputs, arrivals = example.streamed(model, params, signal)
    np.testing.assert_allclose(outputs, complete, rtol=0, atol=1e-6 * complete.max())
    assert max(now - number for number, now in enumerate(arrivals)) == model.latency == 62
    # Three beats, each above a third of the largest output, in the window after its peak.
    above = np.flatnonzero(np.diff((outputs > outputs.max() / 3).astype(int)) == 1)
    peaks = [int(np.argmax(signal[begin : begin + 200])) + begin for begin in (100, 400, 750)]
    assert len(above) == 3 and all(abs(a - p) < 30 for a, p in zip(above, peaks, strict=True))
    example.draw(signal, complete, outputs, tmp_path / "ecg.png")
    assert (tmp_path / "ecg.png").stat().st_size > 10_000
