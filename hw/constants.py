"""Constants that are chosen by a number."""

from amaranth.hdl import Const, unsigned

__all__ = ["constant_of"]


def constant_of(numbers, place):
    """The one of several non-negative constants that is at a place.

    A shift of one wide constant, which every Verilog simulator knows from time zero on: in a case
    statement it would wait for the place to change.
    """
    width = max(1, *(int(number).bit_length() for number in numbers))
    packed = sum(int(number) << width * at for at, number in enumerate(numbers))
    return Const(packed, unsigned(width * len(numbers))).word_select(place, width)
