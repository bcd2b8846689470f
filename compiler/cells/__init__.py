"""The recurrent cells, one a file: equations and nothing else."""

from .gru import GRU
from .linear import Linear
from .lstm import LSTM
from .rnn import RNN, ReluRNN

__all__ = ["GRU", "LSTM", "RNN", "Linear", "ReluRNN"]
