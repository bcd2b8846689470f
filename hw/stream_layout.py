"""What travels between layers."""

from amaranth.lib import data, stream

from .rescale import shape_of

__all__ = ["link", "stream_of"]


def stream_of(format):
    """Signature of a stream of elements.

    ``end`` marks the last one of its vector, ``last`` those of a sequence's last timestep: the one
    that ``end`` marks, and where a cell or a reversal gives them, all.
    """
    return stream.Signature(data.StructLayout({"value": shape_of(format), "last": 1, "end": 1}))


def link(m, source, sink):
    """Connect a stream to another, of which some marks may be left out."""
    m.d.comb += [sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
    for name in sink.payload.shape().members:
        m.d.comb += getattr(sink.payload, name).eq(getattr(source.payload, name))
