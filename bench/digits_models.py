"""The float networks that rows on spoken digits start from: one a cell and seed, trained once."""

from dataclasses import replace

from deltaloom.examples import digits
from deltaloom.examples.digits import DigitClassifier, Training

from .data import SpokenDigits

__all__ = ["CELLS", "SEEDS", "float_model", "spread"]

SEEDS = range(5)
CELLS = {
    "GRU": Training(cell="gru"),
    "LSTM": Training(cell="lstm"),
    "LiGRU": Training(cell="ligru", epochs=50, noise=0.3),
    "SRU": Training(cell="sru", layers=2),
}
"""By the name that tables give: 64 units. A layer of SRU alone sees too little of the past."""


def float_model(cell: str, seed: int, data: SpokenDigits | None = None) -> DigitClassifier:
    """The trained network of a cell of :data:`CELLS`, in evaluation mode.

    The first call trains it, a minute or less; later ones, of any benchmark, find its weights in
    the cache of :mod:`~deltaloom.examples.digits`. Data and their split are the same for all.
    """
    return digits.train(data or digits.load(), replace(CELLS[cell], seed=seed))


def spread(percentages: list[float]) -> str:
    """The mean over seeds, and the least and the largest."""
    mean = round(sum(percentages) / len(percentages), 6) + 0.0  # never a zero with a minus
    return f"{mean:.2f} ({min(percentages):.2f} to {max(percentages):.2f})"
