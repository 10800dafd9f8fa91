"""`jconv export --stream`: programs that compute chunk by chunk, run in a process without jconv."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jconv.keras
from jconv.command import main
from tests.support import command_models

# Each line of standard input has a folder and the axis of the length. The script reads given.npz and the programs in
# the subfolder `stream`, and writes the outputs of all calls to found.npz.
SCRIPT = """
import sys

class BlockedImports:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("jconv", "training", "keras"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, BlockedImports())
import json, os, pathlib
import jax, jax.export
import numpy as np

def run_all(axis):
    paths = pathlib.Path("stream").glob("*.stablehlo")
    programs = {path.stem: jax.export.deserialize(bytearray(path.read_bytes())) for path in paths}
    timing = json.loads(pathlib.Path("stream/stream.json").read_text())
    with np.load("given.npz") as file:
        given = dict(file)

    def cut(begin, end):
        chunks = {name: np.take(array, range(begin, end), axis) for name, array in given.items()}
        return chunks if len(chunks) > 1 else chunks.popitem()[1]

    length, at = next(iter(given.values())).shape[axis], timing["first"]
    y, state = programs["start"].call(cut(0, at))
    outputs = [y]

    def run(program, samples):
        nonlocal at, state
        step = jax.jit(program.call, donate_argnums=0)
        while at + samples <= length:
            y, state = step(state, cut(at, at + samples))
            outputs.append(y)
            at += samples

    run(programs["step"], timing["chunk"])
    # The state can be saved to a file.
    np.savez("state.npz", *state)
    with np.load("state.npz") as file:
        state = tuple(file[f"arr_{i}"] for i in range(len(state)))
    if "short_step" in programs:
        run(programs["short_step"], timing["period"])
    assert at == length
    outputs.append(programs["end"].call(state))
    named = [y if isinstance(y, dict) else {"y": y} for y in outputs]
    np.savez("found.npz", **{f"{i} {name}": array for i, y in enumerate(named) for name, array in y.items()})

for line in sys.stdin:
    folder, axis = json.loads(line)
    os.chdir(folder)
    run_all(axis)
    print("done", flush=True)
"""

RunPrograms = Callable[..., dict[str, list[Any]]]


@pytest.fixture(scope="module")
def run_programs() -> Iterator[RunPrograms]:
    """Runs the programs of a folder in a process that the tests of this file share."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def run(folder: Path, x: dict[str, Any], axis: int = 1) -> dict[str, list[Any]]:
        """The outputs of each call of the programs in `folder`, by name."""
        arrays: Any = x
        np.savez(folder / "given.npz", **arrays)
        stdin.write(json.dumps([str(folder), axis]) + "\n")
        stdin.flush()
        # If the script fails, its traceback is on the standard error of the tests.
        assert stdout.readline() == "done\n"
        found: dict[str, list[Any]] = {}
        with np.load(folder / "found.npz") as file:
            for key in file.files:
                found.setdefault(key.partition(" ")[2], []).append(file[key])
        return found

    with process:
        yield run
        stdin.close()


def export(folder: Path, make: Callable[[Path], Path], *more: str) -> Path:
    model = make(folder)
    assert main(["export", str(model), "--to", str(folder / "stream"), "--stream", *more]) == 0
    return model


def draw(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        name: rng.integers(0, 10, shape).astype(np.int32)
        if name == "numbers"
        else rng.standard_normal(shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def check(model: Path, found: dict[str, list[Any]], x: dict[str, Any], axis: int = 1) -> None:
    """Compare the outputs of all calls with the outputs for the complete sequence."""
    loaded, params, state = jconv.keras.load(model)
    y, _ = loaded.apply(params, state, x)
    complete = y if isinstance(y, dict) else {"y": y}
    ratios = loaded.output_ratio if isinstance(loaded.output_ratio, dict) else {"y": loaded.output_ratio}
    assert set(found) == set(complete)
    for name, wanted in complete.items():
        outputs = np.concatenate(found[name], axis) if ratios[name] else found[name][-1]
        np.testing.assert_allclose(outputs, wanted, rtol=0, atol=1e-6 * max(1.0, float(np.abs(wanted).max())))


def test_a_causal_network_has_no_latency(run_programs: RunPrograms, tmp_path: Path, capsys: Any) -> None:
    model = export(tmp_path, command_models.causal, "--chunk", "5")
    first, second = capsys.readouterr().out.splitlines()
    assert "start.stablehlo, step.stablehlo, short_step.stablehlo, end.stablehlo, stream.json; " in first
    assert first.endswith(" bytes for cpu, cuda")
    assert second == "start reads 0 samples, step 5, short_step 1; the outputs are 0 samples late"
    x = draw({"x": (3, 28, 3)})
    found = run_programs(tmp_path, x)
    # start reads no samples and returns none; each later sample gives one output; end returns none.
    assert [y.shape[1] for y in found["y"]] == [0, *[5] * 5, *[1] * 3, 0]
    check(model, found, x)


def test_outputs_of_a_network_with_latency_and_strides_are_late(
    run_programs: RunPrograms, tmp_path: Path, capsys: Any
) -> None:
    model = export(tmp_path, command_models.late, "--chunk", "8", "--batch", "2", "--platforms", "cpu")
    timing = json.loads((tmp_path / "stream/stream.json").read_text())
    loaded, _, _ = jconv.keras.load(model)
    assert timing["latency"] == loaded.latency > 0 and timing["first"] >= timing["latency"]
    assert (timing["chunk"], timing["period"], timing["outputs_per_sample"]) == (8, 4, 0.5)
    assert capsys.readouterr().out.endswith(f"; the outputs are {timing['latency']:g} samples late\n")
    x = draw({"x": (2, timing["first"] + 28, 3)})
    found = run_programs(tmp_path, x)
    assert [y.shape[1] for y in found["y"]][1:-1] == [4, 4, 4, 2] and found["y"][-1].shape[1] > 0
    check(model, found, x)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize(("chunk", "batch"), [("1", "any"), ("3", "2")])
def test_several_inputs_and_outputs_are_streamed(
    chunk: str, batch: str, run_programs: RunPrograms, tmp_path: Path
) -> None:
    model = export(tmp_path, command_models.sentence, "--chunk", chunk, "--batch", batch)
    assert (tmp_path / "stream/short_step.stablehlo").exists() == (chunk != "1")
    x = draw({"numbers": (2, 12), "features": (2, 12, 2)})
    check(model, run_programs(tmp_path, x), x)


def test_channels_first_networks_are_streamed(run_programs: RunPrograms, tmp_path: Path) -> None:
    model = export(tmp_path, command_models.channels_first)
    assert json.loads((tmp_path / "stream/stream.json").read_text())["chunk"] == 2
    x = draw({"x": (2, 3, 14)})
    check(model, run_programs(tmp_path, x, axis=2), x, axis=2)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (command_models.causal, ["--chunk", "4"], "--chunk 4: only a stream has chunks; add --stream or leave"),
        (command_models.causal, ["--stream", "--length", "9"], "--length 9: a stream has no length; leave --length"),
        (command_models.causal, ["--stream", "--chunk", "0"], "argument --chunk: must be an integer of at least 1"),
        (command_models.causal, ["--stream", "--chunk", "any"], "argument --chunk: must be an integer of at least 1"),
        (command_models.late, ["--stream", "--chunk", "6"], "--chunk 6: must be a multiple of 4, so that all chunks"),
        (command_models.words, ["--stream"], "words.keras cannot be computed chunk by chunk: node 'flat': "),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    make: Any, options: list[str], message: str, tmp_path: Path, capsys: Any
) -> None:
    arguments = ["export", str(make(tmp_path)), "--to", str(tmp_path / "stream"), *options]
    try:
        code = main(arguments)
    except SystemExit as error:
        code = error.code
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2 and line.startswith(f"jconv: {message}")
    assert not (tmp_path / "stream").exists()


def test_an_existing_folder_or_a_missing_parent_is_refused(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "stream").mkdir()
    model = command_models.causal(tmp_path)
    for folder, message in ((tmp_path / "stream", "exists"), (tmp_path / "none/stream", "there is no folder")):
        assert main(["export", str(model), "--to", str(folder), "--stream"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"jconv: {folder}") and message in line
    assert not list((tmp_path / "stream").iterdir())
