"""Networks from papers, written in Keras, with fewer and narrower layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers as kl
from keras import ops


def two_layers() -> Any:
    """Two strided convolutions, (100, 1) to (9, 16) to (1, 16)."""
    conv = {"filters": 16, "kernel_size": 12, "strides": 12, "padding": "same"}
    return keras.Sequential([keras.Input((100, 1)), kl.Conv1D(**conv), kl.Conv1D(**conv)])


def mlp() -> Any:
    """Wang, Yan and Oates, Time series classification from scratch (IJCNN 2017): the multilayer perceptron."""
    model = keras.Sequential([keras.Input((24, 1)), kl.Flatten(), kl.Dropout(0.1)])
    for _ in range(3):
        model.add(kl.Dense(10, activation="relu"))
        model.add(kl.Dropout(0.2))
    model.add(kl.Dense(3, activation="softmax"))
    return model


def _normalized(x: Any, filters: int, size: int, activation: str | None = "relu") -> Any:
    x = kl.BatchNormalization()(kl.Conv1D(filters, size, padding="same")(x))
    return x if activation is None else kl.Activation(activation)(x)


def fcn() -> Any:
    """Wang et al. (2017): the fully convolutional network, of any length."""
    x = inputs = keras.Input((None, 1), name="series")
    for filters, size in ((8, 8), (12, 5), (8, 3)):
        x = _normalized(x, filters, size)
    x = kl.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, kl.Dense(3, activation="softmax", name="classes")(x))


def resnet() -> Any:
    """Wang et al. (2017): the residual network."""
    x = inputs = keras.Input((20, 2))
    for filters in (6, 8, 8):
        y = _normalized(x, filters, 8)
        y = _normalized(y, filters, 5)
        y = _normalized(y, filters, 3, None)
        same = x.shape[-1] == filters
        short = kl.BatchNormalization()(x if same else kl.Conv1D(filters, 1, padding="same")(x))
        x = kl.Activation("relu")(kl.add([short, y]))
    return keras.Model(inputs, kl.Dense(2, activation="softmax")(kl.GlobalAveragePooling1D()(x)))


def inception_time() -> Any:
    """Fawaz et al., InceptionTime (2020): bottlenecks, three kernel sizes and a pool in parallel, shortcuts."""
    x = short = inputs = keras.Input((32, 1))
    for depth in range(3):
        narrow = kl.Conv1D(4, 1, padding="same", use_bias=False)(x) if x.shape[-1] > 1 else x
        sides = [kl.Conv1D(4, size, padding="same", use_bias=False)(narrow) for size in (10, 5, 3)]
        pooled = kl.MaxPooling1D(3, strides=1, padding="same")(x)
        sides.append(kl.Conv1D(4, 1, padding="same", use_bias=False)(pooled))
        x = kl.Activation("relu")(kl.BatchNormalization()(kl.Concatenate(axis=2)(sides)))
        if depth == 2:
            short = kl.BatchNormalization()(kl.Conv1D(16, 1, padding="same", use_bias=False)(short))
            x = kl.Activation("relu")(kl.Add()([short, x]))
    return keras.Model(inputs, kl.Dense(2, activation="softmax")(kl.GlobalAveragePooling1D()(x)))


def encoder() -> Any:
    """Serra, Pascual and Karatzoglou, Towards a universal neural network encoder for time series (2018)."""
    x = inputs = keras.Input((32, 1))
    for filters, size in ((6, 5), (8, 11)):
        x = kl.Conv1D(filters, size, padding="same")(x)
        x = kl.GroupNormalization(groups=-1)(x)
        x = kl.Dropout(0.2)(kl.PReLU(shared_axes=[1])(x))
        x = kl.MaxPooling1D(2)(x)
    # One half of the channels has the attention scores for the other half.
    weighted = kl.Multiply()([kl.Softmax(axis=1)(x[:, :, :4]), x[:, :, 4:]])
    x = kl.Dense(6, activation="sigmoid")(weighted)
    x = kl.GroupNormalization(groups=-1)(x)
    return keras.Model(inputs, kl.Dense(2, activation="softmax")(kl.Flatten()(x)))


def tcn() -> Any:
    """Bai, Kolter and Koltun, An empirical evaluation of generic convolutional networks (2018), with summed skips."""
    x = inputs = keras.Input((None, 2))
    skips = []
    for dilation in (1, 2, 4):
        y = x
        for _ in range(2):
            y = kl.Conv1D(6, 3, padding="causal", dilation_rate=dilation, activation="relu")(y)
            y = kl.SpatialDropout1D(0.1)(y)
        short = x if x.shape[-1] == 6 else kl.Conv1D(6, 1)(x)
        skips.append(y)
        x = kl.ReLU()(short + y)
    return keras.Model(inputs, kl.Dense(1)(kl.add(skips)[:, -1, :]))


def wavenet() -> Any:
    """van den Oord et al., WaveNet (2016): gates, residuals and skips, a class for every sample."""
    x = inputs = keras.Input((None, 1))
    x = kl.Conv1D(6, 2, padding="causal", name="causal")(x)
    skips = []
    for dilation in (1, 2, 4, 8):
        gate = [
            kl.Conv1D(6, 2, padding="causal", dilation_rate=dilation, activation=activation)(x)
            for activation in ("tanh", "sigmoid")
        ]
        z = kl.multiply(gate)
        skips.append(kl.Conv1D(8, 1)(z))
        x = kl.Conv1D(6, 1)(z) + x
    y = kl.Activation("relu")(kl.add(skips))
    y = kl.Conv1D(8, 1, activation="relu")(y)
    return keras.Model(inputs, kl.Conv1D(16, 1, activation="softmax")(y))


def u_net() -> Any:
    """Ronneberger, Fischer and Brox, U-Net (2015), over one dimension: denoising with skips."""
    x = inputs = keras.Input((32, 1))
    across = []
    for filters in (4, 8):
        x = kl.Conv1D(filters, 3, padding="same", activation="relu")(x)
        across.append(x)
        x = kl.MaxPooling1D(2)(x)
    x = kl.Conv1D(8, 3, padding="same", activation="relu")(x)
    for skip in reversed(across):
        x = kl.UpSampling1D(2)(x)
        x = kl.Conv1D(skip.shape[-1], 2, padding="same", activation="relu")(x)
        x = kl.concatenate([skip, x])
    return keras.Model(inputs, kl.Conv1D(1, 1)(x))


def autoencoder() -> Any:
    """A denoising autoencoder of strided and transposed convolutions."""
    return keras.Sequential(
        [
            keras.Input((30, 2)),
            kl.Conv1D(6, 7, strides=2, padding="same", activation="relu"),
            kl.Dropout(0.2),
            kl.Conv1D(4, 7, strides=2, padding="same", activation="relu"),
            kl.Conv1DTranspose(4, 7, strides=2, padding="same", activation="relu"),
            kl.Dropout(0.2),
            kl.Conv1DTranspose(6, 7, strides=2, padding="same", activation="relu"),
            kl.Conv1DTranspose(2, 7, padding="same"),
            kl.Cropping1D((1, 1)),
        ]
    )


def cnn_lstm() -> Any:
    """A small convolutional network over each of several windows, and an LSTM over the windows."""
    window = keras.Sequential(
        [
            keras.Input((8, 2)),
            kl.Conv1D(4, 3, activation="relu"),
            kl.BatchNormalization(),
            kl.MaxPooling1D(2),
            kl.Flatten(),
        ],
        name="window",
    )
    x = inputs = keras.Input((5, 8, 2))
    x = kl.TimeDistributed(window)(x)
    x = kl.LSTM(6, return_sequences=True, dropout=0.1)(x)
    x = kl.LSTM(4)(x)
    return keras.Model(inputs, kl.Dense(3, activation="softmax")(x))


def lstm_fcn() -> Any:
    """Karim et al., LSTM fully convolutional networks (2018): an LSTM and convolutions in parallel."""
    inputs = keras.Input((1, 20))
    x = kl.Dropout(0.8)(kl.LSTM(4)(inputs))
    y = kl.Permute((2, 1))(inputs)
    for filters, size in ((6, 8), (8, 5), (6, 3)):
        y = _normalized(y, filters, size)
    y = kl.GlobalAveragePooling1D()(y)
    return keras.Model(inputs, kl.Dense(2, activation="softmax")(kl.concatenate([x, y])))


def cnn_attention() -> Any:
    """Convolutions, then self-attention with a residual and layer normalization, as in a transformer's encoder."""
    x = inputs = keras.Input((16, 3))
    x = kl.Conv1D(8, 3, padding="same", activation="gelu")(x)
    positions = kl.Embedding(16, 8)(ops.arange(16))
    x = x + positions
    y = kl.MultiHeadAttention(num_heads=2, key_dim=4, dropout=0.1)(x, x)
    x = kl.LayerNormalization(epsilon=1e-6)(x + y)
    y = kl.Dense(8)(kl.Dense(12, activation="relu")(x))
    x = kl.LayerNormalization(epsilon=1e-6)(x + y)
    return keras.Model(inputs, kl.Dense(2)(kl.GlobalMaxPooling1D()(x)))


def ecg_resnet() -> Any:
    """Ribeiro et al., Automatic diagnosis of the 12-lead ECG (2020): wide kernels, pooled shortcuts."""
    x = inputs = keras.Input((64, 3), name="signal")
    x = _normalized(x, 6, 16)
    y = x
    for filters in (8, 10):
        short = kl.Conv1D(filters, 1, padding="same", use_bias=False)(kl.MaxPooling1D(4, padding="same")(y))
        z = _normalized(x, filters, 16)
        z = kl.Dropout(0.2)(z)
        z = kl.Conv1D(filters, 16, strides=4, padding="same", use_bias=False)(z)
        y = kl.Add()([z, short])
        x = kl.Dropout(0.2)(kl.Activation("relu")(kl.BatchNormalization()(y)))
    return keras.Model(inputs, kl.Dense(4, activation="sigmoid", name="diagnosis")(kl.Flatten()(x)))


def speaker() -> Any:
    """Snyder et al., X-vectors (2018): dilated convolutions over frames, then mean and deviation over time."""
    x = inputs = keras.Input((None, 5))
    for filters, size, dilation in ((8, 5, 1), (8, 3, 2), (8, 3, 3), (10, 1, 1)):
        x = kl.Conv1D(filters, size, dilation_rate=dilation, activation="relu")(x)
        x = kl.BatchNormalization()(x)
    x = ops.concatenate([ops.mean(x, axis=1), ops.sqrt(ops.var(x, axis=1) + 1e-5)], axis=-1)
    x = kl.Dense(6, name="embedding")(x)
    return keras.Model(inputs, [kl.UnitNormalization()(x), kl.Dense(3, activation="softmax")(x)])


def keyword_spotter() -> Any:
    """Zhang et al., Hello edge (2017): a depthwise separable network on frames."""
    x = inputs = keras.Input((24, 6))
    x = _normalized(x, 8, 10)
    for _ in range(2):
        x = kl.SeparableConv1D(8, 3, padding="same", use_bias=False)(x)
        x = kl.ReLU(max_value=6.0)(kl.BatchNormalization(scale=False)(x))
        x = kl.DepthwiseConv1D(3, padding="same", depth_multiplier=1)(x)
        x = kl.LeakyReLU()(x)
    x = kl.AveragePooling1D(4)(x)
    return keras.Model(inputs, kl.Dense(4, activation="softmax")(kl.Flatten()(x)))


def squeeze_and_excite() -> Any:
    """Hu, Shen and Sun, Squeeze-and-excitation networks (2018), over one dimension."""
    x = inputs = keras.Input((None, 3))
    for filters in (6, 8):
        x = _normalized(x, filters, 3)
        weights = kl.GlobalAveragePooling1D(keepdims=True)(x)
        weights = kl.Dense(filters // 2, activation="relu")(weights)
        x = kl.Multiply()([x, kl.Dense(filters, activation="sigmoid")(weights)])
        x = kl.MaxPooling1D(2)(x)
    return keras.Model(inputs, kl.Dense(2)(kl.GlobalMaxPooling1D()(x)))


def conv_next() -> Any:
    """Liu et al., A ConvNet for the 2020s (2022), over one dimension, with its patch embedding."""
    x = inputs = keras.Input((32, 2))
    x = kl.LayerNormalization(epsilon=1e-6)(kl.Conv1D(8, 4, strides=4)(x))
    for _ in range(2):
        y = kl.DepthwiseConv1D(7, padding="same")(x)
        y = kl.LayerNormalization(epsilon=1e-6)(y)
        y = kl.Dense(8)(kl.Activation("gelu")(kl.Dense(16)(y)))
        x = x + y
    return keras.Model(inputs, kl.Dense(3)(kl.LayerNormalization()(kl.GlobalAveragePooling1D()(x))))


def dense_net() -> Any:
    """Huang et al., Densely connected convolutional networks (2017), over one dimension."""
    x = inputs = keras.Input((24, 2))
    for block in range(2):
        for _ in range(3):
            y = kl.Activation("relu")(kl.BatchNormalization()(x))
            x = kl.concatenate([x, kl.Conv1D(3, 3, padding="same", use_bias=False)(y)])
        if block == 0:
            x = kl.AveragePooling1D(2)(kl.Conv1D(6, 1, use_bias=False)(x))
    return keras.Model(inputs, kl.Dense(2)(kl.GlobalAveragePooling1D()(x)))


def text_cnn() -> Any:
    """Kim, Convolutional neural networks for sentence classification (2014): kernels of three sizes."""
    words = keras.Input((12,), dtype="int32", name="words")
    x = kl.Embedding(20, 6)(words)
    sides = [kl.GlobalMaxPooling1D()(kl.Conv1D(4, size, activation="relu")(x)) for size in (3, 4, 5)]
    return keras.Model(words, kl.Dense(2, activation="softmax")(kl.Dropout(0.5)(kl.concatenate(sides))))


def masked_tagger() -> Any:
    """A tagger of padded sentences: masked embeddings and a bidirectional LSTM."""
    words = keras.Input((9,), dtype="int32")
    x = kl.Embedding(15, 5, mask_zero=True)(words)
    x = kl.Bidirectional(kl.LSTM(4, return_sequences=True))(x)
    x = kl.Bidirectional(kl.GRU(3, return_sequences=True), merge_mode="sum")(x)
    return keras.Model(words, kl.TimeDistributed(kl.Dense(4, activation="softmax"))(x))


def masked_sequential() -> Any:
    """A chain of layers with an implicit mask."""
    return keras.Sequential(
        [
            keras.Input((7, 3)),
            kl.Masking(0.0),
            kl.Dense(4),
            kl.GRU(5, return_sequences=True, reset_after=False),
            kl.SimpleRNN(3, return_sequences=True),
            kl.GlobalAveragePooling1D(),
            kl.Dense(2),
        ]
    )


def sequence_to_sequence() -> Any:
    """Sutskever, Vinyals and Le, Sequence to sequence learning (2014): the decoder begins with the encoder's state."""
    source, target = keras.Input((None, 3), name="source"), keras.Input((6, 2), name="target")
    _, h, c = kl.LSTM(4, return_state=True, name="reader")(source)
    y = kl.LSTM(4, return_sequences=True, name="writer")(target, initial_state=[h, c])
    scores = kl.Attention()([y, kl.LSTM(4, return_sequences=True)(source)])
    return keras.Model([source, target], kl.Dense(2)(kl.concatenate([y, scores])))


def siamese() -> Any:
    """Koch, Zemel and Salakhutdinov, Siamese networks (2015): one encoder for both inputs, and their distance."""
    series = keras.Input((20, 2))
    x = kl.Conv1D(5, 5, activation="relu")(series)
    x = kl.MaxPooling1D(2)(x)
    encoder = keras.Model(series, kl.Dense(4, activation="sigmoid")(kl.Flatten()(x)), name="encoder")
    left, right = keras.Input((20, 2), name="left"), keras.Input((20, 2), name="right")
    distance = ops.absolute(encoder(left) - encoder(right))
    return keras.Model({"left": left, "right": right}, {"same": kl.Dense(1, activation="sigmoid")(distance)})


def conv_lstm() -> Any:
    """Shi et al., Convolutional LSTM network (2015), over rows of one dimension."""
    x = inputs = keras.Input((4, 8, 2))
    x = kl.ConvLSTM1D(3, 3, padding="same", return_sequences=True)(x)
    x = kl.BatchNormalization()(x)
    x = kl.ConvLSTM1D(2, 3, padding="same")(x)
    return keras.Model(inputs, kl.Conv1D(1, 3, padding="same", activation="sigmoid")(x))


def prepared() -> Any:
    """Preprocessing: normalization by statistics of the data, noise in training, and a frozen base."""
    base = keras.Sequential([keras.Input((16, 2)), kl.Conv1D(4, 3), kl.BatchNormalization()], name="base")
    base.trainable = False
    x = inputs = keras.Input((16, 2))
    x = kl.Normalization(mean=[0.5, -1.0], variance=[2.0, 0.5])(x)
    x = kl.GaussianNoise(0.1)(kl.Rescaling(2.0, offset=-0.5)(x))
    x = base(x, training=False)
    return keras.Model(inputs, kl.Dense(2)(kl.GlobalAveragePooling1D()(x)))


def multi_task() -> Any:
    """Two kinds of inputs, two kinds of outputs, and custom names."""
    series = keras.Input((16, 2), name="the series")
    facts = keras.Input((3,), name="facts.of.it")
    x = kl.Conv1D(4, 3, padding="same", activation="swish", name="first conv")(series)
    x = kl.LayerNormalization(name="norm (layer)")(x)
    y = kl.RepeatVector(16, name="again & again")(kl.Dense(4, name="d-1")(facts))
    x = kl.Average(name="mean_of_both")([x, y])
    every = kl.Dense(1, name="each step")(x)
    whole = kl.Dense(2, activation="softmax", name="whole")(kl.Flatten()(x))
    return keras.Model([series, facts], [every, whole])


def channels_first() -> Any:
    """A channels-first network."""
    first = {"data_format": "channels_first"}
    return keras.Sequential(
        [
            keras.Input((2, 24)),
            kl.Conv1D(4, 3, padding="same", **first),
            kl.BatchNormalization(axis=1),
            kl.MaxPooling1D(2, **first),
            kl.Conv1D(5, 3, strides=2, activation="relu", **first),
            kl.AveragePooling1D(2, **first),
            kl.Flatten(**first),
            kl.Dense(2),
        ]
    )


NETWORKS: dict[str, Callable[[], Any]] = {
    function.__name__: function
    for function in (
        two_layers,
        mlp,
        fcn,
        resnet,
        inception_time,
        encoder,
        tcn,
        wavenet,
        u_net,
        autoencoder,
        cnn_lstm,
        lstm_fcn,
        cnn_attention,
        ecg_resnet,
        speaker,
        keyword_spotter,
        squeeze_and_excite,
        conv_next,
        dense_net,
        text_cnn,
        masked_tagger,
        masked_sequential,
        sequence_to_sequence,
        siamese,
        conv_lstm,
        prepared,
        multi_task,
        channels_first,
    )
}
