"""Asks for the spans of every window, pass after pass, ahead of the lanes."""

import numpy as np
from amaranth.hdl import Array, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.conv_schedule import PASSES_AHEAD, SPAN_LATENCY, Spans
from ..compiler.fixed import width_for
from .conv_encoder import ends_width
from .counter import counter
from .delay import delayed
from .ram_style import ram_attributes

__all__ = ["SpanReader", "span_layout", "table_layouts"]


def span_layout(schedule):
    """A span of a list, as the lanes walk it."""
    operands = schedule.layer.operands
    width = max(ends_width(operand) for operand in operands)
    return data.StructLayout(
        {
            "start": width,
            "count": width,
            "offset": range(max(2, schedule.words)),  # modulo all addresses
            "state": 1,  # it is of the state's list
            "real": 1,  # it has entries; else it stands in for a window without any
            "first": 1,  # it begins a pass
            "final": 1,  # it ends one
        }
    )


def table_layouts(spans):
    """Words of the tables of rows and columns of an operand's spans."""

    def fields(table, names):
        return data.StructLayout(
            {
                name: signed(width_for(int(values.min()), int(values.max())))
                for name, values in zip(names, np.moveaxis(table, -1, 0), strict=True)
            }
        )

    return (
        fields(spans.rows, ("there", "first", "offset")),
        fields(spans.columns, ("there", "first", "last", "offset")),
    )


class SpanReader(wiring.Component):
    """Gives the spans of each pass that have entries, a cycle for each that it asks for.

    Waits for the input's frame, for the pixels of the state that a window needs, and while
    :data:`PASSES_AHEAD` passes are on their way. A pass whose windows are empty is one span that
    stands in for them.

    Parameters
    ----------
    schedule : LayerSchedule
        A convolutional layer.

    Members
    -------
    x_closed, x_closed_buffer : In(1)
        The input's list of that buffer is complete after this cycle.
    firsts : In(2)
        For each buffer, whether its vector is the first one of a sequence.
    h_pixel, h_closed_buffer : In(1)
        The state's list of that buffer has a pixel more after this cycle.
    ended : In(1)
        The lanes are done with a pass.
    buffer : Out(1)
        Lists whose ends are read.
    first, behind : Out
        Pixels of a span: see :class:`~deltaloom.hw.conv_encoder.FrameEncoder`.
    x_start, x_end, h_start, h_end : In
        A cycle later: the ends of the lists of both operands.
    valid : Out(1)
        There is a span.
    span : Out(span_layout)
        See there.
    """

    def __init__(self, schedule):
        self._schedule = schedule
        operands = schedule.layer.operands
        self._spans = [Spans.of(operand) for operand in operands]
        place = unsigned(max(operand.convolution.frame.bit_length() for operand in operands))
        x, h = (ends_width(operand) for operand in operands)
        super().__init__(
            {
                "x_closed": In(1),
                "x_closed_buffer": In(1),
                "firsts": In(2),
                "h_pixel": In(1),
                "h_closed_buffer": In(1),
                "ended": In(1),
                "buffer": Out(1),
                "first": Out(place),
                "behind": Out(place),
                "x_start": In(x),
                "x_end": In(x),
                "h_start": In(h),
                "h_end": In(h),
                "valid": Out(1),
                "span": Out(span_layout(schedule)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        asked = self._ask(m)
        known = self._look_up(m, *asked)
        self._join(m, *known)
        return m

    def _ask(self, m):
        """Which span is asked for in this cycle: window, place in it, and flags."""
        schedule, layer = self._schedule, self._schedule.layer
        height, width = layer.operands[0].convolution.outputs
        go, buffer = Signal(), Signal()
        state = Signal()
        across_ends, down_ends = [], []
        down, across = [], []
        for number, spans in enumerate(self._spans):
            mine = go & (state == number)
            at, end = counter(m, f"across{number}", spans.columns.shape[1], mine)
            across.append(at)
            across_ends.append(end)
            at, end = counter(m, f"down{number}", spans.rows.shape[1], mine & end)
            down.append(at)
            down_ends.append(end)
        over, final, first = Signal(), Signal(), Signal(init=1)
        m.d.comb += [
            over.eq(Mux(state, across_ends[1] & down_ends[1], across_ends[0] & down_ends[0])),
            final.eq(state & over),
        ]
        with m.If(go):
            m.d.sync += [state.eq(state ^ over), first.eq(final)]
        ended = go & final
        _, last_pass = counter(m, "number", schedule.passes, ended)
        x, last_column = counter(m, "column", width, ended & last_pass)
        y, last_row = counter(m, "row", height, ended & last_pass & last_column)
        done = Signal()
        m.d.comb += done.eq(ended & last_pass & last_column & last_row)

        # What has to be there.
        ready = Signal(2)
        frame = layer.operands[1].convolution.frame
        there = [Signal(range(frame + 1), name=f"there{b}") for b in (0, 1)]
        for b in (0, 1):
            with m.If(self.x_closed & (self.x_closed_buffer == b)):
                m.d.sync += ready[b].eq(1)
            with m.If(self.h_pixel & (self.h_closed_buffer == b)):
                m.d.sync += there[b].eq(there[b] + 1)
            with m.If(done & (buffer == b)):
                m.d.sync += [ready[b].eq(0), there[b].eq(0)]
        m.d.sync += buffer.eq(buffer ^ done)
        on_their_way = Signal(range(PASSES_AHEAD + 1))
        m.d.sync += on_their_way.eq(on_their_way + (go & first) - self.ended)
        rows, columns = self._spans[1].last
        needed = Signal(range(frame + 1))
        m.d.comb += needed.eq(Array(rows.tolist())[y] + Array((columns + 1).tolist())[x])
        fresh = self.firsts.bit_select(buffer, 1)
        enough = Array(there)[buffer] >= needed
        m.d.comb += go.eq(
            ready.bit_select(buffer, 1)
            & (~first | (on_their_way != PASSES_AHEAD))
            & (~state | fresh | enough)
        )
        flags = {
            "valid": go,
            "state": state,
            "first": first,
            "final": final,
            "buffer": buffer,
            "nothing": state & fresh,
        }
        return flags, (y, x), (down, across)

    def _look_up(self, m, flags, window, places):
        """A cycle for the tables, one for pixels and offset, one for the lists' ends, one for
        their registers, one for the length."""
        schedule, target = self._schedule, self._schedule.target
        rows, columns = [], []
        for number, spans in enumerate(self._spans):
            tables = zip(
                ("rows", "columns"),
                (spans.rows, spans.columns),
                table_layouts(spans),
                window,
                (places[0][number], places[1][number]),
                (rows, columns),
                strict=True,
            )
            for name, table, layout, at, place, found in tables:
                words = table.reshape(-1, table.shape[-1]).tolist()
                m.submodules[f"{name}{number}"] = stored = memory.Memory(
                    shape=layout,
                    depth=max(2, len(words)),
                    init=[dict(zip(layout.members, word, strict=True)) for word in words],
                    attrs=ram_attributes(len(words), target, rom=True),
                )
                read = stored.read_port()
                m.d.comb += read.addr.eq(at * table.shape[1] + place)
                found.append(read.data)

        def at(name, cycle):
            kept = name != "valid"
            return delayed(m, flags[name], cycle, f"{name}_at{cycle}", reset_less=kept)

        state = at("state", 1)
        there, offset = Signal(), Signal.like(self.span.offset, reset_less=True)
        first, behind = Signal.like(self.first), Signal.like(self.behind)
        options = []
        for row, column in zip(rows, columns, strict=True):
            options.append(
                (
                    row.there.any() & column.there.any(),
                    row.first + column.first,
                    row.first + column.last + 1,
                    row.offset + column.offset,
                )
            )
        shift = schedule.layer.operands[0].columns
        x, h = options
        m.d.comb += there.eq(Mux(state, h[0], x[0]) & ~at("nothing", 1))
        m.d.sync += [
            first.eq(Mux(there, Mux(state, h[1], x[1]), 0)),
            behind.eq(Mux(there, Mux(state, h[2], x[2]), 0)),
            offset.eq(Mux(state, h[3] + shift, x[3])),
        ]
        m.d.comb += [
            self.first.eq(first),
            self.behind.eq(behind),
            self.buffer.eq(at("buffer", 2)),
        ]
        start, end = (
            Signal.like(self.span.start, name=name, reset_less=True) for name in ("start", "end")
        )
        state = at("state", 3)
        m.d.sync += [
            start.eq(Mux(state, self.h_start, self.x_start)),
            end.eq(Mux(state, self.h_end, self.x_end)),
        ]
        span = Signal.like(self.span, name="known", reset_less=True)
        m.d.sync += [
            span.start.eq(start),
            span.count.eq(end - start),
            span.offset.eq(delayed(m, offset, 2, "offset_at")),
            span.state.eq(at("state", 4)),
            span.real.eq(end != start),
            span.first.eq(at("first", 4)),
            span.final.eq(at("final", 4)),
        ]
        return at("valid", SPAN_LATENCY), span

    def _join(self, m, valid, span):
        """Drops empty spans; the last of a pass waits until it is known as such."""
        held, waiting = Signal.like(self.span, name="held"), Signal()
        m.d.comb += self.span.eq(held)
        with m.If(waiting & held.final):
            m.d.comb += self.valid.eq(1)
            m.d.sync += waiting.eq(0)
        with m.If(valid):
            with m.If(span.first | ~held.real):
                # A window that is empty so far keeps its first span as a stand-in.
                m.d.sync += [held.eq(span), held.first.eq(1), waiting.eq(1)]
                with m.If(~span.real):
                    m.d.sync += held.count.eq(1)
            with m.Elif(span.real):
                m.d.comb += self.valid.eq(1)
                m.d.sync += held.eq(span)
            with m.Elif(span.final):
                m.d.sync += held.final.eq(1)
