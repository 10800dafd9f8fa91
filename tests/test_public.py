"""The public names of `jconv`, which are imported at their first use."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import jconv
from tests.support.keras_crafted import archive, conv, functional

MODULES = {"layers", "ragged", "reference", "sharding", "slots", "streaming"}


def test_every_public_name_exists() -> None:
    assert set(jconv.__all__) <= set(dir(jconv))
    for name in jconv.__all__:
        assert isinstance(getattr(jconv, name), ModuleType) == (name in MODULES), name
    assert jconv.geometry.output_length is jconv.output_length
    for name in ("no_such_thing", "_private"):
        with pytest.raises(AttributeError, match=f"^module 'jconv' has no attribute '{name}'$"):
            getattr(jconv, name)


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
