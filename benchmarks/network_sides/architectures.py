"""Standard networks for time series, built in Keras.

Each builder takes the length of a sequence and the filters of its first layer. Dropout is left out, so that a training
step is the same on all sides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import layers as kl


class KerasNetwork(NamedTuple):
    """A network's name, its builder with the published sizes, and the batches that are measured."""

    name: str
    build: Callable[[int, int], Any]
    length: int
    filters: int
    batches: tuple[int, ...] = (1, 64)

    def model(self) -> Any:
        """The Keras model, with the same random weights in each run."""
        keras.utils.set_random_seed(0)
        return self.build(self.length, self.filters)


def fcn(length: int, filters: int) -> Any:
    """Wang et al., 2017: three convolutions, and the mean over time."""
    x = y = keras.Input((length, 1))
    for width, size in ((filters, 8), (2 * filters, 5), (filters, 3)):
        y = _normalized(kl.Conv1D(width, size, padding="same")(y))
    return keras.Model(x, _head(y))


def resnet(length: int, filters: int) -> Any:
    """Wang et al., 2017: three residual blocks of three convolutions."""
    x = y = keras.Input((length, 1))
    for width in (filters, 2 * filters, 2 * filters):
        begin = kl.BatchNormalization()(kl.Conv1D(width, 1, padding="same")(y))
        for size in (8, 5):
            y = _normalized(kl.Conv1D(width, size, padding="same")(y))
        y = kl.BatchNormalization()(kl.Conv1D(width, 3, padding="same")(y))
        y = kl.ReLU()(kl.Add()([begin, y]))
    return keras.Model(x, _head(y))


def inception_time(length: int, filters: int) -> Any:
    """Ismail Fawaz et al., 2020: six modules of three kernel sizes side by side, residual after every third."""
    x = y = begin = keras.Input((length, 1))
    for number in range(6):
        narrow = kl.Conv1D(filters, 1, padding="same", use_bias=False)(y) if number else y
        parts = [kl.Conv1D(filters, size, padding="same", use_bias=False)(narrow) for size in (40, 20, 10)]
        pooled = kl.MaxPooling1D(3, 1, padding="same")(y)
        parts.append(kl.Conv1D(filters, 1, padding="same", use_bias=False)(pooled))
        y = _normalized(kl.Concatenate()(parts))
        if number % 3 == 2:
            begin = kl.BatchNormalization()(kl.Conv1D(4 * filters, 1, padding="same", use_bias=False)(begin))
            y = begin = kl.ReLU()(kl.Add()([begin, y]))
    return keras.Model(x, _head(y))


def encoder(length: int, filters: int) -> Any:
    """Serrà et al., 2018: three convolutions, and attention over time by a softmax of half of the channels."""
    x = y = keras.Input((length, 1))
    for width, size in ((filters, 5), (2 * filters, 11), (4 * filters, 21)):
        y = kl.Conv1D(width, size, padding="same")(y)
        y = kl.PReLU(shared_axes=[1])(kl.GroupNormalization(groups=-1)(y))
        y = kl.MaxPooling1D(2)(y) if size < 21 else y
    values, scores = y[:, :, : 2 * filters], y[:, :, 2 * filters :]
    y = kl.Multiply()([kl.Softmax(axis=1)(scores), values])
    return keras.Model(x, kl.Dense(8, activation="softmax")(kl.Flatten()(kl.Dense(filters, activation="sigmoid")(y))))


def tcn(length: int, filters: int) -> Any:
    """Bai et al., 2018: residual blocks of two causal convolutions with doubling dilations; its last step is used."""
    x: Any = keras.Input((length, 1))
    y = x
    for level in range(8):
        begin = y if level else kl.Conv1D(filters, 1)(y)
        for _ in range(2):
            y = kl.Conv1D(filters, 3, padding="causal", dilation_rate=2**level, activation="relu")(y)
        y = kl.ReLU()(kl.Add()([begin, y]))
    return keras.Model(x, kl.Dense(8, activation="softmax")(y[:, -1]))


def wavenet(length: int, filters: int) -> Any:
    """van den Oord et al., 2016: gated causal convolutions with skip connections to the output of every sample."""
    x = keras.Input((length, 1))
    y, skips = kl.Conv1D(filters, 1)(x), []
    for level in range(10):
        options = {"padding": "causal", "dilation_rate": 2**level}
        wave = kl.Conv1D(filters, 2, activation="tanh", **options)(y)
        gate = kl.Conv1D(filters, 2, activation="sigmoid", **options)(y)
        gated = kl.Multiply()([wave, gate])
        skips.append(kl.Conv1D(filters, 1)(gated))
        y = kl.Add()([y, kl.Conv1D(filters, 1)(gated)]) if level < 9 else y
    y = kl.Conv1D(filters, 1, activation="relu")(kl.ReLU()(kl.Add()(skips)))
    return keras.Model(x, kl.Conv1D(8, 1, activation="softmax")(y))


def unet(length: int, filters: int) -> Any:
    """Ronneberger et al., 2015, along one axis: four poolings and four transposed convolutions, concatenated."""
    x = y = keras.Input((length, 1))
    downs = []
    for level in range(5):
        for _ in range(2):
            y = _normalized(kl.Conv1D(filters * 2**level, 3, padding="same")(y))
        downs.append(y)
        y = kl.MaxPooling1D(2)(y) if level < 4 else y
    for level in range(3, -1, -1):
        y = kl.Conv1DTranspose(filters * 2**level, 2, strides=2)(y)
        y = kl.Concatenate()([y, downs[level]])
        for _ in range(2):
            y = _normalized(kl.Conv1D(filters * 2**level, 3, padding="same")(y))
    return keras.Model(x, kl.Conv1D(4, 1, activation="softmax")(y))


def cnn_lstm(length: int, filters: int) -> Any:
    """Convolutions with pooling, and an LSTM over their output."""
    x = y = keras.Input((length, 1))
    for _ in range(2):
        y = kl.MaxPooling1D(2)(kl.Conv1D(filters, 5, padding="same", activation="relu")(y))
    return keras.Model(x, kl.Dense(8, activation="softmax")(kl.LSTM(filters)(y)))


def bidirectional_lstm(length: int, filters: int) -> Any:
    """Two bidirectional LSTMs, as in sequence taggers."""
    x = y = keras.Input((length, 8))
    for _ in range(2):
        y = kl.Bidirectional(kl.LSTM(filters, return_sequences=True))(y)
    return keras.Model(x, kl.Dense(8, activation="softmax")(y))


def separable(length: int, filters: int) -> Any:
    """Depthwise separable convolutions as in MobileNet and Xception."""
    x = keras.Input((length, 1))
    y = _normalized(kl.Conv1D(filters, 7, strides=2, padding="same")(x))
    for level in range(1, 4):
        for _ in range(2):
            y = _normalized(kl.SeparableConv1D(filters * 2**level, 9, padding="same", use_bias=False)(y))
        y = kl.MaxPooling1D(2)(y)
    return keras.Model(x, _head(y))


def attention(length: int, filters: int) -> Any:
    """Two blocks of a transformer's encoder after a strided convolution."""
    x = keras.Input((length, 1))
    y = kl.Conv1D(filters, 8, strides=4, padding="same")(x)
    for _ in range(2):
        z = kl.LayerNormalization()(y)
        y = kl.Add()([y, kl.MultiHeadAttention(4, filters // 4)(z, z)])
        z = kl.Dense(4 * filters, activation="gelu")(kl.LayerNormalization()(y))
        y = kl.Add()([y, kl.Dense(filters)(z)])
    return keras.Model(x, _head(y))


def spliceai(length: int, filters: int) -> Any:
    """Jaganathan et al., 2019: the model with 10,000 samples of context, which the output does not include."""
    x = keras.Input((length, 4))
    y = kl.Conv1D(filters, 1)(x)
    skip = kl.Conv1D(filters, 1)(y)
    for size, dilation in ((11, 1), (11, 4), (21, 10), (41, 25)):
        for _ in range(4):
            begin = y
            for _ in range(2):
                y = kl.Conv1D(filters, size, dilation_rate=dilation, padding="same")(_relu_of_norm(y))
            y = kl.Add()([begin, y])
        skip = kl.Add()([skip, kl.Conv1D(filters, 1)(y)])
    y = kl.Cropping1D(5000 if length > 10_000 else length // 3)(skip)
    return keras.Model(x, kl.Conv1D(3, 1, activation="softmax")(y))


def _relu_of_norm(y: Any) -> Any:
    return kl.Activation("relu")(kl.BatchNormalization()(y))


def _normalized(y: Any) -> Any:
    return kl.ReLU()(kl.BatchNormalization()(y))


def _head(y: Any) -> Any:
    return kl.Dense(8, activation="softmax")(kl.GlobalAveragePooling1D()(y))


NETWORKS = (
    KerasNetwork("FCN", fcn, 150, 128),
    KerasNetwork("ResNet", resnet, 150, 64),
    KerasNetwork("InceptionTime", inception_time, 150, 32),
    KerasNetwork("Encoder", encoder, 152, 128),
    KerasNetwork("TCN", tcn, 400, 64),
    KerasNetwork("WaveNet", wavenet, 1024, 32),
    KerasNetwork("U-Net", unet, 512, 16),
    KerasNetwork("CNN-LSTM", cnn_lstm, 256, 64),
    KerasNetwork("bidirectional LSTM", bidirectional_lstm, 100, 64),
    KerasNetwork("separable", separable, 512, 32),
    KerasNetwork("attention", attention, 512, 64),
    KerasNetwork("SpliceAI", spliceai, 10_101, 32, (1, 4)),
)
