"""Models with special connections: masks in calls, models called several times, unused outputs.

Each entry makes a small Keras model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers as kl

SEQUENCES = {"return_sequences": True}


def embedded(x: Any, mask_zero: bool = True) -> Any:
    """The embeddings of integers; with `mask_zero`, zeros are masked."""
    return kl.Embedding(4, 3, mask_zero=mask_zero)(x)


def mean(x: Any) -> Any:
    """The mean over the unmasked steps, with the implicit mask; without `mask=None` the file would contain the mask."""
    return kl.GlobalAveragePooling1D()(x, mask=None)


def integers() -> list[Any]:
    """Queries, values, and a mask for each; zeros are masked."""
    return [keras.Input((size,), dtype="int32", name=name) for name, size in zip("qvmn", (4, 3, 4, 3), strict=True)]


def inner(function: Callable[..., Any], *lengths: int) -> Any:
    """A model on sequences of these lengths; by default, on one sequence of length 4."""
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
        # Keras does not propagate a mask that is a positional argument.
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
        # With states as inputs, Keras does not pass the mask to the layer, but propagates it.
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
        mean(kl.SpectralNormalization(kl.Dense(2))(embedded(q))),
        mean(kl.SpectralNormalization(kl.Conv1D(2, 1))(embedded(q))),
    ]
    return keras.Model(inputs, outputs)


def removed_masks() -> Any:
    """An attention layer removes the masks of its inputs, also for other layers that Keras calls later."""
    q = keras.Input((4,), dtype="int32", name="q")
    two = inner(lambda x: [kl.MultiHeadAttention(1, 3)(x, x), kl.LSTM(2)(x)])
    other = inner(lambda x: [kl.LSTM(2)(x), kl.Dense(2)(kl.MultiHeadAttention(1, 3)(x, x))])
    x = embedded(q)
    return keras.Model(q, [*two(embedded(q)), *other(embedded(q)), kl.LSTM(2)(x, mask=None), mean(two(x)[0])])


def masks_of_unchanged_arrays() -> Any:
    """Outside training, Dropout returns its input array itself, so an attention layer on it removes both masks."""
    q = keras.Input((4,), dtype="int32", name="q")
    kinds = [
        kl.Dropout(0.5),
        kl.SpatialDropout1D(0.5),
        kl.GaussianDropout(0.5),
        kl.GaussianNoise(0.5),
        kl.AlphaDropout(0.5),
        kl.ActivityRegularization(l2=0.1),
        kl.Identity(),
        kl.Activation("linear"),
        kl.Activation("tanh"),
    ]
    outputs = []
    for kind in kinds:
        masked = embedded(q)
        same = kind(masked)
        outputs.append(kl.Dense(2)(kl.MultiHeadAttention(1, 3)(same, same)))
        outputs += [mean(masked), mean(same), kl.LSTM(2)(masked, mask=None)]
    # A layer of another dtype reads a copy.
    for kind in (kl.Identity(), kl.Dropout(0.5, dtype="bfloat16")):
        masked = embedded(q)
        attended = kl.MultiHeadAttention(1, 3, dtype="bfloat16")(kind(masked), kind(masked))
        outputs += [kl.Rescaling(0.0)(kl.Dense(2)(attended)), mean(masked)]
    return keras.Model(q, outputs)


def called_differently() -> Any:
    """Layers and models that are called several times: with and without masks, and with other arguments."""
    q = keras.Input((4,), dtype="int32", name="q")
    shared: list[Any] = [
        kl.BatchNormalization(),
        kl.LSTM(2),
        kl.GlobalAveragePooling1D(),
        inner(lambda x: kl.GRU(2)(kl.BatchNormalization()(x))),
    ]
    outputs = [layer(x) for layer in shared for x in (embedded(q), embedded(q, False))]
    heads, scored = kl.MultiHeadAttention(1, 2), kl.Attention()
    for x in (embedded(q), embedded(q, False)):
        outputs += [
            heads(x, x),
            heads(x, x, use_causal_mask=True),
            scored([x, x]),
            scored([x, x], use_causal_mask=True),
        ]
    return keras.Model(q, outputs)


def heads_without_masks() -> Any:
    """Queries that have no mask in the written file, because a product of masked values is written as operations."""
    q, v, m, _ = inputs = integers()

    def product() -> Any:
        return kl.Multiply()([embedded(q), embedded(q)])

    outputs = [
        kl.MultiHeadAttention(2, 3)(product(), embedded(v)),
        kl.MultiHeadAttention(2, 3, dropout=0.1)(product(), embedded(v, False)),
        kl.MultiHeadAttention(2, 3)(product(), embedded(q), attention_mask=kl.RepeatVector(4)(m)),
    ]
    return keras.Model(inputs, outputs)


def unread() -> Any:
    x, y, z = (keras.Input((4,), name=name) for name in "xyz")
    return keras.Model([x, y, z], kl.Dense(2)(y))


def unread_outputs() -> Any:
    """Layers whose outputs are not used; the file contains their arrays."""
    x = keras.Input((4, 3), name="x")
    two = inner(lambda x: [kl.Conv1D(2, 1)(x), kl.BatchNormalization()(kl.Conv1D(2, 2)(x))])
    return keras.Model(x, kl.Conv1D(2, 3)(two(x)[0]))


def dicts() -> Any:
    """Models called on dicts: by the names of inputs, also with unused keys, or by the keys of the model's own dict."""
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


def shared() -> Any:
    """A layer and a model that are in two models: Keras stores their arrays once, in the first model."""
    dense, conv = kl.Dense(3), inner(kl.Conv1D(3, 1))
    one = keras.Sequential([keras.Input((4, 3)), dense, kl.BatchNormalization()])
    other = inner(lambda x: kl.Dense(3)(conv(dense(x))))
    x = keras.Input((4, 3), name="x")
    return keras.Model(x, kl.Add()([one(x), other(conv(x)), other(x)]))


def output_dict() -> Any:
    """A dict of outputs whose keys differ from the names of the layers and are in another order."""
    x = keras.Input((4, 3), name="x")
    y = inner(lambda x: kl.BatchNormalization()(kl.Dense(3)(x)))(x)
    return keras.Model(x, {"z": kl.Dense(2)(y), "y": kl.Dense(2)(y), "w": y})


def frozen(layer: Any) -> Any:
    """Freeze a layer after it was made, which also freezes the layers inside it; returns the layer."""
    layer.trainable = False
    return layer


MADE_FROZEN: dict[str, Any] = {"trainable": False}


def frozen_wrappers() -> Any:
    """In `.h5`, frozen arrays are in another order."""
    x = keras.Input((4, 3), name="x")
    outputs = [
        kl.SpectralNormalization(kl.Dense(2), **MADE_FROZEN)(x),
        kl.SpectralNormalization(frozen(kl.Conv1D(2, 1)))(x),
        kl.TimeDistributed(kl.SpectralNormalization(kl.Dense(2), **MADE_FROZEN))(x),
        kl.TimeDistributed(frozen(kl.SpectralNormalization(kl.Dense(2))))(x),
        kl.TimeDistributed(kl.SpectralNormalization(kl.Dense(2)), **MADE_FROZEN)(x),
        kl.Bidirectional(frozen(kl.GRU(1, **SEQUENCES)), backward_layer=kl.GRU(1, go_backwards=True, **SEQUENCES))(x),
    ]
    return keras.Model(x, kl.Concatenate()(outputs))


def frozen_in_models() -> Any:
    x = keras.Input((4, 3), name="x")
    late = keras.Sequential([keras.Input((4, 3)), kl.Bidirectional(kl.GRU(1, **SEQUENCES)), kl.Dense(2)])
    frozen(late.layers[0])
    part = keras.Sequential([keras.Input((4, 3)), kl.BatchNormalization(), kl.Dense(2)])
    frozen(part).layers[0].trainable = True
    outputs = [
        late(x),
        part(x),
        keras.Sequential([kl.Bidirectional(kl.GRU(1, **SEQUENCES), **MADE_FROZEN), kl.Dense(2)])(x),
        keras.Sequential([kl.BatchNormalization(), kl.Dense(2)], **MADE_FROZEN)(x),
        keras.Sequential([kl.SpectralNormalization(kl.Dense(2), **MADE_FROZEN), kl.BatchNormalization()])(x),
        inner(lambda x: kl.MultiHeadAttention(1, 2, **MADE_FROZEN)(kl.Dense(3)(x), x))(x),
    ]
    return keras.Model(x, kl.Concatenate()(outputs))


WIRING = {
    function.__name__: function
    for function in (
        attention_masks,
        heads_masks,
        recurrent_masks,
        inner_masks,
        removed_masks,
        masks_of_unchanged_arrays,
        called_differently,
        heads_without_masks,
        unread,
        unread_outputs,
        dicts,
        shared,
        output_dict,
        frozen_wrappers,
        frozen_in_models,
    )
}
