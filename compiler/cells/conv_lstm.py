"""Long short-term memory over frames."""

from ..conv_cell import ConvolutionalCell
from .lstm import LSTM, PeepholeLSTM

__all__ = ["ConvLSTM", "PeepholeConvLSTM"]


class ConvLSTM(ConvolutionalCell, LSTM):
    """The LSTM with both products convolutions (Shi et al. 2015, without peepholes)."""


class PeepholeConvLSTM(ConvolutionalCell, PeepholeLSTM):
    """ConvLSTM whose gates see the cell state, a weight a channel and pixel (Shi et al. 2015)."""
