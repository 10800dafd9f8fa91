"""Keras's attention of one head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...layers import AdditiveAttention, Attention, Layer
from .config import Config, flag, number, one_of
from .kind import Key, Kind

USE_SCALE = Key("use_scale", "use_scale", flag)
DROPOUT = Key("dropout", "dropout", number)
CALL = {"inputs": ("query", "value", "key"), "mask": ("query_mask", "value_mask", "key_mask")}
CALL_OPTIONS = {"use_causal_mask": "causal", "return_attention_scores": "return_attention_scores"}


def _reading(layer: Any, keys: tuple[Key, ...]) -> Callable[[Config, Any], Layer]:
    """Read the keys and Keras 2's `causal`, which is an argument of the call now."""
    options = Kind("", layer, keys).options
    return lambda config, read_layer: layer(**options(config), causal=config.get("causal", flag, False))


def _kind(name: str, layer: type[Layer], keys: tuple[Key, ...]) -> Kind:
    return Kind(name, layer, keys, read=_reading(layer, keys), mask="on", call=CALL, call_options=CALL_OPTIONS)


KINDS = (
    _kind("Attention", Attention, (USE_SCALE, Key("score_mode", "score_mode", one_of("dot", "concat")), DROPOUT)),
    _kind("AdditiveAttention", AdditiveAttention, (USE_SCALE, DROPOUT)),
)
