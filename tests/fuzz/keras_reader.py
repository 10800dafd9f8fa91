"""Fuzzes the reader of Keras files, guided by coverage; needs `pip install atheris`, unlike the test suite.

    python -m tests.fuzz.keras_reader seeds /some/corpus
    python -m tests.fuzz.keras_reader bytes /some/corpus -max_total_time=600 -timeout=10 -rss_limit_mb=2048
    python -m tests.fuzz.keras_reader config -max_total_time=600 -timeout=10

`bytes` fuzzes complete files: `.keras`, `.h5`, weights alone and `.npz`; `seeds` writes small files to start from.
With `config`, the fuzzer chooses changes to the configs in `keras_seeds`. Options with one dash are
libFuzzer's. A finding is an exception other than `KerasFileError`, or a message that has several lines or names an
exception class. Findings are added to `keras_seeds`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["jconv.keras", "jconv.layers", "jconv.layers.operations", "zipfile", "json"]):
    import jconv.keras
    from jconv.keras.files.container import open_contents
    from jconv.keras.files.hdf5 import Hdf5Arrays
    from jconv.keras.files.json_text import parse_json
    from jconv.keras.read.graph import build
    from jconv.keras.read.parts import ModelPart
    from jconv.keras.read.weights import read_by_folder
    from jconv.keras.training.compiled_loss import read_loss, read_output_names
    from jconv.keras.training.constraints import read_constraints
    from jconv.keras.training.optimizer import read_optimizer
    from jconv.keras.training.regularizers import read_activity_penalty, read_weight_penalty
    from jconv.keras.training.write import serialize_loss, serialize_optimizer, serialize_options

from tests.fuzz.compiled import compiled_configs
from tests.fuzz.mutate import Random, changed_bytes, changed_config, paths
from tests.support.keras_crafted import archive, conv, functional, hdf5, layer, operation, tensor
from tests.support.keras_seeds import configs
from tests.support.keras_watch import check_line

MAX_BYTES = 2**24


MODEL = build(functional(conv()), {}).model


def read(path: Path) -> None:
    """Read every part of a file, even if another part is refused."""
    loaders = (
        jconv.keras.load,
        jconv.keras.load_training,
        lambda path, **limits: jconv.keras.load_weights(path, MODEL, **limits),
    )
    for load in loaders:
        try:
            load(path, max_bytes=MAX_BYTES)
        except jconv.keras.KerasFileError as error:
            check_line(error)
    try:
        with open_contents(path, MAX_BYTES) as contents:
            arrays = contents.arrays
            paths = [] if arrays is None else arrays.paths()
            for name in paths:
                with suppress(jconv.keras.KerasFileError):
                    assert arrays is not None
                    arrays.read(name)
            if isinstance(contents.arrays, Hdf5Arrays):
                contents.arrays.folders()
                contents.arrays.texts("layer_names", "model_weights")
    except jconv.keras.KerasFileError as error:
        check_line(error)


# Without this, the checksum would reject all changes of members.
zipfile.ZipExtFile._update_crc = lambda self, data: None  # type: ignore[attr-defined]
FILE = Path(tempfile.gettempdir(), f"fuzzed-{os.getpid()}")


def bytes_target(data: bytes) -> None:
    """Read a file with the content `data`."""
    FILE.write_bytes(data)
    read(FILE)


def mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """The data, changed by the fuzzer or, for even seeds, by `changed_bytes`, which changes addresses and sizes."""
    return atheris.Mutate(data, max_size) if seed % 2 else changed_bytes(data, Random(seed))[:max_size]


SEEDS: list[tuple[Any, list[Any]]] = []


class FuzzerChoices:
    """Choices made by the fuzzer."""

    def __init__(self, data: bytes) -> None:
        self._provider = atheris.FuzzedDataProvider(data)

    def below(self, count: int) -> int:
        """A number from 0 to `count - 1`."""
        return self._provider.ConsumeIntInRange(0, count - 1)


class NoArrays:
    """A file without arrays."""

    def paths(self) -> list[str]:
        """An empty list."""
        return []

    def read(self, path: str) -> Any:
        """Raises `KerasFileError`."""
        raise jconv.keras.KerasFileError(f"array {path!a} is missing")


def config_target(data: bytes) -> None:
    """Read a config with changes chosen by `data`."""
    if not SEEDS:
        found = [*configs().values(), *compiled_configs().values()]
        SEEDS.extend((config, list(paths(config))) for config in found)
    choices = FuzzerChoices(data)
    config = changed_config(*SEEDS[choices.below(len(SEEDS))], choices)
    try:
        built = build(parse_json(json.dumps(config).encode(), "config.json"), {})
        for leaf in built.root.leaves():
            with suppress(jconv.keras.KerasFileError):
                read_by_folder(ModelPart("", "", "config", parts=[leaf]), NoArrays())
        compiled = config.get("compile_config")
        if isinstance(compiled, dict):
            read_weight_penalty(built.root)
            read_activity_penalty(built.root, built.model)
            names = built.model.outputs
            keras_names = read_output_names(config, names)
            serialize_options(built.root)
            read_optimizer(compiled.get("optimizer"), read_constraints(built.root))
            serialize_optimizer(compiled.get("optimizer"), None)
            loss = read_loss(compiled.get("loss"), compiled.get("loss_weights"), names, keras_names)
            [serialize_loss(term.value) for term in (loss.terms if loss else ())]
    except jconv.keras.KerasFileError as error:
        check_line(error)


def seeds(folder: Path) -> None:
    """Write small files of all forms to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    compiled = {"optimizer": {"class_name": "Adam", "config": {"learning_rate": 0.1}}, "loss": "mse"}
    config = functional(conv()) | {"compile_config": compiled}
    several = functional(
        layer("Embedding", "e", {"input_dim": 5, "output_dim": 2, "mask_zero": True}),
        layer("Bidirectional", "b", {"layer": {"class_name": "LSTM", "config": {"name": "l", "units": 2}}}, ("e",)),
        operation("Sum", tensor("b"), axis=-1),
        shape=(7,),
    )
    complete = hdf5(
        {"model_weights/conv1d/conv1d/kernel": [1.0], "model_weights/conv1d/conv1d/bias": [2.0]},
        model_config=json.dumps(config),
    )
    plain = zipfile.ZIP_STORED
    found = {"conv.keras": archive(config, packing=plain), "several.keras": archive(several, packing=plain)}
    found |= {"packed.keras": archive(config), "complete.h5": complete}
    found |= {"x.weights.h5": hdf5(), "named.h5": hdf5({"a/b": [1]}, layer_names=["a"], weight_names=["b"])}
    for name, data in found.items():
        (folder / name).write_bytes(data)


def main() -> None:
    """Fuzz a target, `bytes` or `config`, or write the seeds of `bytes`."""
    which = sys.argv.pop(1)
    if which == "seeds":
        return seeds(Path(sys.argv[1]))
    if which == "bytes":
        atheris.Setup(sys.argv, bytes_target, custom_mutator=mutated)
    else:
        atheris.Setup([*sys.argv, "-len_control=0", "-max_len=200"], config_target)
    return atheris.Fuzz()


if __name__ == "__main__":
    main()
