"""Keras's attentions of several heads."""

from __future__ import annotations

from typing import Any

from ...layers import GroupedQueryAttention, MultiHeadAttention
from .config import flag, integer, integers, number, optional
from .kind import Key, Kind

SHARED = (
    Key("dropout", "dropout", number),
    Key("use_bias", "use_bias", flag),
    Key("use_gate", "use_gate", flag),
    Key("sliding_window", "sliding_window", optional(integer)),
)
CALL = {name: (name,) for name in ("query", "value", "key", "query_mask", "value_mask", "key_mask", "attention_mask")}
CALL_OPTIONS = {"use_causal_mask": "causal", "return_attention_scores": "return_attention_scores"}


def _sizes(value: Any) -> int | tuple[int, ...] | None:
    """An integer or several; no value at all for none of them."""
    return (integers(value) or None) if isinstance(value, (list, tuple)) else integer(value)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


KINDS = (
    Kind(
        "MultiHeadAttention",
        MultiHeadAttention,
        (
            Key("num_heads", "num_heads", integer),
            Key("key_dim", "key_dim", integer),
            Key("value_dim", "value_dim", optional(integer)),
            Key("output_shape", "out_shape", optional(_sizes), _listed),
            Key("attention_axes", "attention_axes", optional(_sizes), _listed),
            *SHARED,
        ),
        folders=lambda layer: {
            "query": "query_dense",
            "key": "key_dense",
            "gate": "_gate_dense",
            "value": "value_dense",
            "attention_output": "output_dense",
        },
        mask="on",
        call=CALL,
        call_options=CALL_OPTIONS,
        # So a sum of the output and the query, the usual one, has no mask.
        takes_masks_off=True,
        # Keras puts the query's own mask in its place.
        passed_over=("query_mask",),
        # Keras 2's shapes of the inputs, and in any version how it is computed.
        harmless=("query_shape", "key_shape", "value_shape", "flash_attention"),
    ),
    Kind(
        "GroupQueryAttention",
        GroupedQueryAttention,
        (
            Key("head_dim", "head_dim", integer),
            Key("num_query_heads", "num_query_heads", integer),
            Key("num_key_value_heads", "num_key_value_heads", integer),
            *SHARED,
        ),
        folders=lambda layer: {
            "query": "_query_dense",
            "key": "_key_dense",
            "gate": "_gate_dense",
            "value": "_value_dense",
            "attention_output": "_output_dense",
        },
        mask="on",
        call=CALL,
        call_options=CALL_OPTIONS,
        harmless=("flash_attention",),
        own_name="GroupedQueryAttention",
    ),
)
