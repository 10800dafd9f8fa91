"""Recurrent layers and their wrappers."""

from .bidirectional import Bidirectional
from .conv_lstm import ConvLSTM1D
from .recurrent import GRU, LSTM, SimpleRNN
from .time_distributed import TimeDistributed

__all__ = [
    "GRU",
    "LSTM",
    "Bidirectional",
    "ConvLSTM1D",
    "SimpleRNN",
    "TimeDistributed",
]
