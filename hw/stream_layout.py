"""What travels between layers."""

from amaranth.lib import data, stream

from .rescale import shape_of

__all__ = ["link", "marked_layout", "stream_of"]


def marked_layout(format):
    """An element and its marks.

    ``end`` marks the last one of its vector, ``last`` those of a sequence's last timestep: the one
    that ``end`` marks, and where a cell or a reversal gives them, all.
    """
    return data.StructLayout({"value": shape_of(format), "last": 1, "end": 1})


def stream_of(format):
    """Signature of a stream of elements as :func:`marked_layout` has them."""
    return stream.Signature(marked_layout(format))


def link(m, source, sink):
    """Connect a stream to another, of which some marks may be left out."""
    m.d.comb += [sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
    for name in sink.payload.shape().members:
        m.d.comb += getattr(sink.payload, name).eq(getattr(source.payload, name))
