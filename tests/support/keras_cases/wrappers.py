"""Cases of the wrappers `Bidirectional` and `TimeDistributed`."""

import keras
from keras import layers as kl

from .case import Case
from .recurrent import EVERYTHING, SEQUENCES, is_positive, masked


def both(layer, **options):
    return kl.Bidirectional(layer, **options)


def at_times(*layers):
    """`TimeDistributed` around a Sequential model of these layers."""
    return kl.TimeDistributed(keras.Sequential(layers))


def functional():
    x = keras.Input((9, 2))
    y = kl.BatchNormalization()(kl.Conv1D(2, 3, padding="same")(x))
    return keras.Model(x, kl.Bidirectional(kl.LSTM(2))(kl.Add()([x, y])))


def deep():
    inner = keras.Sequential([kl.Conv1D(2, 2, activation="tanh"), kl.MaxPooling1D(2)])
    return keras.Sequential([inner, kl.LSTM(2, **SEQUENCES), kl.TimeDistributed(kl.Dense(2)), kl.Flatten()])


CASES = {
    "Bidirectional": Case(
        (4, 2),
        {
            "default": lambda x: both(kl.LSTM(3))(x),
            "sequences": lambda x: both(kl.GRU(3, **SEQUENCES), merge_mode="sum")(x),
            "ave": lambda x: both(kl.SimpleRNN(3, **EVERYTHING), merge_mode="ave")(x),
            "mul": lambda x: both(kl.LSTM(3, use_bias=False, **SEQUENCES), merge_mode="mul")(x),
            "both": lambda x: both(kl.GRU(3, **EVERYTHING), merge_mode=None)(x),
            "other": lambda x: both(
                kl.LSTM(3, go_backwards=True, **SEQUENCES), backward_layer=kl.GRU(2, activation="relu", **SEQUENCES)
            )(x),
            "frozen": lambda x: kl.Bidirectional(kl.LSTM(2), trainable=False)(x),
        },
    ),
    "Bidirectional with states and masks": Case(
        ((4, 2), (4,), (3,), (3,), (3,), (3,)),
        {
            "states": lambda x, m, *hc: both(kl.LSTM(3, **EVERYTHING))(x, initial_state=list(hc)),
            "states_gru": lambda x, m, *hc: both(kl.GRU(3, **EVERYTHING))(x, initial_state=list(hc[:2])),
            "mask": lambda x, m, *hc: both(kl.LSTM(3, **EVERYTHING))(x, mask=is_positive(m), initial_state=list(hc)),
            "mask_last": lambda x, m, *hc: both(kl.GRU(3), merge_mode="sum")(x, mask=is_positive(m)),
            "masked": lambda x, m, *hc: both(kl.LSTM(2))(both(kl.GRU(3, **SEQUENCES), merge_mode="mul")(masked(x, m))),
        },
    ),
    "TimeDistributed": Case(
        (2, 9, 2),
        {
            "dense": lambda x: kl.TimeDistributed(kl.Dense(3, activation="tanh"))(x),
            "conv": lambda x: kl.TimeDistributed(kl.Conv1D(3, 3, strides=2, padding="same"))(x),
            "conv_first": lambda x: kl.TimeDistributed(kl.Conv1D(3, 2, data_format="channels_first"))(x),
            "pool": lambda x: kl.TimeDistributed(kl.MaxPooling1D(2))(x),
            "global": lambda x: kl.TimeDistributed(kl.GlobalAveragePooling1D())(x),
            "flatten": lambda x: kl.LSTM(2)(kl.TimeDistributed(kl.Flatten())(x)),
            "norm": lambda x: kl.TimeDistributed(kl.BatchNormalization())(x),
            "lstm": lambda x: kl.TimeDistributed(kl.LSTM(2, **SEQUENCES))(x),
            "both": lambda x: kl.TimeDistributed(both(kl.GRU(2)))(x),
            "twice": lambda x: kl.TimeDistributed(kl.TimeDistributed(kl.Dense(3)))(x),
            "spectral": lambda x: kl.TimeDistributed(kl.SpectralNormalization(kl.Dense(3)))(x),
            "drop": lambda x: kl.TimeDistributed(kl.Dropout(0.5))(x),
        },
    ),
    "TimeDistributed around models": Case(
        (2, 9, 2),
        {
            "sequential": lambda x: kl.LSTM(3)(
                at_times(
                    kl.Conv1D(3, 3, activation="relu"),
                    kl.BatchNormalization(),
                    kl.Conv1D(2, 2),
                    kl.BatchNormalization(scale=False),
                    kl.Dropout(0.3),
                    kl.Flatten(),
                )(x)
            ),
            "functional": lambda x: kl.TimeDistributed(functional())(x),
            "deep": lambda x: kl.TimeDistributed(deep())(x),
        },
    ),
    "TimeDistributed with masks": Case(
        ((3, 4), (3,), (2, 4, 2), (2, 4)),
        {
            "propagated": lambda x, m, z, n: kl.LSTM(2)(kl.TimeDistributed(kl.Dense(3))(masked(x, m))),
            "not_used": lambda x, m, z, n: kl.GRU(2)(kl.TimeDistributed(kl.BatchNormalization())(masked(x, m))),
            "argument": lambda x, m, z, n: kl.TimeDistributed(kl.LSTM(2))(z, mask=is_positive(n)),
        },
    ),
}
