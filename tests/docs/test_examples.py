"""The scripts of examples/ run, print what they promise and draw a picture."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# What each prints, with fewer steps of training. By default the first and the last run, which take least.
PRINTS = {
    "quiet_after_loud.py": ([], r"auto  largest error of a quiet output \d\.\d+ units, NaN in 256 outputs"),
    "ecg_stream.py": ([], r"latency 62 samples, 172 ms; the last came 62 late"),
    "keras_stream.py": ([], r"accuracy after 50, 100 and 150 samples: \[.*, 1\.0\]"),
    "unet_sharded.py": (["--steps", "3"], r"'all-gather': 0, .*\nfirst loss (\d\.\d{4})\d*, on one device \1"),
    "wavenet.py": (["--steps", "20"], r"streamed and complete outputs differ by \de-0[6789]"),
    "per_example_gradients.py": ([], r"of the 8 largest gradients 8 belong to flipped labels"),
}


def test_every_script_is_run_here_and_described() -> None:
    scripts = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
    assert scripts == sorted(PRINTS)
    page = (ROOT / "docs/guides/examples.md").read_text()
    assert all(f"`{name}`" in page for name in scripts)


@pytest.mark.default_cases(2)
@pytest.mark.parametrize("name", PRINTS)
def test_example(name: str, tmp_path: Path) -> None:
    options, printed = PRINTS[name]
    picture = tmp_path / "picture.png"
    command = [sys.executable, str(ROOT / "examples" / name), "--out", str(picture), *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(printed, done.stdout), done.stdout
    assert picture.stat().st_size > 10_000
