"""No test function is omitted: `pytest` runs each one by default unless it is slow, and `.ci/run` runs every case.

These tests inspect what their own pytest run has collected, so they are skipped if it collects only some files.
"""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"


def defined() -> list[str]:
    """Every test function that a file of tests/ defines, as pytest names it."""
    names = []
    for path in sorted(TESTS.glob("**/test_*.py")):
        for node in ast.parse(path.read_text()).body:
            inside = node.body if isinstance(node, ast.ClassDef) and node.name.startswith("Test") else [node]
            functions = [n.name for n in inside if isinstance(n, ast.FunctionDef) and n.name.startswith("test")]
            prefix = [path.relative_to(ROOT).as_posix(), *([node.name] if isinstance(node, ast.ClassDef) else [])]
            names += ["::".join([*prefix, name]) for name in functions]
    return names


def ci_options() -> list[list[str]]:
    """The options of each pytest command on the lower end in `.ci/run`."""
    script = (ROOT / ".ci/run").read_text()
    (lower,) = re.findall(r"^# The lower end.*?^# The upper end", script, re.DOTALL | re.MULTILINE)
    commands = re.findall(r"^\s*pytest\b(.*)$", lower, re.MULTILINE)
    return [shlex.split(options) for options in commands]


@pytest.fixture
def collected(
    request: pytest.FixtureRequest, collected_markers: dict[str, list[set[str]]]
) -> dict[str, list[set[str]]]:
    """For each collected function, the names of the markers of each of its cases."""
    config = request.config
    paths = [Path(config.invocation_params.dir, argument).resolve() for argument in config.args]
    if paths != [TESTS] or config.getoption("lf", False):
        pytest.skip("only some of the tests were collected")
    return collected_markers


def test_no_name_is_defined_twice() -> None:
    names = defined()
    assert len(names) > 1000
    assert sorted(set(names)) == sorted(names)


def test_ci_runs_every_case_on_the_lower_end(collected: dict[str, list[set[str]]]) -> None:
    assert ["-m", ""] in ci_options()
    assert sorted(set(defined()) - set(collected)) == []


def test_every_function_runs_by_default_unless_it_is_slow(collected: dict[str, list[set[str]]]) -> None:
    slow = {name for name, cases in collected.items() if all("slow" in case for case in cases)}
    default = {name for name, cases in collected.items() if any(not case & {"slow", "complete"} for case in cases)}
    assert sorted(set(collected) - slow - default) == []
    assert len(slow) < len(collected) / 10
