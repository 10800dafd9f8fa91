"""Attention layers."""

from __future__ import annotations

from typing import Any

from ...layers import AdditiveAttention, Attention, GroupedQueryAttention, Layer, MultiHeadAttention
from .config import as_lists, flag, integer, number, one_of, one_or_more_integers, optional
from .kind import Key, Kind

USE_SCALE = Key("use_scale", flag)
DROPOUT = Key("dropout", number)
CALL_OPTIONS = {"use_causal_mask": "causal", "return_attention_scores": "return_attention_scores"}


# An option of the layer in Keras 2, an argument of its call in Keras 3.
CAUSAL = Key("causal", flag, write=None)


def _single_head(layer: type[Layer], *keys: Key) -> Kind:
    return Kind(
        layer,
        (*keys, CAUSAL),
        mask="propagate",
        call={"inputs": ("query", "value", "key"), "mask": ("query_mask", "value_mask", "key_mask")},
        call_options=CALL_OPTIONS,
    )


SHARED = (
    DROPOUT,
    Key("use_bias", flag),
    Key("use_gate", flag),
    Key("sliding_window", optional(integer)),
)
ARGUMENTS = ("query", "value", "key", "query_mask", "value_mask", "key_mask", "attention_mask")
CALL = {name: (name,) for name in ARGUMENTS}


def _sizes(value: Any) -> int | tuple[int, ...] | None:
    """An integer, or several; None for an empty list."""
    return None if value == [] else one_or_more_integers(value)


KINDS = (
    _single_head(Attention, USE_SCALE, Key("score_mode", one_of("dot", "concat")), DROPOUT),
    _single_head(AdditiveAttention, USE_SCALE, DROPOUT),
    Kind(
        MultiHeadAttention,
        (
            Key("num_heads", integer),
            Key("key_dim", integer),
            Key("value_dim", optional(integer)),
            Key("output_shape", optional(_sizes), as_lists, field="out_shape"),
            Key("attention_axes", optional(_sizes), as_lists),
            *SHARED,
        ),
        folders=lambda layer: {
            "query": "query_dense",
            "key": "key_dense",
            "gate": "_gate_dense",
            "value": "value_dense",
            "attention_output": "output_dense",
        },
        # Input shapes, which Keras 2 writes, and the choice of an implementation.
        ignored=("query_shape", "key_shape", "value_shape", "flash_attention"),
        call=CALL,
        call_options=CALL_OPTIONS,
        # Keras replaces this argument with the mask of the query.
        ignored_arguments=("query_mask",),
        mask="propagate",
        # The call removes the mask of the query, so the usual residual sum of output and query has no mask.
        removes_masks=True,
    ),
    Kind(
        GroupedQueryAttention,
        (
            Key("head_dim", integer),
            Key("num_query_heads", integer),
            Key("num_key_value_heads", integer),
            *SHARED,
        ),
        folders=lambda layer: {
            "query": "_query_dense",
            "key": "_key_dense",
            "gate": "_gate_dense",
            "value": "_value_dense",
            "attention_output": "_output_dense",
        },
        name="GroupQueryAttention",
        source_name="GroupedQueryAttention",
        ignored=("flash_attention",),
        call=CALL,
        call_options=CALL_OPTIONS,
        mask="propagate",
    ),
)
