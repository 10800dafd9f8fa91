"""`python -m benchmarks.streaming` on tiny networks and without other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks import streaming
from benchmarks.shared.timing import Timing
from benchmarks.streams.networks import ConvWeights, StreamedNetwork, networks
from benchmarks.streams.sides import JCONV, PRODUCTS, SEQUENCE_LAYERS, SIDES, TORCH, WINDOW, StreamSide, truth

OURS = [side for side in SIDES if side.needs is None]


def tiny(kind: str) -> StreamedNetwork:
    rng = np.random.default_rng(0)

    def conv(*shape: int, **options: Any) -> ConvWeights:
        size = shape[2] if not options.get("depthwise") else shape[1]
        return ConvWeights(rng.normal(size=shape).astype("float32"), rng.normal(size=size).astype("float32"), **options)

    blocks = {
        "gated": ((conv(2, 4, 8, dilation=5, activation="glu"), conv(1, 4, 4)),) * 2,
        "depthwise": ((conv(4, 4, 1, depthwise=True),),),
    }
    return StreamedNetwork(kind, blocks[kind], residual=kind == "gated")


def test_the_networks_have_the_sizes_of_the_table() -> None:
    found = networks()
    assert [network.reach for network in found] == [1024, 1021, 4]
    assert [network.channels for network in found] == [64, 64, 2048]


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("kind", ["gated", "depthwise"])
@pytest.mark.parametrize("side", OURS, ids=lambda side: side.name)
def test_every_side_of_jconv_streams_the_reference(kind: str, side: StreamSide) -> None:
    streaming.check(streaming.StreamRow(tiny(kind), 2, 3), side)


def test_a_wrong_side_is_found() -> None:
    def wrong(network: StreamedNetwork, batch: int, chunk: int) -> Any:
        return lambda x: np.zeros_like(truth(network, x))

    with pytest.raises(ArithmeticError, match="gated; 1 x 1: wrong deviates from the reference by"):
        streaming.check(streaming.StreamRow(tiny("gated"), 1, 1), StreamSide("wrong", wrong))


def test_a_row_is_measured_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "SIDES", OURS)
    assert PRODUCTS not in {side.name for side in streaming.sides(streaming.StreamRow(tiny("depthwise"), 1, 1))}
    found = streaming.measure(streaming.StreamRow(tiny("gated"), 1, 1), 2, 0.1)
    assert set(found) == {side.name for side in OURS} and all(t.milliseconds > 0 for t in found.values())
    made_up = {JCONV: Timing(2.0, 3), TORCH: Timing(5.0, 3), SEQUENCE_LAYERS: Timing(3.0, 3), WINDOW: Timing(9.0, 1)}
    monkeypatch.setattr(streaming, "SIDES", SIDES)
    lines = streaming.table({"a row": made_up}).splitlines()
    assert lines[-1] == "| a row | 2 | 3 | 5 | 9 | 1.50 | 2.50 |"


def test_a_long_stream_equals_its_last_window_and_needs_no_more_memory() -> None:
    deviation, microseconds, early, late = streaming.long(tiny("gated"), 4000)
    assert deviation < 1e-6 and microseconds > 0 and early == late


@pytest.mark.parametrize("arguments", [["--network", "nothing"], ["--turns", "0"], ["--sessions", "7"]])
def test_user_errors_are_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        streaming.main(arguments)
    message = capsys.readouterr().err
    assert stop.value.code == 2 and message.startswith("streaming: ") and message.count("\n") == 1
