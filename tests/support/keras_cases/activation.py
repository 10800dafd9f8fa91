"""Cases of layers as the activations of other layers."""

import keras
from keras import layers as kl

from .case import Case


def prelu(*shape, **options):
    """A built PReLU; otherwise Keras creates its array at the first call."""
    layer = kl.PReLU(**options)
    layer.build((None, *shape))
    return layer


CHANNELS_FIRST = {"data_format": "channels_first"}

CASES = {
    "layers as activations": Case(
        (6, 4),
        {
            "dense": lambda x: kl.Dense(3, activation=kl.LeakyReLU(0.3))(x),
            "dense_prelu": lambda x: kl.Dense(3, activation=prelu(6, 3))(x),
            "einsum": lambda x: kl.EinsumDense("abc,cd->abd", (None, 5), activation=prelu(6, 5, shared_axes=[1]))(x),
            "conv": lambda x: kl.Conv1D(3, 2, activation=prelu(5, 3, shared_axes=[1]))(x),
            "conv_over_time": lambda x: kl.Conv1D(3, 2, activation=kl.Softmax(axis=1))(x),
            "conv_first": lambda x: kl.Conv1D(3, 2, activation=kl.Softmax(axis=1), **CHANNELS_FIRST)(x),
            "depthwise": lambda x: kl.DepthwiseConv1D(2, activation=kl.ReLU(1.0, 0.1, 0.2))(x),
            "separable": lambda x: kl.SeparableConv1D(3, 2, activation=prelu(5, 3))(x),
            "transpose": lambda x: kl.Conv1DTranspose(3, 2, activation=kl.ELU(0.5))(x),
            "activation": lambda x: kl.Activation(kl.LeakyReLU(0.1))(x),
            "activation_prelu": lambda x: kl.Activation(prelu(6, 4))(x),
            "activation_activation": lambda x: kl.Dense(3, activation=kl.Activation("tanh"))(x),
            "time_distributed": lambda x: kl.TimeDistributed(kl.Dense(3, activation=prelu(3)))(x),
            "function": lambda x: kl.Dense(3, activation=keras.activations.gelu)(x),
        },
    ),
    "layers as activations of recurrent layers": Case(
        (4, 2),
        {
            "lstm": lambda x: kl.LSTM(3, activation=kl.LeakyReLU(0.3), recurrent_activation=prelu(3))(x),
            "lstm_prelu": lambda x: kl.LSTM(3, activation=prelu(3), recurrent_activation=kl.Softmax())(x),
            "gru": lambda x: kl.GRU(3, activation=prelu(3))(x),
            "simple": lambda x: kl.SimpleRNN(3, activation=prelu(3))(x),
            "bidirectional": lambda x: kl.Bidirectional(
                kl.LSTM(3, activation=prelu(3)), backward_layer=kl.LSTM(3, activation=prelu(3), go_backwards=True)
            )(x),
        },
    ),
}
