"""How Keras wires layers: masks that calls give or do not, models called on several values, what nothing reads.

Each entry makes a small Keras model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers as kl

SEQUENCES = {"return_sequences": True}


def embedded(x: Any, mask_zero: bool = True) -> Any:
    """Integers as vectors, zeros masked."""
    return kl.Embedding(4, 3, mask_zero=mask_zero)(x)


def mean(x: Any) -> Any:
    """The mean over the time that Keras's mask leaves; without `mask=None` the file itself would say the mask."""
    return kl.GlobalAveragePooling1D()(x, mask=None)


def integers() -> list[Any]:
    """Queries, values, and a mask of each, where zero masks."""
    return [keras.Input((size,), dtype="int32", name=name) for name, size in zip("qvmn", (4, 3, 4, 3), strict=True)]


def inner(function: Callable[..., Any], *lengths: int) -> Any:
    """A model on sequences of these lengths, or of four steps."""
    inputs = [keras.Input((length, 3)) for length in lengths or (4,)]
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], function(*inputs))


def attention_masks() -> Any:
    q, v, m, n = inputs = integers()

    def attend(layer: Any, *mask: Any) -> Any:
        return mean(layer([embedded(q), embedded(v)], mask=list(mask)))

    outputs = [
        attend(kl.Attention(), m != 0, None),
        attend(kl.Attention(), None, n != 0),
        attend(kl.Attention(), None, None),
        attend(kl.AdditiveAttention(), m != 0, None),
        # One that stands among the positional arguments is not handed on.
        mean(kl.Attention()([embedded(q), embedded(v)], [m != 0, None])),
    ]
    return keras.Model(inputs, outputs)


def heads_masks() -> Any:
    q, v, m, n = inputs = integers()
    outputs = [
        mean(kl.MultiHeadAttention(2, 3)(embedded(q), embedded(v), query_mask=m)),
        mean(kl.MultiHeadAttention(2, 3)(embedded(q, False), embedded(v), query_mask=m)),
        mean(kl.MultiHeadAttention(2, 3)(embedded(q), embedded(v), embedded(v), value_mask=n)),
        mean(kl.GroupQueryAttention(3, 4, 2)(embedded(q), embedded(v), query_mask=m)),
        mean(kl.GroupQueryAttention(3, 4, 2)(embedded(q, False), embedded(v), query_mask=m)),
    ]
    return keras.Model(inputs, outputs)


def recurrent_masks() -> Any:
    q, v, m, _ = inputs = integers()
    _, h, c = kl.LSTM(2, return_state=True)(embedded(v))
    both = kl.Bidirectional(kl.GRU(2, **SEQUENCES), merge_mode=None)(embedded(q))
    outputs = [
        # Beside states Keras hands no mask to the layer, but hands it on.
        mean(kl.LSTM(2, **SEQUENCES)(embedded(q), initial_state=[h, c])),
        mean(kl.LSTM(2, **SEQUENCES)(embedded(q), initial_state=[h, c], mask=m != 0)),
        mean(kl.GRU(2, **SEQUENCES)(embedded(q), mask=m != 0)),
        mean(kl.Bidirectional(kl.GRU(2, **SEQUENCES))(embedded(q), initial_state=[h, c])),
        mean(kl.TimeDistributed(kl.Dense(2))(embedded(q), mask=m != 0)),
        mean(both[0]),
        mean(both[1]),
    ]
    return keras.Model(inputs, outputs)


def inner_masks() -> Any:
    q, v, m, n = inputs = integers()
    attend = inner(lambda x, y: kl.Attention()([x, y]), 4, 3)
    outputs = [
        mean(inner(kl.LSTM(2, **SEQUENCES))(embedded(q), mask=m != 0)),
        mean(inner(kl.Conv1D(2, 1))(embedded(q))),
        mean(attend([embedded(q), embedded(v)], mask=[m != 0, None])),
        mean(attend([embedded(q), embedded(v)], mask=[m != 0, n != 0])),
        mean(keras.Sequential([kl.Dense(2)])(embedded(q))),
    ]
    return keras.Model(inputs, outputs)


def unread() -> Any:
    x, y, z = (keras.Input((4,), name=name) for name in "xyz")
    return keras.Model([x, y, z], kl.Dense(2)(y))


def unread_outputs() -> Any:
    """Layers whose outputs nothing reads have arrays in the file all the same."""
    x = keras.Input((4, 3), name="x")
    two = inner(lambda x: [kl.Conv1D(2, 1)(x), kl.BatchNormalization()(kl.Conv1D(2, 2)(x))])
    return keras.Model(x, kl.Conv1D(2, 3)(two(x)[0]))


def dicts() -> Any:
    """Models called on dicts: by names, whatever else the dict has, or by the keys of a dict that is the model's."""
    x, y, z = (keras.Input((4, 3), name=name) for name in "xyz")
    listed = keras.Model([y, x], kl.Concatenate()([kl.Dense(2)(x), kl.Conv1D(2, 1)(y)]))
    keyed = keras.Model({"x": y, "a": x}, kl.Concatenate()([kl.Dense(2)(x), kl.Conv1D(2, 1)(y)]))
    alone = keras.Model(z, kl.Dense(2)(z))
    p, q = (keras.Input((4, 3), name=name) for name in "pq")
    outputs = [
        listed({"y": p, "x": q, "z": p}),
        listed({"x": p, "y": q}),
        keyed({"x": p, "a": q}),
        keyed({"a": p, "x": q}),
        alone({"z": p}),
    ]
    return keras.Model({"q": p, "p": q}, kl.Concatenate()(outputs))


WIRING = {
    function.__name__: function
    for function in (attention_masks, heads_masks, recurrent_masks, inner_masks, unread, unread_outputs, dicts)
}
