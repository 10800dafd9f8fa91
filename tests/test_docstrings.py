"""Docstrings: every public function documents its arguments and results, and all examples run."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

import jconv

ROOT = Path(__file__).parents[1]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in ("jconv", "training")
    for path in sorted((ROOT / package).rglob("*.py"))
]
PUBLIC_MODULES = ("jconv", "jconv.planner", "jconv.reference", "jconv.sharding")
FUNCTIONS = {
    f"{module}.{name}": function
    for module in PUBLIC_MODULES
    for name in importlib.import_module(module).__all__
    if inspect.isfunction(function := getattr(importlib.import_module(module), name))
}


def sections(docstring: str) -> dict[str, str]:
    """The text of each section of a docstring, by its title."""
    parts = re.split(r"^(Args|Returns|Raises):$", docstring, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_modules_are_found():
    assert {"jconv", "jconv.reference", "jconv.algorithms.lax"} <= set(MODULES)
    assert {"jconv.conv1d", "jconv.reference.conv1d", "jconv.sharding.conv1d"} <= set(FUNCTIONS)


@pytest.mark.default_cases(10)
@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


@pytest.mark.parametrize("name", jconv.__all__)
def test_public_names_have_docstrings(name):
    assert len(inspect.getdoc(getattr(jconv, name)) or "") > 40


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions_document_arguments_and_results(name):
    docstring = inspect.getdoc(FUNCTIONS[name]) or ""
    found = sections(docstring)
    documented = re.findall(r"^ {2,4}\*{0,2}(\w+): \S", found.get("Args", ""), re.MULTILINE)
    assert documented == list(inspect.signature(FUNCTIONS[name]).parameters)
    assert len(found.get("Returns", "")) > 4
    assert ">>> " in docstring


@pytest.mark.parametrize("name", MODULES)
def test_modules_have_docstrings(name):
    assert importlib.import_module(name).__doc__
