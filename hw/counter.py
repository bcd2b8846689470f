"""Counters that begin anew by themselves."""

from amaranth.hdl import Mux, Signal

__all__ = ["counter"]


def counter(m, name, limit, step):
    """A counter below ``limit`` that moves on with ``step``, and whether it is at its end."""
    at, end = Signal(range(limit), name=name), Signal(name=f"{name}_end")
    m.d.comb += end.eq(at == limit - 1)
    with m.If(step):
        m.d.sync += at.eq(Mux(end, 0, at + 1))
    return at, end
