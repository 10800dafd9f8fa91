"""Cases of recurrent layers: states, masks, and directions."""

import keras
from keras import layers as kl

from .case import Case


def is_positive(x):
    return keras.ops.greater(x, 0)


def masked(x, m):
    """The sequence, masked at the steps at which `m` is not positive."""
    return kl.Masking()(x * keras.ops.expand_dims(keras.ops.cast(is_positive(m), "float32"), -1))


SEQUENCES = {"return_sequences": True}
EVERYTHING = {"return_sequences": True, "return_state": True}


def plain(make):
    return {
        "default": lambda x: make(3)(x),
        "backwards": lambda x: make(3, go_backwards=True, **EVERYTHING)(x),
        "bare": lambda x: make(3, use_bias=False, activation="softmax", return_state=True)(x),
        "dropped": lambda x: make(2, dropout=1.0, recurrent_dropout=1.0)(x),
        "linear": lambda x: make(2, activation=None, unroll=True, dropout=0.3, recurrent_dropout=0.2)(x),
    }


def with_inputs(make, states):
    def given(x, m, *hc):
        return {"mask": is_positive(m), "initial_state": list(hc[:states])}

    return {
        "states": lambda x, m, *hc: make(3, **EVERYTHING)(x, initial_state=list(hc[:states])),
        "masked": lambda x, m, *hc: make(2)(make(3, **SEQUENCES)(masked(x, m))),
        "masked_state": lambda x, m, *hc: make(2)(make(3, **EVERYTHING)(masked(x, m))[0]),
        "backwards": lambda x, m, *hc: make(3, go_backwards=True, **EVERYTHING)(x, **given(x, m, *hc)),
        "zeros": lambda x, m, *hc: make(3, zero_output_for_mask=True, **EVERYTHING)(x, **given(x, m, *hc)),
        "last_zero": lambda x, m, *hc: make(3, zero_output_for_mask=True)(x, **given(x, m, *hc)),
        "unroll": lambda x, m, *hc: make(3, unroll=True, zero_output_for_mask=True, **EVERYTHING)(
            x, **given(x, m, *hc)
        ),
    }


HARD = {"recurrent_activation": "hard_sigmoid", "activation": "elu"}
INPUTS = ((4, 2), (4,), (3,), (3,))

CASES = {
    "SimpleRNN": Case((4, 2), plain(kl.SimpleRNN)),
    "LSTM": Case((4, 2), plain(kl.LSTM) | {"hard": lambda x: kl.LSTM(3, unit_forget_bias=False, **HARD)(x)}),
    "GRU": Case(
        (4, 2),
        plain(kl.GRU)
        | {
            "hard": lambda x: kl.GRU(3, **HARD)(x),
            "reset_before": lambda x: kl.GRU(3, reset_after=False, **SEQUENCES)(x),
            "reset_before_bare": lambda x: kl.GRU(3, reset_after=False, use_bias=False)(x),
        },
    ),
    "SimpleRNN with states and masks": Case(INPUTS[:3], with_inputs(kl.SimpleRNN, 1)),
    "LSTM with states and masks": Case(INPUTS, with_inputs(kl.LSTM, 2)),
    "GRU with states and masks": Case(INPUTS[:3], with_inputs(kl.GRU, 1)),
    "ConvLSTM1D": Case(
        (3, 6, 2),
        {
            "default": lambda x: kl.ConvLSTM1D(3, 3)(x),
            "stride": lambda x: kl.ConvLSTM1D(3, 2, strides=2, padding="same", **EVERYTHING)(x),
            "dilation": lambda x: kl.ConvLSTM1D(3, 2, dilation_rate=2, use_bias=False, go_backwards=True)(x),
            "first": lambda x: kl.ConvLSTM1D(3, 3, data_format="channels_first", **EVERYTHING)(
                kl.Permute((1, 3, 2))(x)
            ),
            "first_softmax": lambda x: kl.ConvLSTM1D(
                3, 2, data_format="channels_first", activation="softmax", recurrent_activation="sparsemax"
            )(kl.Permute((1, 3, 2))(x)),
            "hard": lambda x: kl.ConvLSTM1D(3, 3, unit_forget_bias=False, dropout=0.2, **HARD)(x),
        },
    ),
    "ConvLSTM1D with states and masks": Case(
        ((3, 6, 2), (3,), (5, 3), (5, 3)),
        {
            "states": lambda x, m, h, c: kl.ConvLSTM1D(3, 2, **EVERYTHING)(x, initial_state=[h, c]),
            "states_first": lambda x, m, h, c: kl.ConvLSTM1D(3, 2, data_format="channels_first", **SEQUENCES)(
                kl.Permute((1, 3, 2))(x), initial_state=[kl.Permute((2, 1))(h), kl.Permute((2, 1))(c)]
            ),
            # Without `unroll`, Keras fails with a mask on JAX.
            "mask": lambda x, m, h, c: kl.ConvLSTM1D(3, 2, unroll=True, **EVERYTHING)(x, mask=is_positive(m)),
            "mask_states": lambda x, m, h, c: kl.ConvLSTM1D(3, 2, unroll=True, go_backwards=True)(
                x, mask=is_positive(m), initial_state=[h, c]
            ),
        },
    ),
}
