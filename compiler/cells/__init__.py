"""The recurrent cells, one a file: equations and nothing else."""

from .gru import GRU
from .ligru import LiGRU
from .linear import Linear
from .lstm import LSTM, CoupledLSTM, PeepholeLSTM
from .rnn import RNN, ReluRNN

__all__ = ["GRU", "LSTM", "RNN", "CoupledLSTM", "LiGRU", "Linear", "PeepholeLSTM", "ReluRNN"]
