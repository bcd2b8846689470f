"""The recurrent cells, one a file: equations and nothing else."""

from .conv_lstm import ConvLSTM, PeepholeConvLSTM
from .gru import GRU, ResetBeforeGRU
from .layer_norm_lstm import LayerNormLSTM
from .ligru import LiGRU
from .linear import Linear
from .lstm import LSTM, CoupledLSTM, PeepholeLSTM, ProjectedLSTM
from .rnn import RNN, ReluRNN
from .sru import SRU

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SRU",
    "ConvLSTM",
    "CoupledLSTM",
    "LayerNormLSTM",
    "LiGRU",
    "Linear",
    "PeepholeConvLSTM",
    "PeepholeLSTM",
    "ProjectedLSTM",
    "ReluRNN",
    "ResetBeforeGRU",
]
