"""How far the lists of the two timesteps in flight are filled."""

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ListStatus", "amount_layout"]


def amount_layout(schedule):
    """A number of list entries; whether it is more than none and more than one is known early."""
    return data.StructLayout({"count": range(schedule.columns + 2), "some": 1, "many": 1})


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
    x : Out(amount_layout)
        Entries of the input's list; it is complete when it is asked for.
    h, both : Out(amount_layout)
        Entries of the state's list and of both together, one that is being written included.
    closed, ready : Out(1)
        The state's list is complete; the input's list is complete.
    grows : Out(1)
        The state's list is being written to.
    other_x, other_both, other_closed, other_ready : Out
        The same of the other buffer.
    """

    def __init__(self, schedule):
        self._recurrent = schedule.layer.recurrent
        self._amount = amount = amount_layout(schedule)
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
                "x": Out(amount),
                "h": Out(amount),
                "both": Out(amount),
                "closed": Out(1),
                "ready": Out(1),
                "grows": Out(1),
                "other_x": Out(amount),
                "other_both": Out(amount),
                "other_closed": Out(1),
                "other_ready": Out(1),
            }
        )

    def _count(self, m, name, one, two, released):
        """An amount that grows by one or by two: as it is, and with what is being written."""
        amount, following = (
            Signal(self._amount, name=name),
            Signal(self._amount, name=f"{name}_next"),
        )
        m.d.comb += [
            following.count.eq(amount.count + one + two),
            following.some.eq(amount.some | one | two),
            following.many.eq(amount.many | (amount.some & (one | two)) | (one & two)),
        ]
        m.d.sync += amount.eq(following)
        with m.If(released):
            m.d.sync += amount.eq(0)
        return amount, following

    def elaborate(self, platform):
        m = Module()
        x, h, both = [], [], []
        closed, ready, grows = Signal(2), Signal(2), Signal(2)
        for b in (0, 1):
            x_wrote = self.x_wrote & (self.x_buffer == b)
            x_closed = self.x_closed & (self.x_buffer == b)
            released = self.released & (self.buffer == b)
            # A sequence's first timestep has a state of zeros: an empty list, complete at once.
            complete = x_closed & self.x_first[b] if self._recurrent else x_closed
            m.d.comb += grows[b].eq(self.h_wrote & (self.h_buffer == b))
            x.append(self._count(m, f"x{b}", x_wrote, 0, released)[0])
            h.append(self._count(m, f"h{b}", grows[b], 0, released)[1])
            both.append(self._count(m, f"both{b}", x_wrote, grows[b], released)[1])
            with m.If(x_closed):
                m.d.sync += ready[b].eq(1)
            with m.If(complete | (self.h_closed & (self.h_buffer == b))):
                m.d.sync += closed[b].eq(1)
            with m.If(released):
                m.d.sync += [closed[b].eq(0), ready[b].eq(0)]
        here, other = self.buffer, ~self.buffer
        m.d.comb += [
            self.x.eq(Array(x)[here]),
            self.h.eq(Array(h)[here]),
            self.both.eq(Array(both)[here]),
            self.closed.eq(closed.bit_select(here, 1)),
            self.ready.eq(ready.bit_select(here, 1)),
            self.grows.eq(grows.bit_select(here, 1)),
            self.other_x.eq(Array(x)[other]),
            self.other_both.eq(Array(both)[other]),
            self.other_closed.eq(closed.bit_select(other, 1)),
            self.other_ready.eq(ready.bit_select(other, 1)),
        ]
        return m
