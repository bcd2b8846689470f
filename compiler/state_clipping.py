"""How far a state is kept where a few of its values go much further than the others."""

from collections.abc import Callable

from .clipping import MAX_FRAC
from .fixed import Format

__all__ = ["ENOUGH", "MOST_CUT", "least_error_format"]

MOST_CUT = 0.01
"""Share of a state's values on the calibration data that may saturate."""

ENOUGH = 60.0
"""Ratio in dB beyond which a state costs less than anything else that is rounded."""


def least_error_format(
    covering: Format, cut: Callable[[Format], float], ratio: Callable[[Format], float]
) -> Format:
    """The format with the least squared error of the network's outputs, of those worth a trial.

    How far a state's values may be cut is not to be seen from the values: an LSTM's cell state is
    read through a tanh, and its largest values matter little; those of a rectified state matter
    most. So the range is halved as long as that brings the outputs nearer to those in float. What
    is exact enough is not clipped.

    Parameters
    ----------
    covering : Format
        Covers all values.
    cut : callable
        Share of the values that saturate in a format.
    ratio : callable
        Signal-to-quantization-noise ratio of the outputs in dB, with the state alone rounded.
    """
    best, reached = covering, None
    while best.frac < MAX_FRAC:
        finer = Format(best.width, best.frac + 1)
        if cut(finer) > MOST_CUT:
            break
        reached = ratio(best) if reached is None else reached
        if reached >= ENOUGH:
            break
        found = ratio(finer)
        if found <= reached:
            break
        best, reached = finer, found
    return best
