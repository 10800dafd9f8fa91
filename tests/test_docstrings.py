"""The examples in every docstring run, and every public name has a docstring."""

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import jconv

ROOT = Path(__file__).parents[1]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in ("jconv", "training")
    for path in sorted((ROOT / package).rglob("*.py"))
]


def test_the_modules_are_found():
    assert {"jconv", "jconv.reference", "jconv.algorithms.lax"} <= set(MODULES)


@pytest.mark.default_cases(60)
@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


@pytest.mark.parametrize("name", jconv.__all__)
def test_public_names_are_documented(name):
    public = getattr(jconv, name)
    assert len(inspect.getdoc(public) or "") > 40
    if inspect.isfunction(public):
        assert ">>>" in public.__doc__


@pytest.mark.parametrize("name", MODULES)
def test_modules_say_what_lives_in_them(name):
    assert importlib.import_module(name).__doc__
