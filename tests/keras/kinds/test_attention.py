"""Single-head attention layers in files; configs of older versions, and invalid configs, of these and other layers."""

from typing import Any

import pytest

import jconv.keras
from jconv import layers as jl
from jconv.keras.kinds import KINDS
from jconv.keras.kinds.config import Config
from tests.support.keras_cases.attention import CASES
from tests.support.keras_files import check

pytestmark = pytest.mark.usefixtures("quick_weights")


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("name", CASES)
def test_equals_keras(name: str) -> None:
    check(CASES[name])


def read_no_layer(value: Any, place: str) -> Any:
    raise AssertionError(place)


OLDER = {
    "Attention": ({"use_scale": True, "causal": True, "dropout": 0.5}, jl.Attention(True, dropout=0.5, causal=True)),
    "AdditiveAttention": ({"use_scale": False, "causal": False}, jl.AdditiveAttention(False)),
    "MultiHeadAttention": (
        {"num_heads": 2, "key_dim": 3, "output_shape": [], "attention_axes": [1], "query_shape": [None, 7, 4]},
        jl.MultiHeadAttention(2, 3, attention_axes=(1,)),
    ),
    "BatchNormalization": (
        {"axis": [2], "momentum": 0.9, "fused": None, "renorm": False, "virtual_batch_size": None},
        jl.BatchNormalization(2, 0.9),
    ),
    "Embedding": ({"input_dim": 5, "output_dim": 3, "input_length": 7}, jl.Embedding(5, 3)),
    "Normalization": ({"axis": None, "mean": [1.0], "variance": [2.0]}, jl.Normalization((), (1.0,), (2.0,))),
}


@pytest.mark.parametrize("name", OLDER)
def test_configs_of_older_versions_are_read(name: str) -> None:
    values, layer = OLDER[name]
    config = Config(values, "layer")
    assert KINDS[name].make(config, read_no_layer) == layer
    assert config.unused_keys() == []


REFUSED = {
    "BatchNormalization": (
        {"renorm": True},
        "layer: renorm must be False; jconv supports no other value here, got True",
    ),
    "MultiHeadAttention": ({"num_heads": 2}, "layer: key_dim is missing"),
    "Rescaling": ({"scale": [1, "2"]}, r"layer: scale must be a finite number, got \[1, '2'\]"),
    "SpectralNormalization": ({"layer": "dense"}, "layer: layer must be an object, got 'dense'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_configs_are_refused(name: str) -> None:
    values, message = REFUSED[name]
    with pytest.raises(jconv.keras.KerasFileError, match=f"^{message}$"):
        KINDS[name].make(Config(values, "layer"), read_no_layer)
