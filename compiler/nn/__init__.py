"""Torch modules of the recurrent cells that torch lacks, and of attention."""

from .activation import Activation
from .attention import Attention
from .conv_lstm import ConvLSTM
from .gru import LiGRU, ResetBeforeGRU
from .layer_norm_lstm import LayerNormLSTM
from .lstm import CoupledLSTM, PeepholeLSTM
from .sru import SRU

__all__ = [
    "SRU",
    "Activation",
    "Attention",
    "ConvLSTM",
    "CoupledLSTM",
    "LayerNormLSTM",
    "LiGRU",
    "PeepholeLSTM",
    "ResetBeforeGRU",
]
