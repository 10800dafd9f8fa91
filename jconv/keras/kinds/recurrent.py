"""Keras's recurrent layers."""

from __future__ import annotations

from typing import Any

from ...layers import GRU, LSTM, SimpleRNN
from .config import flag, integer, number
from .kind import ACTIVATION, Key, Kind, activation

UNITS = Key("units", "units", integer)
RECURRENT_ACTIVATION = Key("recurrent_activation", "recurrent_activation", activation, layers=True)
UNIT_FORGET_BIAS = Key("unit_forget_bias", "unit_forget_bias", flag)
SHARED = (
    ACTIVATION,
    Key("use_bias", "use_bias", flag),
    Key("return_sequences", "return_sequences", flag),
    Key("return_state", "return_state", flag),
    Key("go_backwards", "go_backwards", flag),
    Key("stateful", "stateful", flag),
    Key("unroll", "unroll", flag),
    Key("zero_output_for_mask", "zero_output_for_mask", flag),
    Key("dropout", "dropout", number),
    Key("recurrent_dropout", "recurrent_dropout", number),
)
# All that Keras calls a cell lies in the folder of one; the activation is met before the cell.
FOLDERS = {"": "cell", "recurrent_activation": "cell/recurrent_activation"}
# Keras 2's: which axis is the time, and how it is computed.
FIXED = (("time_major", False),)
HARMLESS = ("implementation", "use_cudnn")


def call_of(*states: str) -> dict[str, tuple[str, ...]]:
    """The arguments of Keras's call of a layer with these initial states."""
    return {"sequences": ("sequence",), "initial_state": states, "mask": ("mask",)}


def mask_of(layer: Any) -> str:
    """A mask goes on where there is an output for every step."""
    return "on" if layer.return_sequences else "stop"


KINDS = tuple(
    Kind(
        layer.__name__,
        layer,
        keys,
        folders=lambda layer: FOLDERS,
        mask=mask_of,
        takes_mask=True,
        call=call_of(*layer.states),
        fixed=FIXED,
        harmless=HARMLESS,
    )
    for layer, keys in (
        (SimpleRNN, (UNITS, *SHARED)),
        (LSTM, (UNITS, RECURRENT_ACTIVATION, UNIT_FORGET_BIAS, *SHARED)),
        # Where it is missing, as in Keras before 2.1, real Keras 3 takes its own default, and so does this.
        (GRU, (UNITS, RECURRENT_ACTIVATION, Key("reset_after", "reset_after", flag), *SHARED)),
    )
)
