"""Narrowing of wide fixed-point values, bit for bit :func:`compiler.fixed.requantize`."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.fixed import Format

__all__ = ["Rescale", "shape_of"]


def shape_of(format):
    """Amaranth shape of a format's integers."""
    return signed(format.width) if format.signed else format.width


class Rescale(wiring.Component):
    """Rounds half up to another format and saturates; a value a cycle, one register.

    Parameters
    ----------
    source, target : Format
        Formats of input and output.
    rounded : bool
        Whether the half that rounding adds is already part of the input.
    counts : bool
        Whether somebody counts the values that are cut off.

    Members
    -------
    i : In(source)
        Value to narrow.
    o : Out(target)
        Narrowed value, :attr:`latency` cycles later.
    cut : Out(1)
        With ``counts``: the target cut it off.
    """

    latency = 1

    def __init__(self, source, target, *, rounded=False, counts=False):
        if not isinstance(source, Format):
            raise TypeError(f"Source must be a Format, not {source!r}")
        if not isinstance(target, Format):
            raise TypeError(f"Target must be a Format, not {target!r}")
        self._shift = source.frac - target.frac
        self._half = 0 if rounded or self._shift < 1 else 1 << (self._shift - 1)
        self._target = target
        self._counts = counts
        cut = {"cut": Out(1)} if counts else {}
        super().__init__({"i": In(shape_of(source)), "o": Out(shape_of(target)), **cut})

    def elaborate(self, platform):
        m = Module()
        target = self._target
        value = self.i + self._half if self._half else self.i
        value = value >> self._shift if self._shift > 0 else value << -self._shift
        wide = Signal(signed(max(len(value) + 1, target.width + 1)))
        m.d.comb += wide.eq(value)
        # What lies above the target's bits must all be copies of the sign.
        upper = wide[target.width - int(target.signed) :]
        below, above = wide[-1], upper.any() & ~wide[-1]
        if target.signed:
            below = wide[-1] & ~upper.all()
        m.d.sync += self.o.eq(Mux(below, target.min, Mux(above, target.max, wide)))
        if self._counts:
            m.d.sync += self.cut.eq(below | above)
        return m
