"""`python -m benchmarks.devices`: the sizes of collectives, and its table."""

import pytest

from benchmarks import devices


def test_received_bytes_are_read_from_the_program():
    text = """
  %sums = (f32[4,2]{1,0}, f32[]) all-reduce(%a, %b), channel_id=1
  %halo = bf16[3]{0} collective-permute(%c), channel_id=2
  ROOT %other = f32[9]{0} add(%d, %e)
"""
    assert devices.received(text) == {"all-reduce": 36, "collective-permute": 6}


@pytest.mark.slow
def test_a_step_over_two_devices_is_measured(monkeypatch):
    monkeypatch.setattr(devices, "SERIES", 1)
    monkeypatch.setattr(devices, "LENGTH", 16)
    found = devices.measure("FCN, batch", 2, 1)
    # The gradients of 264,962 params, and less than one percent of other values.
    assert 264_962 * 4 < found.received.pop("all-reduce") < 264_962 * 4 * 1.01 and not found.received
    assert found.flops > 2 * 3 * 16 * (128 * 8 + 128 * 256 * 5 + 256 * 128 * 3) and min(found.seconds, found.alone) > 0
    assert devices.table([found]).splitlines()[-1].startswith("| FCN, batch | 2 | ")


def test_by_lax_sets_the_algorithm_of_every_convolution():
    task = devices.by_lax(devices.unet_task(1))
    names = [layer.algorithm for layer in (node.layer for node in task.model.nodes) if hasattr(layer, "algorithm")]
    assert len(names) == 18 and set(names) == {"lax"}
    assert [node.name for node in task.model.nodes] == [node.name for node in devices.unet_task(1).model.nodes]
