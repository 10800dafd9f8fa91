"""No package has more than 15 modules, and each module of more than 350 lines has a reason.

Tests may be longer: a file has all tests of one module of the code, most of it tables of cases.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_MODULES, MAX_LINES = 15, 350
LONG = {
    "benchmarks/planner.py": "one command, which measures, learns from the measurements and evaluates",
    "jconv/algorithms/shifts.py": "the three operations share the rules by which a sum is split into loops",
    "jconv/functional/convolution.py": "four public functions, almost half of it their documentation",
    "jconv/layers/base.py": "the protocol of layers, almost half of it documentation",
    "jconv/layers/recurrent/recurrent_base.py": "one class: what LSTM, GRU and SimpleRNN have in common",
    "jconv/model/graph.py": "one class, `Model`, more than half of it documentation",
    "jconv/model/needed.py": "a rule for each kind of layer, and the pass through the graph that applies them",
    "jconv/primitive/bilinear.py": "the derivatives of each primitive are the two others",
    "jconv/reference/convolution.py": "the definition of all convolutions, more than half of it documentation",
    "jconv/streaming/convolution.py": "init, step and flush of the same state, half of it documentation",
}
MODULES = [path for package in ("jconv", "training", "benchmarks") for path in (ROOT / package).rglob("*.py")]


def test_no_package_has_many_modules() -> None:
    counts = Counter(path.parent.relative_to(ROOT).as_posix() for path in MODULES if path.name != "__init__.py")
    assert counts["jconv"] >= 10
    assert {package: count for package, count in counts.items() if count > MAX_MODULES} == {}


def test_long_modules_have_a_reason() -> None:
    lines = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8").count("\n") for path in MODULES}
    assert {name for name, count in lines.items() if count > MAX_LINES} == set(LONG)
