"""`python -m benchmarks.networks` on tiny networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jconv
from benchmarks import networks
from benchmarks.network_sides import jax_sides
from benchmarks.network_sides.architectures import NETWORKS, KerasNetwork
from benchmarks.network_sides.side import FORWARD, STEP, examples
from benchmarks.networks import JCONV, KERAS, SIDES, NetworkRow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def tiny(network: KerasNetwork) -> KerasNetwork:
    return network._replace(length=32, filters=8, batches=(2,))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder, kept = tmp_path_factory.mktemp("networks"), {}

    def file(network: KerasNetwork) -> str:
        if network.name not in kept:
            kept[network.name] = str(folder / f"{len(kept)}.keras")
            tiny(network).model().save(kept[network.name])
        return kept[network.name]

    return file


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_jconv_reads_and_computes_every_network(network: KerasNetwork, files: Any, tmp_path: Path) -> None:
    ours, theirs = jax_sides.Jconv(files(network)), jax_sides.Keras(files(network))
    assert ours.input_shape == theirs.input_shape
    for program, calls in ((FORWARD, 1), (STEP, 3)):
        results = []
        for side in (ours, theirs):
            side.reply({"program": program, "batch": 2, "save": str(tmp_path / "y.npy"), "calls": calls})
            results.append(np.load(tmp_path / "y.npy"))
        assert np.abs(results[0] - results[1]).max() < 1e-5 * np.abs(results[1]).max()
        if program == STEP:
            assert results[0][0] > results[0][1] > results[0][2]
    model, params, state = jconv.keras.load(files(network))
    expected = model.reference(params, state, examples(ours.input_shape, 2))
    assert np.abs(ours.prepared(FORWARD, 2)() - expected).max() < 1e-5


def test_the_networks_of_the_table_have_the_published_sizes() -> None:
    # 1,152 + 164,096 + 98,432 of the convolutions, 2,048 of the normalizations, 1,032 of the dense layer
    assert NETWORKS[0].model().count_params() == 266_760
    assert {network.name: network.batches for network in NETWORKS if network.batches != (1, 64)} == {"SpliceAI": (1, 4)}


def test_the_command_measures_and_writes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    (network,) = (tiny(network) for network in NETWORKS if network.name == "TCN")
    monkeypatch.setattr("benchmarks.network_sides.architectures.NETWORKS", (network,))
    file = tmp_path / "found.json"
    arguments = ["--sides", "jit", "--rounds", "2", "--seconds", "0.001", "--json", str(file)]
    assert networks.main(arguments) == 0
    printed = capsys.readouterr().out
    assert f"| network | program | batch | ms, {JCONV} | {KERAS} / jconv |" in printed
    assert "| TCN | training step | 2 |" in printed
    assert printed.count("geometric mean") == 2
    rows = json.loads(file.read_text())["rows"]
    assert [(row["program"], row["batch"]) for row in rows] == [(FORWARD, 2), (STEP, 2)]
    assert all(len(row["milliseconds"][name]) >= 2 for row in rows for name in (JCONV, KERAS))


FOUND = {
    NetworkRow("A", FORWARD, 1): {JCONV: [2.0, 4.0, 9.0], KERAS: [6.0], "ONNX Runtime": [1.0]},
    NetworkRow("B", FORWARD, 64): {JCONV: [1.0], KERAS: [6.0]},
    NetworkRow("A", STEP, 1): {JCONV: [2.0], KERAS: [1.0]},
}


def test_ratios_are_computed_from_medians() -> None:
    assert networks.table(FOUND).splitlines() == [
        f"| network | program | batch | ms, jconv | {KERAS} / jconv | ONNX Runtime / jconv |",
        "|---|---|---|---|---|---|",
        "| A | forward | 1 | 4 | 1.50 | 0.25 |",
        "| B | forward | 64 | 1 | 6.00 |  |",
        "| A | training step | 1 | 2 | 0.50 |  |",
    ]
    assert networks.summary(FOUND) == [
        f"{KERAS} / jconv, forward: geometric mean 3.00, least 1.50 (A, batch 1)",
        f"{KERAS} / jconv, training step: geometric mean 0.50, least 0.50 (A, batch 1)",
    ]


class Workers:
    """Workers that reply immediately. `results` has the result of each side, or an exception if the side fails."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.results = results

    def __getitem__(self, name: str) -> Any:
        return self

    def items(self) -> Any:
        for name in self.results:
            self.name = name
            yield name, self

    def request(self, save: str, **_: Any) -> None:
        if isinstance(self.results[self.name], Exception):
            raise self.results[self.name]
        np.save(save, self.results[self.name])


def test_results_that_differ_and_sides_that_fail(capsys: Any) -> None:
    row, failed = NetworkRow("A", FORWARD, 1), networks.WorkerError("no exporter")
    workers: Any = Workers({JCONV: [1.0, 2.0], KERAS: [1.0, 2.00001], "ONNX Runtime": failed})
    assert networks._computed_by(row, workers, networks.check_equal) == [JCONV, KERAS]
    assert "left out of A, batch 1: no exporter" in capsys.readouterr().out
    with pytest.raises(ArithmeticError, match=r"A, forward, batch 1: Keras, `jax.jit` deviates by 5.0e-01"):
        networks._computed_by(row, Workers({JCONV: [1.0, 2.0], KERAS: [1.0, 3.0]}), networks.check_equal)  # pyright: ignore[reportArgumentType]
    with pytest.raises(networks.WorkerError):
        networks._computed_by(row, Workers({JCONV: failed}), networks.check_equal)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network", "VGG"], "--network 'VGG': no name of a network contains it; they are FCN, ResNet"),
        (["--sides", "MXNet"], "--sides 'MXNet': no name of a side contains it; they are jconv"),
        (["--batch", "0"], "--batch: must be a whole number of at least 1, got '0'"),
        (["--seconds", "nan"], "--seconds: must be a number above zero, got 'nan'"),
        (["--json", "/nowhere/found.json"], "there is no folder /nowhere"),
    ],
)
def test_user_errors_end_with_exit_code_2(arguments: list[str], message: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as exit:
        networks.main(arguments)
    assert exit.value.code == 2
    assert message in capsys.readouterr().err


def test_every_side_names_the_packages_that_it_needs() -> None:
    assert SIDES[0].needs == ()
    assert all("keras" in side.needs for side in SIDES[1:])
