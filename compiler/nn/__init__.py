"""Torch modules of the recurrent cells that torch lacks."""

from .gru import LiGRU, ResetBeforeGRU
from .layer_norm_lstm import LayerNormLSTM
from .lstm import CoupledLSTM, PeepholeLSTM
from .sru import SRU

__all__ = ["SRU", "CoupledLSTM", "LayerNormLSTM", "LiGRU", "PeepholeLSTM", "ResetBeforeGRU"]
