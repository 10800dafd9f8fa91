"""Keras's convolutional LSTM."""

from __future__ import annotations

from ...layers import ConvLSTM1D
from .config import integer, one_of, single
from .convolution import listed
from .kind import Key, Kind
from .recurrent import FIXED, FOLDERS, HARMLESS, RECURRENT_ACTIVATION, SHARED, UNIT_FORGET_BIAS, call_of, mask_of

KINDS = (
    Kind(
        "ConvLSTM1D",
        ConvLSTM1D,
        (
            Key("filters", "filters", integer),
            Key("kernel_size", "kernel_size", single, listed),
            Key("strides", "stride", single, listed),
            Key("padding", "padding", one_of("valid", "same")),
            Key("dilation_rate", "dilation", single, listed),
            Key("data_format", "data_format", one_of("channels_last", "channels_first")),
            RECURRENT_ACTIVATION,
            UNIT_FORGET_BIAS,
            *SHARED,
        ),
        folders=lambda layer: FOLDERS,
        mask=mask_of,
        takes_mask=True,
        call=call_of(*ConvLSTM1D.states),
        fixed=FIXED,
        harmless=HARMLESS,
    ),
)
