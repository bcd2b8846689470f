"""Torch modules of the recurrent cells that torch lacks."""

from .gru import LiGRU, ResetBeforeGRU
from .lstm import CoupledLSTM, PeepholeLSTM

__all__ = ["CoupledLSTM", "LiGRU", "PeepholeLSTM", "ResetBeforeGRU"]
