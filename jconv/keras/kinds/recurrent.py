"""Recurrent layers, and the wrappers that apply a layer in both directions or at every step."""

from __future__ import annotations

from typing import Any

from ...layers import GRU, LSTM, Bidirectional, ConvLSTM1D, SimpleRNN, TimeDistributed
from .config import as_dict, flag, integer, number, one_of, optional
from .convolution import size_key
from .kind import ACTIVATION, LAYER, Arguments, Inside, Key, Kind, WriteLayer, activation

UNITS = Key("units", integer)
RECURRENT_ACTIVATION = Key("recurrent_activation", activation, allows_layer=True)
UNIT_FORGET_BIAS = Key("unit_forget_bias", flag)
FLAGS = ("use_bias", "return_sequences", "return_state", "go_backwards", "stateful", "unroll", "zero_output_for_mask")
SHARED = (
    ACTIVATION,
    *(Key(name, flag) for name in FLAGS),
    Key("dropout", number),
    Key("recurrent_dropout", number),
)


def _call(*states: str) -> Arguments:
    return {"sequences": ("sequence",), "initial_state": states, "mask": ("mask",)}


def _recurrent(layer: Any, *keys: Key, name: str = "") -> Kind:
    return Kind(
        layer,
        (*keys, *SHARED),
        name,
        # All arrays are in the cell's folder, except those of a layer as `activation`, which Keras finds first.
        folders=lambda layer: {"": "cell", "recurrent_activation": "cell/recurrent_activation"},
        # Options of Keras 2: which axis is the time, and how the layer is computed.
        fixed=(("time_major", False),),
        ignored=("implementation", "use_cudnn"),
        call=_call(*layer.states),
        takes_mask=True,
        mask=lambda layer: "propagate" if layer.return_sequences else "stop",
    )


def _write_bidirectional(layer: Bidirectional, write_layer: WriteLayer) -> dict[str, Any]:
    forward, backward = layer.forward_and_backward
    return {
        "merge_mode": layer.merge_mode,
        "layer": write_layer(forward, "forward_layer"),
        "backward_layer": write_layer(backward, "backward_layer"),
    }


def _directions(layer: Bidirectional) -> list[Inside]:
    forward, backward = layer.forward_and_backward
    return [(forward, "forward", "forward_layer"), (backward, "backward", "backward_layer")]


KINDS = (
    _recurrent(SimpleRNN, UNITS),
    _recurrent(LSTM, UNITS, RECURRENT_ACTIVATION, UNIT_FORGET_BIAS),
    # Keras before 2.1 has no `reset_after`; Keras 3 then takes its own default, and so does jconv.
    _recurrent(GRU, UNITS, RECURRENT_ACTIVATION, Key("reset_after", flag)),
    # Classes of Keras 2 with the default activations, for GPUs; `read/weights.py` reads their arrays.
    _recurrent(LSTM, UNITS, UNIT_FORGET_BIAS, name="CuDNNLSTM"),
    _recurrent(GRU, UNITS, name="CuDNNGRU"),
    _recurrent(
        ConvLSTM1D,
        Key("filters", integer),
        size_key("kernel_size"),
        size_key("strides", "stride"),
        Key("padding", one_of("valid", "same")),
        size_key("dilation_rate", "dilation"),
        Key("data_format", one_of("channels_last", "channels_first")),
        RECURRENT_ACTIVATION,
        UNIT_FORGET_BIAS,
    ),
    Kind(
        Bidirectional,
        (
            LAYER,
            Key("merge_mode", optional(one_of("concat", "sum", "ave", "mul"))),
            # Keras 2 writes no backward layer if it is made from the forward one.
            Key("backward_layer", optional(as_dict), is_layer=True),
        ),
        write=_write_bidirectional,
        inside=_directions,
        call=lambda layer: _call(*layer.states),
        takes_mask=True,
        mask=lambda layer: "propagate" if layer.returns_sequences else "stop",
        masked_outputs=lambda layer: 2 if layer.merge_mode is None else 1,
    ),
    Kind(
        TimeDistributed,
        (LAYER,),
        inside=lambda layer: [(layer.layer, "layer", "layer")],
        takes_mask=True,
        mask="propagate",
    ),
)
