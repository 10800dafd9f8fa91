"""Whose constants the model has, by what the processor calls itself and how many cores there are."""

from pathlib import Path

import jax.numpy as jnp
import pytest

import jconv
from jconv import machine
from jconv.costs import Sizes
from jconv.geometry import make_geometry
from jconv.planner import choose
from jconv.processor import processor

NAMES = {
    "AMD EPYC 9R14": (machine.EPYC, machine.EPYC_CORE),
    "Intel(R) Xeon(R) Platinum 8488C": (machine.XEON, machine.XEON_CORE),
    "arm": (machine.XEON, machine.XEON_CORE),
}


@pytest.mark.parametrize("name", NAMES)
def test_constants_of_the_processor_and_its_cores(name, monkeypatch):
    monkeypatch.setattr(machine, "processor", lambda: name)
    several, one = NAMES[name]
    for cores, constants in ((1, one), (2, several), (64, several)):
        monkeypatch.setattr(machine, "cores", lambda cores=cores: cores)
        assert machine.here() is constants


@pytest.mark.parametrize("name", NAMES)
def test_what_is_chosen_here_is_what_the_constants_say(name, monkeypatch):
    monkeypatch.setattr(machine, "processor", lambda: name)
    monkeypatch.setattr(machine, "cores", lambda: 2)
    plan = jconv.explain({"kernel": jnp.ones((3, 256, 128))}, jnp.ones((16, 512, 256)), padding="causal")
    sizes = Sizes(make_geometry(512, 3, padding="causal"), 16, 256, 128)
    own = choose("auto", "forward", sizes, machine=NAMES[name][0])
    assert plan.forward.algorithm == own.algorithm == ("winograd" if "AMD" in name else "lax")


def test_a_processor_without_a_name_file_has_one_all_the_same(monkeypatch):
    def fail(*args, **options):
        raise OSError

    processor.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", fail)
        assert processor()
    processor.cache_clear()
