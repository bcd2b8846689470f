"""How far the lists of the two timesteps in flight are filled."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ListStatus"]


class ListStatus(wiring.Component):
    """Counts entries by buffer, and tells of the buffer that is being walked and of the other.

    Parameters
    ----------
    schedule : LayerSchedule
        Columns, and whether there is a state's list at all.

    Members
    -------
    x_wrote, x_closed, x_buffer, h_wrote, h_closed, h_buffer, x_first : In
        As in :class:`Sequencer`.
    buffer : In(1)
        The buffer that is being walked.
    released : In(1)
        It has been walked for the last time.
    x_count : Out
        Entries of the input's list.
    x_any, closed, ready : Out(1)
        The input's list has entries; the state's list is complete; the input's list is complete.
    grows : Out(1)
        The state's list is being written to.
    h_next, next : Out
        Entries of the state's list and of both together, those being written included.
    other_x_count, other_x_any, other_closed, other_ready, other_next : Out
        The same of the other buffer.
    """

    def __init__(self, schedule):
        self._recurrent = schedule.layer.recurrent
        count = range(schedule.columns + 2)
        super().__init__(
            {
                "x_wrote": In(1),
                "x_closed": In(1),
                "x_buffer": In(1),
                "x_first": In(2),
                "h_wrote": In(1),
                "h_closed": In(1),
                "h_buffer": In(1),
                "buffer": In(1),
                "released": In(1),
                "x_count": Out(count),
                "x_any": Out(1),
                "closed": Out(1),
                "ready": Out(1),
                "grows": Out(1),
                "h_next": Out(count),
                "next": Out(count),
                "other_x_count": Out(count),
                "other_x_any": Out(1),
                "other_closed": Out(1),
                "other_ready": Out(1),
                "other_next": Out(count),
            }
        )

    def elaborate(self, platform):
        m = Module()
        x_count = [Signal.like(self.x_count, name=f"x_count{b}") for b in (0, 1)]
        h_count = [Signal.like(self.x_count, name=f"h_count{b}") for b in (0, 1)]
        count = [Signal.like(self.x_count, name=f"count{b}") for b in (0, 1)]
        h_next = [Signal.like(self.x_count, name=f"h_next{b}") for b in (0, 1)]
        following = [Signal.like(self.x_count, name=f"next{b}") for b in (0, 1)]
        x_any, closed, ready, grows = Signal(2), Signal(2), Signal(2), Signal(2)
        for b in (0, 1):
            x_wrote = self.x_wrote & (self.x_buffer == b)
            x_closed = self.x_closed & (self.x_buffer == b)
            # A sequence's first timestep has a state of zeros: an empty list, complete at once.
            complete = x_closed & self.x_first[b] if self._recurrent else x_closed
            m.d.comb += [
                grows[b].eq(self.h_wrote & (self.h_buffer == b)),
                h_next[b].eq(h_count[b] + grows[b]),
                following[b].eq(count[b] + (x_wrote + grows[b])),
            ]
            m.d.sync += [
                x_count[b].eq(x_count[b] + x_wrote),
                h_count[b].eq(h_next[b]),
                count[b].eq(following[b]),
            ]
            with m.If(x_wrote):
                m.d.sync += x_any[b].eq(1)
            with m.If(x_closed):
                m.d.sync += ready[b].eq(1)
            with m.If(complete | (self.h_closed & (self.h_buffer == b))):
                m.d.sync += closed[b].eq(1)
            with m.If(self.released & (self.buffer == b)):
                m.d.sync += [
                    x_count[b].eq(0),
                    h_count[b].eq(0),
                    count[b].eq(0),
                    x_any[b].eq(0),
                    closed[b].eq(0),
                    ready[b].eq(0),
                ]
        here, other = self.buffer, ~self.buffer
        m.d.comb += [
            self.x_count.eq(Mux(here, x_count[1], x_count[0])),
            self.x_any.eq(x_any.bit_select(here, 1)),
            self.closed.eq(closed.bit_select(here, 1)),
            self.ready.eq(ready.bit_select(here, 1)),
            self.grows.eq(grows.bit_select(here, 1)),
            self.h_next.eq(Mux(here, h_next[1], h_next[0])),
            self.next.eq(Mux(here, following[1], following[0])),
            self.other_x_count.eq(Mux(here, x_count[0], x_count[1])),
            self.other_x_any.eq(x_any.bit_select(other, 1)),
            self.other_closed.eq(closed.bit_select(other, 1)),
            self.other_ready.eq(ready.bit_select(other, 1)),
            self.other_next.eq(Mux(here, following[0], following[1])),
        ]
        return m
