"""Cases of multi-head and grouped-query attention."""

from keras import layers as kl

from .attention import embedded
from .case import Case

CASES = {
    "MultiHeadAttention": Case(
        ((6, 4), (5, 3), (5, 2)),
        {
            "default": lambda q, v, k: kl.MultiHeadAttention(2, 3)(q, v),
            "self": lambda q, v, k: kl.MultiHeadAttention(1, 3)(q, q, use_causal_mask=True),
            "key": lambda q, v, k: kl.MultiHeadAttention(2, 3, use_bias=False, output_shape=5)(q, v, k),
            "value_dim": lambda q, v, k: kl.MultiHeadAttention(2, 3, value_dim=5)(q, v, return_attention_scores=True),
            "dropout": lambda q, v, k: kl.MultiHeadAttention(2, 3, value_dim=2, dropout=0.2, output_shape=(2, 3))(q, v),
            "gate": lambda q, v, k: kl.MultiHeadAttention(2, 3, use_gate=True)(q, v),
            "band": lambda q, v, k: kl.MultiHeadAttention(2, 3, sliding_window=2)(q, v, use_causal_mask=True),
            "band_scores": lambda q, v, k: kl.MultiHeadAttention(2, 3, sliding_window=1)(
                q, v, return_attention_scores=True
            ),
            "axes": lambda q, v, k: kl.MultiHeadAttention(2, 3, attention_axes=1)(q, v),
        },
    ),
    "axes": Case(
        ((3, 4, 2), (3, 4, 5)),
        {
            "default": lambda q, v: kl.MultiHeadAttention(2, 3)(q, v),
            "first": lambda q, v: kl.MultiHeadAttention(2, 3, attention_axes=1)(q, v, use_causal_mask=True),
            "second": lambda q, v: kl.MultiHeadAttention(2, 3, value_dim=2, attention_axes=(2,))(q, v),
            "negative": lambda q, v: kl.MultiHeadAttention(2, 3, attention_axes=-2)(q, v),
            "order": lambda q, v: kl.MultiHeadAttention(2, 3, attention_axes=(2, 1))(
                q, v, return_attention_scores=True
            ),
        },
    ),
    "GroupQueryAttention": Case(
        ((6, 4), (5, 4), (5, 2)),
        {
            "default": lambda q, v, k: kl.GroupQueryAttention(3, 4, 2)(q, v),
            "key": lambda q, v, k: kl.GroupQueryAttention(3, 3, 1, use_bias=False)(q, v, k),
            "gate": lambda q, v, k: kl.GroupQueryAttention(3, 2, 2, use_gate=True, dropout=0.2)(q, v),
            "causal": lambda q, v, k: kl.GroupQueryAttention(3, 4, 2)(q, v, use_causal_mask=True),
            "band": lambda q, v, k: kl.GroupQueryAttention(3, 4, 2, sliding_window=2)(
                q, v, return_attention_scores=True
            ),
        },
    ),
    "masks": Case(
        ((4,), (3,), (4, 3), (2, 4, 3)),
        {
            "both": lambda q, v, m, n: kl.MultiHeadAttention(2, 3)(embedded(q), embedded(v)),
            "query": lambda q, v, m, n: kl.MultiHeadAttention(2, 3)(embedded(q), embedded(v, False)),
            "scores": lambda q, v, m, n: kl.MultiHeadAttention(2, 3)(
                embedded(q), embedded(v), return_attention_scores=True
            ),
            "key": lambda q, v, m, n: kl.MultiHeadAttention(2, 3)(
                embedded(q, False), embedded(v, False), embedded(v), use_causal_mask=True
            ),
            "attention_mask": lambda q, v, m, n: kl.MultiHeadAttention(2, 3, dropout=0.1)(
                embedded(q, False), embedded(v), attention_mask=m
            ),
            "mask_of_heads": lambda q, v, m, n: kl.MultiHeadAttention(2, 3)(
                embedded(q, False), embedded(v, False), attention_mask=n, use_causal_mask=True
            ),
            "twice": lambda q, v, m, n: twice(embedded(q)),
            "propagated": lambda q, v, m, n: kl.GlobalAveragePooling1D()(
                kl.MultiHeadAttention(2, 3)(embedded(q), embedded(v))
            ),
        },
        dtype="int32",
    ),
    "grouped_masks": Case(
        ((4,), (3,), (4, 3)),
        {
            "both": lambda q, v, m: kl.GroupQueryAttention(3, 4, 2)(embedded(q), embedded(v)),
            "attention_mask": lambda q, v, m: kl.GroupQueryAttention(3, 4, 2, dropout=0.1)(
                embedded(q), embedded(v), attention_mask=m
            ),
            "propagated": lambda q, v, m: kl.GlobalAveragePooling1D()(
                kl.GroupQueryAttention(3, 4, 2)(embedded(q), embedded(v))
            ),
        },
        dtype="int32",
    ),
}


def twice(x):
    """Two blocks: the first attention removes the mask of its input, so that the second has none."""
    for _ in range(2):
        x = kl.Add()([x, kl.MultiHeadAttention(1, 3)(x, x)])
    return x
