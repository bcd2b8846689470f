"""Balancing registers."""

from amaranth.hdl import Signal, Value

__all__ = ["delayed"]


def delayed(m, value, cycles, name, *, reset_less=True):
    """``value`` as it was ``cycles`` cycles ago, through registers named after ``name``."""
    value = Value.cast(value)
    for cycle in range(1, cycles + 1):
        register = Signal(value.shape(), name=f"{name}_{cycle}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value
