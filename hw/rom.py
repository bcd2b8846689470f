"""Vectors that never change."""

from amaranth.hdl import Signal
from amaranth.lib import memory

from .ram_style import ram_attributes

__all__ = ["read_rom"]


def read_rom(m, name, shape, values, address, target):
    """The element of ``values`` at an address, two cycles later."""
    stored = memory.Memory(
        shape=shape,
        depth=max(2, len(values)),
        init=[int(value) for value in values],
        attrs=ram_attributes(len(values), target, rom=True),
    )
    m.submodules[name] = stored
    read = stored.read_port()
    word = Signal(read.data.shape(), name=f"{name}_word", reset_less=True)
    m.d.comb += read.addr.eq(address)
    m.d.sync += word.eq(read.data)
    return word
