"""Cases of the convolution layers."""

from keras import layers as kl

from .case import Case

CASES = {
    "Conv1D": Case(
        (11, 4),
        {
            "default": lambda x: kl.Conv1D(5, 3)(x),
            "stride_same": lambda x: kl.Conv1D(5, 4, strides=3, padding="same")(x),
            "causal": lambda x: kl.Conv1D(5, 3, padding="causal", dilation_rate=2, use_bias=False)(x),
            "groups": lambda x: kl.Conv1D(6, 3, groups=2, activation="relu")(x),
            "first": lambda x: kl.Conv1D(22, 3, data_format="channels_first", groups=11)(x),
            "first_stride_same": lambda x: kl.Conv1D(6, 3, padding="same", strides=2, data_format="channels_first")(x),
            # The softmax is along the last axis, here the length.
            "first_softmax": lambda x: kl.Conv1D(6, 2, activation="softmax", data_format="channels_first")(x),
            "first_glu": lambda x: kl.Conv1D(5, 3, activation="glu", data_format="channels_first")(x),
        },
    ),
    "DepthwiseConv1D": Case(
        (11, 4),
        {
            "default": lambda x: kl.DepthwiseConv1D(3)(x),
            "multiplier": lambda x: kl.DepthwiseConv1D(4, strides=2, padding="same", depth_multiplier=3)(x),
            "bare": lambda x: kl.DepthwiseConv1D(3, use_bias=False, activation="tanh")(x),
            "first": lambda x: kl.DepthwiseConv1D(3, data_format="channels_first", depth_multiplier=2)(x),
        },
    ),
    "SeparableConv1D": Case(
        (11, 4),
        {
            "default": lambda x: kl.SeparableConv1D(5, 3)(x),
            "multiplier": lambda x: kl.SeparableConv1D(5, 4, strides=2, padding="same", depth_multiplier=3)(x),
            "dilated": lambda x: kl.SeparableConv1D(5, 3, dilation_rate=2, use_bias=False, activation="elu")(x),
            "first": lambda x: kl.SeparableConv1D(5, 3, data_format="channels_first")(x),
            "first_softmax": lambda x: kl.SeparableConv1D(5, 3, data_format="channels_first", activation="log_softmax")(
                x
            ),
        },
    ),
    "Conv1DTranspose": Case(
        (7, 4),
        {
            "default": lambda x: kl.Conv1DTranspose(5, 3)(x),
            "stride": lambda x: kl.Conv1DTranspose(5, 4, strides=3, activation="relu")(x),
            "same": lambda x: kl.Conv1DTranspose(5, 3, strides=2, padding="same", use_bias=False)(x),
            "output_padding": lambda x: kl.Conv1DTranspose(5, 4, strides=3, padding="same", output_padding=2)(x),
            "dilated": lambda x: kl.Conv1DTranspose(5, 3, dilation_rate=2)(x),
            "first": lambda x: kl.Conv1DTranspose(
                5, 3, strides=2, activation="log_softmax", data_format="channels_first"
            )(x),
        },
    ),
}
