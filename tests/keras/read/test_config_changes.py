"""Configs with random changes are read as a model, or refused with an error of one line."""

from __future__ import annotations

import importlib
import json
import sys
import zipfile
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import jconv.keras
from jconv.keras import KerasFileError
from jconv.keras.files.json_text import parse_json
from jconv.keras.read.graph import build
from jconv.keras.read.parts import ModelPart
from jconv.keras.read.weights import read_by_folder
from tests.fuzz.compiled import compiled_configs
from tests.fuzz.mutate import VALUES, Random, changed_config, paths
from tests.support.keras_crafted import archive, conv, functional, saved
from tests.support.keras_seeds import configs

SEEDS = configs()
PLACES = {name: list(paths(config)) for name, config in SEEDS.items()}


def is_read_or_refused(config: Any) -> None:
    try:
        built = build(parse_json(json.dumps(config).encode(), "config.json"), {})
    except KerasFileError as error:
        assert str(error).isprintable() and len(str(error)) <= 1000
        return
    for leaf in built.root.leaves():
        try:
            read_by_folder(ModelPart("", "", "config", parts=[leaf]), _NoArrays())
        except KerasFileError as error:
            assert str(error).isprintable() and len(str(error)) <= 1000


class _NoArrays:
    """A file without arrays."""

    def paths(self) -> list[str]:
        return []

    def read(self, path: str) -> Any:
        raise KerasFileError(f"array {path!a} is missing")


def test_the_seeds_are_read():
    for config in SEEDS.values():
        build(config, {})


@settings(max_examples=250)
@given(st.sampled_from(sorted(SEEDS)), st.integers(0, 2**32))
def test_any_part_of_a_config_may_be_anything(name: str, seed: int):
    is_read_or_refused(changed_config(SEEDS[name], PLACES[name], Random(seed)))


json_values = st.recursive(
    st.sampled_from(VALUES) | st.integers(-(2**64) + 1, 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["class_name", "config", "a"]), inner),
    max_leaves=5,
)


@settings(max_examples=100)
@given(st.sampled_from(["config", "args", "kwargs", "entry"]), st.integers(0, 10**6), json_values)
def test_any_option_of_any_layer_may_be_anything(where: str, number: int, value: Any):
    entries = [(name, i) for name in sorted(SEEDS) for i in range(1, len(SEEDS[name]["config"]["layers"]))]
    name, position = entries[number % len(entries)]
    config = json.loads(json.dumps(SEEDS[name]))
    entry = config["config"]["layers"][position]
    if where in ("args", "kwargs"):
        owner = entry["inbound_nodes"][0][where] if entry["inbound_nodes"] else entry["config"]
    else:
        owner = entry["config"] if where == "config" else entry
    keys = list(range(len(owner))) if isinstance(owner, list) else sorted(owner)
    if keys:
        owner[keys[number // len(entries) % len(keys)]] = value
    is_read_or_refused(config)


COMPILED = compiled_configs()
TRAINING_PLACES = {name: [p for p in paths(config) if len(p) > 2] for name, config in COMPILED.items()}


def test_the_compiled_seeds_are_read(tmp_path_factory: pytest.TempPathFactory):
    for name, config in COMPILED.items():
        path = saved(tmp_path_factory.getbasetemp(), archive(config))
        assert jconv.keras.load_training(path).name == config["compile_config"]["optimizer"]["class_name"], name


@settings(max_examples=100)
@example("Poisson", 5711)  # a learning rate of -1e308
@given(st.sampled_from(sorted(COMPILED)), st.integers(0, 2**32))
def test_any_part_of_a_compiled_config_may_be_anything(name: str, seed: int):
    config = changed_config(COMPILED[name], TRAINING_PLACES[name], Random(seed))
    with TemporaryDirectory() as folder:
        path = saved(Path(folder), archive(config))
        try:
            assert jconv.keras.load_training(path).learning_rate is not None
        except KerasFileError as error:
            assert str(error).isprintable() and len(str(error)) <= 1000


class Provider:
    """The part of atheris's class that the fuzzer uses."""

    def __init__(self, data: bytes) -> None:
        self._random = Random(len(data))

    def ConsumeIntInRange(self, low: int, high: int) -> int:
        return low + self._random.below(high - low + 1)


def test_the_targets_of_the_fuzzer_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stub = SimpleNamespace(instrument_imports=lambda **_: nullcontext(), FuzzedDataProvider=Provider)
    monkeypatch.setitem(sys.modules, "atheris", stub)
    # The fuzzer replaces this method; the fixture restores it.
    monkeypatch.setattr(zipfile.ZipExtFile, "_update_crc", zipfile.ZipExtFile._update_crc)  # type: ignore[attr-defined]
    fuzzer: Any = importlib.import_module("tests.fuzz.keras_reader")
    monkeypatch.setattr(fuzzer, "FILE", tmp_path / "fuzzed")
    for size in range(4):
        fuzzer.config_target(bytes(size))
    fuzzer.bytes_target(archive(functional(conv())))
    assert (tmp_path / "fuzzed").exists() and len(fuzzer.SEEDS) == len(SEEDS) + len(COMPILED)
