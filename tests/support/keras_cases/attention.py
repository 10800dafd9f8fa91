"""Cases of single-head attention layers."""

from keras import layers as kl

from .case import Case

CASES = {
    "Attention": Case(
        ((6, 4), (5, 4), (5, 3)),
        {
            "default": lambda q, v, w: kl.Attention()([q, v]),
            "key": lambda q, v, w: kl.Attention(use_scale=True)([q, w, v]),
            "causal": lambda q, v, w: kl.Attention(dropout=0.3)([q, v], use_causal_mask=True),
            "concat": lambda q, v, w: kl.Attention(score_mode="concat")([q, v]),
            "concat_scale": lambda q, v, w: kl.Attention(True, "concat")([q, w, v], return_attention_scores=True),
        },
    ),
    "AdditiveAttention": Case(
        ((6, 4), (5, 4), (5, 3)),
        {
            "default": lambda q, v, w: kl.AdditiveAttention()([q, v]),
            "bare": lambda q, v, w: kl.AdditiveAttention(use_scale=False, dropout=0.3)([q, w, v]),
            "causal": lambda q, v, w: kl.AdditiveAttention()([q, v], use_causal_mask=True),
            "scores": lambda q, v, w: kl.AdditiveAttention()([q, v], return_attention_scores=True),
        },
    ),
    # The inputs are random integers. Zeros are masked: most rows have some, and some rows have nothing else.
    "masks": Case(
        ((4,), (3,)),
        {
            "both": lambda q, v: kl.Attention()([embedded(q), embedded(v)]),
            "query": lambda q, v: kl.Attention(True)([embedded(q), embedded(v, False)]),
            "value": lambda q, v: kl.Attention()([embedded(q, False), embedded(v)], return_attention_scores=True),
            "key": lambda q, v: kl.Attention()([embedded(q), embedded(v), embedded(v)], use_causal_mask=True),
            "additive": lambda q, v: kl.AdditiveAttention()([embedded(q), embedded(v)]),
            "propagated": lambda q, v: kl.GlobalAveragePooling1D()(kl.Attention()([embedded(q), embedded(v)])),
            "explicit": lambda q, v: kl.Attention()([embedded(q, False), embedded(v, False)], mask=[None, v]),
        },
        dtype="int32",
    ),
}


def embedded(x, mask_zero=True):
    """The embeddings of integers; with `mask_zero`, zeros are masked."""
    return kl.Embedding(4, 3, mask_zero=mask_zero)(x)
