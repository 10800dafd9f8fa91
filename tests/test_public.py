"""The public names of `jconv`, which are imported at their first use."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import jconv
from tests.support.keras_crafted import archive, conv, functional

ROOT = Path(__file__).parents[1]
MODULES = {"layers", "ragged", "reference", "sharding", "slots", "streaming"}


def test_every_public_name_exists() -> None:
    assert set(jconv.__all__) <= set(dir(jconv))
    for name in jconv.__all__:
        assert isinstance(getattr(jconv, name), ModuleType) == (name in MODULES), name
    assert jconv.geometry.output_length is jconv.output_length
    for name in ("no_such_thing", "_private"):
        with pytest.raises(AttributeError, match=f"^module 'jconv' has no attribute '{name}'$"):
            getattr(jconv, name)


def imported_names(path: Path) -> list[tuple[str, str | None]]:
    """Module and name of each import in a file; without a name for `import module`."""
    found: list[tuple[str, str | None]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [(node.module, alias.name) for alias in node.names]
    return found


@pytest.mark.parametrize("package", ["training", "benchmarks", "examples"])
def test_other_packages_import_public_names(package: str) -> None:
    public = {*jconv.__all__, "keras", "planner"}
    private, count = [], 0
    for path in (ROOT / package).rglob("*.py"):
        for name, member in imported_names(path):
            top, *rest = name.split(".")
            if top != "jconv":
                continue
            count += 1
            module = importlib.import_module(name)
            is_public = not rest or (len(rest) == 1 and rest[0] in public)
            if not (is_public and (member is None or member in (public if not rest else module.__all__))):
                private.append(f"{path.relative_to(ROOT)}: {name} {member or ''}")
    assert count > 3 and private == []


def test_modules_do_not_replace_functions() -> None:
    script = """
import jconv.inspect.tune, jconv.inspect.explain, jconv.functional.convolution
from jconv.inspect import Tuning
assert callable(jconv.tune) and callable(jconv.explain) and jconv.Tuning is Tuning
from jconv import *
assert tune is jconv.tune and conv1d is jconv.conv1d
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("arguments", [["--help"], ["summary", "--help"], ["--version"], ["summary"]])
def test_help_does_not_import_jax(arguments: list[str]) -> None:
    script = f"""
import sys
from jconv.command import main
try:
    main({arguments})
finally:
    assert not {{"jax", "numpy"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "AssertionError" not in done.stderr and done.returncode == (2 if arguments == ["summary"] else 0)


def test_only_training_needs_optax(tmp_path: Path) -> None:
    """Neither `import jconv` nor reading, running and writing a Keras file imports optax."""
    path = tmp_path / "model.keras"
    path.write_bytes(archive(functional(conv())))
    script = f"""
import sys
import jconv, jconv.keras
model, params, state = jconv.keras.load({str(path)!r})
jconv.keras.save({str(path)!r}, model, params, state)
jconv.keras.load_weights({str(path)!r}, model)
assert "optax" not in sys.modules
assert jconv.keras.Training and "load_training" in dir(jconv.keras)
from jconv.keras import *
assert load_training is jconv.keras.load_training and "optax" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
