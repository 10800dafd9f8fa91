"""`python -m benchmarks.wild` on files that these tests write."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jconv
from benchmarks import wild
from benchmarks.published import fetching, manifest, recording
from benchmarks.published.manifest import Published, Recorded, examples, read_manifest, read_outputs, recorded_values
from benchmarks.published.splines import spline_basis
from benchmarks.published.stand_ins import ChannelAttention, LastStep
from benchmarks.published.trial import Trial, TrialProcess, try_file
from jconv import layers
from jconv.layers import Layer
from tests.support.keras_crafted import archive, functional, hdf5, layer, tensor

pytestmark = pytest.mark.slow

INPUTS = (((2, 9, 3), None),)
Made = tuple[Any, Any, Any]


@pytest.fixture(scope="module")
def network() -> Made:
    model = jconv.sequential([layers.Conv1D(4, 3), layers.Activation("tanh"), layers.Dense(2)])
    return model, *model.init(jax.random.key(0), (9, 3))


@pytest.fixture
def content(network: Made, tmp_path: Path) -> bytes:
    path = tmp_path / "made.keras"
    jconv.keras.save(path, *network, input_shape=(9, 3))
    return path.read_bytes()


def row(content: bytes, **changes: Any) -> Published:
    digest = hashlib.sha256(content).hexdigest()
    published = Published(
        "repository", "someone/network", "abc", "models/a b.keras", digest, len(content), "MIT", "3.0", "", "loads"
    )
    return published._replace(**changes)


def recorded_of(network: Made, digest: str, **changes: Any) -> Recorded:
    """The outputs of the NumPy definition, recorded as if Keras had computed them."""
    values, scale = recorded_values([network[0].reference(*network[1:], *examples(INPUTS))])
    return Recorded(digest, "NumPy", INPUTS, scale, tuple(values))._replace(**changes)


def conv2d() -> bytes:
    return archive(functional(layer("Conv2D", "conv2d", {"filters": 1}, module="keras.layers")))


class Folder:
    """A folder with files named by their digest, a manifest and recorded outputs, and the command on them."""

    def __init__(self, path: Path) -> None:
        self.path, self.files = path, path / "files"
        self.files.mkdir()

    def write(self, rows: Sequence[Published], recorded: Sequence[Recorded] = ()) -> None:
        with (self.path / "wild.csv").open("w", newline="") as file:
            csv.writer(file).writerows([Published._fields, *rows])
        manifest.write_outputs(self.path / "outputs.csv", {r.sha256: r for r in recorded})

    def add(self, content: bytes) -> None:
        (self.files / hashlib.sha256(content).hexdigest()).write_bytes(content)

    def run(self, *arguments: str) -> int:
        own = ["--manifest", str(self.path / "wild.csv"), "--outputs", str(self.path / "outputs.csv")]
        return wild.main([*arguments, *own, "--files", str(self.files)])


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_files_with_the_expected_results(network: Made, content: bytes, folder: Folder, capsys: Any) -> None:
    refused = conv2d()
    folder.add(content)
    folder.add(refused)
    rows = [row(content), row(refused, path="b.keras", expected="refused: Conv2D")]
    folder.write(rows, [recorded_of(network, rows[0].sha256)])
    assert folder.run("--no-fetch", "--json", str(folder.path / "found.json")) == 0
    printed = capsys.readouterr().out
    assert "| someone/network | 2 | 1 |  | 1 | 1 | 1: Conv2D |" in printed
    assert "| **all 1** | 2 | 1 |  | 1 | 1 | 1 |" in printed
    loaded, _ = json.loads((folder.path / "found.json").read_text())["rows"]
    assert loaded["deviation"] < 1e-6
    assert loaded["saved"] == "" and loaded["forward_ms"] > 0


def test_unexpected_results_are_reported(network: Made, content: bytes, folder: Folder, capsys: Any) -> None:
    refused = conv2d()
    folder.add(content)
    folder.add(refused)
    recorded = recorded_of(network, row(content).sha256)
    other = recorded._replace(values=(recorded.values[0] + 1e-3, *recorded.values[1:]))
    folder.write([row(content), row(refused)], [other])
    assert folder.run("--no-fetch") == 1
    printed = capsys.readouterr().out
    assert "not as expected: someone/network models/a b.keras: deviates from Keras by" in printed
    assert "models/a b.keras: refused: layer 'conv2d' (Conv2D)" in printed
    assert "| someone/network | 2 | 1 |  | 0 | 1 | 1: not expected |" in printed


@pytest.mark.parametrize(
    ("trial", "expected", "problem"),
    [
        (Trial("holds Conv2D", is_refused=True), "refused: Conv2D", ""),
        (Trial("holds Conv2D", is_refused=True), "refused: Conv3D", "refused, but not by 'Conv3D': holds Conv2D"),
        (Trial(load_ms=1.0), "refused: Conv2D", "loads, but was expected to be refused by 'Conv2D'"),
        (Trial("it needs more than 3 seconds"), "loads", "it needs more than 3 seconds"),
        (Trial(deviation=1e-5), "loads", ""),
        (Trial(deviation=2e-5), "loads", "deviates from Keras by 2.0e-05 of the scale"),
        (Trial(deviation=float("nan")), "loads", "deviates from Keras by nan of the scale"),
    ],
)
def test_judge_compares_a_trial_with_the_expectation(trial: Trial, expected: str, problem: str) -> None:
    assert wild.judge(row(b"", expected=expected), trial) == problem


def test_outputs_of_another_size_or_not_finite_deviate(network: Made) -> None:
    recorded = recorded_of(network, "")
    y = network[0].reference(*network[1:], *examples(INPUTS))
    assert recorded.deviation([y]) < 1e-6
    assert recorded.deviation([y.ravel()[:5]]) == float("inf")
    assert recorded.deviation([np.full_like(y, np.nan)]) == float("inf")


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    nodes = (jconv.Node("sum", layers.Add(), ("a", "b")), jconv.Node("dense", layers.Dense(2), ("sum",)))
    model = jconv.Model(nodes, ("a", "b"), ("dense", "sum"), ((3,), (3,)))
    params, state = model.init(jax.random.key(0))
    path = tmp_path / "made.keras"
    jconv.keras.save(path, model, params, state)
    inputs = (((2, 3), None), ((2, 3), None))
    expected = model.reference(params, state, examples(inputs))
    values, scale = recorded_values([expected["dense"], expected["sum"]])
    trial = try_file(path, "", Recorded("", "NumPy", inputs, scale, tuple(values)))
    assert trial.error is None and trial.saved == ""
    assert trial.deviation is not None and trial.deviation < 1e-6


def test_a_file_with_another_digest_is_reported(content: bytes, folder: Folder, capsys: Any) -> None:
    (folder.files / row(content).sha256).write_bytes(content[:-1])
    folder.write([row(content)])
    assert folder.run() == 1
    assert f"not {row(content).sha256[:12]}...; remove it" in capsys.readouterr().out


def test_a_file_of_a_repository_is_fetched(
    content: bytes, folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(fetching, "RAW", (folder.path / "web").as_uri())
    there = folder.path / "web" / "someone" / "network" / "abc" / "models"
    there.mkdir(parents=True)
    (there / "a b.keras").write_bytes(content)
    (there / "longer.keras").write_bytes(content + b"more")
    folder.write([row(content)])
    assert folder.run() == 0
    assert (folder.files / row(content).sha256).read_bytes() == content
    other = row(b"other", path="models/longer.keras", bytes=len(content))
    folder.write([other, row(b"none", path="models/none.keras")])
    assert folder.run() == 1
    printed = capsys.readouterr().out
    assert f"longer.keras has the digest {row(content + b'm').sha256[:12]}..." in printed
    assert "not fetched: someone/network models/none.keras: file:///" in printed
    assert [path.name for path in folder.files.iterdir()] == [row(content).sha256]


def test_a_file_of_a_package_is_fetched(
    content: bytes, folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    pytest.importorskip("pip")
    wheels = folder.path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(folder.path / "inner.zip", "w") as inner:
        inner.writestr("a.keras", content)
    with zipfile.ZipFile(wheels / "networks-1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("networks/a.keras", content)
        wheel.write(folder.path / "inner.zip", "networks/a.zip")
        wheel.writestr("networks-1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: networks\nVersion: 1.2\n")
        wheel.writestr("networks-1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("networks-1.2.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    one = row(content, kind="package", source="networks", version="1.2", path="networks/a.keras")
    folder.write([one])
    assert folder.run() == 0
    assert "| networks 1.2 | 1 | 1 |  | 0 of 0 recorded |" in capsys.readouterr().out
    (folder.files / one.sha256).unlink()
    folder.write([one._replace(path="networks/a.zip!a.keras")])
    assert folder.run() == 0
    absent = one._replace(path="networks/b.keras", sha256="0" * 64)
    folder.write([absent, absent._replace(version="9.9", sha256="1" * 64)])
    assert folder.run() == 1
    printed = capsys.readouterr().out
    assert "networks-1.2-py3-none-any.whl has no networks/b.keras" in printed
    assert "not fetched: networks 9.9 networks/b.keras: pip: ERROR: No matching distribution" in printed


def test_outputs_of_keras_are_recorded(content: bytes, folder: Folder, capsys: Any) -> None:
    pytest.importorskip("keras")
    folder.add(content)
    folder.write([row(content), row(b"", keras="2.15.0", sha256="0" * 64)])
    assert folder.run("record", "--no-fetch", "--keras-3", sys.executable) == 1
    assert "recorded 1 files" in capsys.readouterr().out
    (recorded,) = read_outputs(folder.path / "outputs.csv").values()
    assert recorded.by.startswith("keras 3.") and recorded.inputs == INPUTS
    assert len(set(recorded.values)) == manifest.VALUES
    folder.write([row(content)], [recorded])
    assert folder.run("--no-fetch") == 0
    assert "| someone/network | 1 | 1 |  | 1 | 1 |" in capsys.readouterr().out


def test_a_file_that_keras_does_not_load(folder: Folder) -> None:
    pytest.importorskip("keras")
    folder.add(conv2d())
    file = (row(conv2d(), keras="3.0"), folder.files / row(conv2d()).sha256, INPUTS)
    recorded, reasons = recording.record([file], {"2": "no such python", "3": sys.executable})
    assert not recorded
    assert reasons.keys() == {file[0].sha256}


def test_a_file_that_takes_too_long(content: bytes, folder: Folder) -> None:
    folder.add(content)
    with TrialProcess(seconds=0.01) as process:
        trial = process.run(folder.files / row(content).sha256, "", None)
        assert trial == Trial("it needs more than 0.01 seconds")
        process.seconds = 300
        assert process.run(folder.files / row(content).sha256, "", None).saved == ""


def test_a_stand_in_for_a_class(folder: Folder, capsys: Any) -> None:
    """A file with classes of MMSplice, which contains neither their computation nor a module of Keras."""
    config = {"filters": 4, "kernel_size": [3], "padding": "same", "seq_length": None}
    pooled = layer("GlobalAveragePooling1D_Mask0", "pooled", None, [["conv", "in0"]])
    entries = layer("ConvDNA", "conv", config), layer("SplineWeight1D", "spline", {"n_bases": 10}, ["conv"]), pooled
    entries[2]["inbound_nodes"][0]["args"] = [[tensor("spline"), tensor("in0")]]
    rng = np.random.default_rng(0)
    kernel, bias, spline = rng.random((3, 3, 4)), rng.random(4), rng.random((10, 4))
    arrays = {"layers/conv_dna/vars/0": kernel, "layers/conv_dna/vars/1": bias, "layers/spline_weight1d/vars/0": spline}
    content = archive(functional(*entries, shape=(9, 3)), hdf5({k: np.float32(v) for k, v in arrays.items()}))
    folder.add(content)
    (x,) = examples(INPUTS)
    y = jconv.reference.conv1d({"kernel": kernel, "bias": bias}, x, padding="same") * (
        1 + spline_basis(9, 10, 3) @ spline
    )
    weights = np.float64(x).max(axis=2, keepdims=True)
    values, scale = recorded_values([(y * weights).sum(axis=1) / weights.sum(axis=1)])
    recorded = Recorded(row(content).sha256, "NumPy", INPUTS, scale, tuple(values))
    folder.write([row(content, supplied="mmsplice")], [recorded])
    assert folder.run("--no-fetch") == 0
    assert "| someone/network | 1 | 1 | 1 | 1 | 0 |" in capsys.readouterr().out
    folder.write([row(content, supplied="deeplc")])
    assert folder.run("--no-fetch") == 1
    assert "refused: layer 'conv' (ConvDNA)" in capsys.readouterr().out


def test_a_file_that_needs_no_stand_in(content: bytes, folder: Folder, capsys: Any) -> None:
    folder.add(content)
    folder.write([row(content, supplied="deeplc")])
    assert folder.run("--no-fetch") == 1
    assert (
        "not as expected: someone/network models/a b.keras: without the stand-in deeplc: loads"
        in capsys.readouterr().out
    )
    folder.write([row(content, supplied="nobody")])
    assert folder.run("--no-fetch") == 2
    assert "supplied must be one of deeplc, mmsplice" in capsys.readouterr().err


@pytest.mark.parametrize(("own", "channels"), [(LastStep(), 3), (ChannelAttention(), 3)])
def test_stand_ins_agree_in_numpy_and_jax(own: Layer, channels: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 9, channels)).astype("float32")
    params = {name: np.float32(rng.standard_normal(s)) for name, s in own.param_shapes((9, channels)).items()}
    y = own.apply(params, {}, x)[0]
    assert y.shape == (2, *own.output_shape((9, channels)))
    assert np.abs(y - own.reference(params, {}, x)).max() < 1e-5


@pytest.mark.parametrize("length", [10, 400])
def test_splines_agree_with_scipy(length: int) -> None:
    interpolate = pytest.importorskip("scipy.interpolate")
    low, high = -0.001 * (length - 1), 1.001 * (length - 1)
    step = (high - low) / 7
    knots = np.float64(np.float32(np.linspace(low - 3 * step, high + 3 * step, 14)))
    expected = interpolate.BSpline(knots, np.eye(10), 3)(np.arange(length))
    assert np.abs(spline_basis(length, 10, 3) - expected).max() < 1e-12


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"kind": "letter"}, "line 2: kind must be package or repository, got 'letter'"),
        ({"sha256": "12"}, "line 2: sha256 must be 64 hexadecimal digits"),
        ({"bytes": "many"}, "line 2: bytes must be a whole number, got 'many'"),
        ({"expected": "refused: "}, "line 2: expected must be loads, or refused: and a word"),
    ],
)
def test_errors_in_the_manifest_name_the_line(changes: Any, part: str, folder: Folder, capsys: Any) -> None:
    folder.write([row(b"", **changes)])
    assert folder.run() == 2
    error = capsys.readouterr().err
    assert error.startswith("wild: ") and part in error and error.count("\n") == 1


def test_user_errors_end_with_exit_code_2(folder: Folder, tmp_path: Path, capsys: Any) -> None:
    assert folder.run() == 2
    assert "wild.csv: No such file or directory" in capsys.readouterr().err
    (tmp_path / "wild.csv").write_text("a,b\n1,2\n")
    assert folder.run() == 2
    assert "the first line must be kind,source," in capsys.readouterr().err
    folder.write([row(b"")])
    assert folder.run("--project", "nobody") == 2
    assert "--project 'nobody': no name of a project contains it" in capsys.readouterr().err
    (tmp_path / "outputs.csv").write_text("sha256,by,inputs,scale,values\na,b,1,2,3\n")
    assert folder.run() == 2
    assert "outputs.csv, line 2: " in capsys.readouterr().err
    for arguments in (["--files", str(tmp_path / "none")], ["record"], ["--json", str(tmp_path / "none" / "a")]):
        with pytest.raises(SystemExit, match="2"):
            wild.main(arguments)
        assert capsys.readouterr().err.startswith("wild: ")


def test_the_manifest_has_a_hundred_files_of_thirty_projects() -> None:
    rows = read_manifest(manifest.MANIFEST)
    assert len(rows) >= 100
    assert len({published.source for published in rows}) >= 30
    assert len({published.sha256 for published in rows}) == len(rows)
    loading = {published.sha256 for published in rows if not published.refused_by}
    assert read_outputs(manifest.OUTPUTS).keys() <= loading


def test_the_cache_is_a_folder_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fetching.cache_folder() == tmp_path / "jconv" / "published"
