"""No test function is left out: `pytest` runs each by default, and `.ci/run` on the lower end of the versions."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Several collections in one process, which imports the test files once; prints for each the functions it would run.
COLLECT = """
import contextlib, json, sys, pytest

class Functions:
    def pytest_collection_finish(self, session):
        self.names = sorted({item.nodeid.partition("[")[0] for item in session.items})

found = []
for options in json.loads(sys.argv[1]):
    plugin = Functions()
    with contextlib.redirect_stdout(sys.stderr):
        code = pytest.main([*options, "--collect-only", "-q", "-n", "0", "-p", "no:cacheprovider"], plugins=[plugin])
    if code:
        sys.exit(code)
    found.append(plugin.names)
print(json.dumps(found))
"""


def defined() -> list[str]:
    """Every test function that a file of tests/ defines, as pytest names it."""
    names = []
    for path in sorted(ROOT.glob("tests/**/test_*.py")):
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


@pytest.fixture(scope="module")
def collected():
    """The functions that `pytest` runs, and those of the lower end of `.ci/run`."""
    commands = [[], *ci_options()]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, json.dumps(commands)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    by_default, *in_ci = json.loads(done.stdout)
    return by_default, sorted(set().union(*in_ci))


def test_no_name_is_defined_twice():
    names = defined()
    assert len(names) > 1000
    assert sorted(set(names)) == sorted(names)


def test_ci_runs_every_function_on_the_lower_end(collected):
    assert ci_options(), "no pytest command was found in .ci/run"
    assert sorted(set(defined()) - set(collected[1])) == []


def test_every_function_runs_by_default(collected):
    assert sorted(set(defined()) - set(collected[0])) == []
