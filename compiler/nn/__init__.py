"""Torch modules of the recurrent cells that torch lacks."""

from .gru import LiGRU, ResetBeforeGRU
from .lstm import CoupledLSTM, PeepholeLSTM
from .sru import SRU

__all__ = ["SRU", "CoupledLSTM", "LiGRU", "PeepholeLSTM", "ResetBeforeGRU"]
