"""Attention layers."""

from .attention import AdditiveAttention, Attention
from .multi_head_attention import GroupedQueryAttention, MultiHeadAttention

__all__ = [
    "AdditiveAttention",
    "Attention",
    "GroupedQueryAttention",
    "MultiHeadAttention",
]
