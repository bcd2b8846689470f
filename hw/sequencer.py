"""The sequencer: which list entry meets which block, and the one place that stalls."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.integer import Skip
from .list_status import ListStatus
from .reservation import Reservation

__all__ = ["Sequencer", "token_layout"]


def token_layout(schedule):
    """What accompanies an entry down the lanes."""
    return data.StructLayout(
        {
            "valid": 1,  # an entry is issued
            "real": 1,  # it is not the stand-in for an empty list
            "state": 1,  # it comes from the state's list
            "zero": 1,  # accumulators start from zero
            "load": 1,  # accumulators start from the kept sums
            "store": 1,  # the pass ends: sums are kept
            "captured": 1,  # the block ends: sums go to the gates
            "fold": range(schedule.folds),
            "number": range(schedule.passes),
            "base": range(schedule.passes * schedule.columns),
            "fresh": 1,  # the timestep is the first of its sequence
            "last": 1,  # the timestep is the last of its sequence
            "buffer": 1,  # the lists that the timestep reads
        }
    )


class Sequencer(wiring.Component):
    """Walks, for each pass, the input's list and then the state's; an entry a cycle.

    An entry is issued when it is known whether it is the last one of its pass. The last entry of a
    block waits until the gate pipeline can take the block and the output queue its elements; so
    nothing downstream ever waits. While the state's list is open, passes over the input's list
    alone run ahead.

    Parameters
    ----------
    schedule : LayerSchedule
        Passes, folds, depths.

    Members
    -------
    x_wrote, x_closed, x_buffer : In(1)
        The input's encoder writes an entry, or ends the list, of a buffer.
    x_first, x_last : In(2)
        For each buffer, whether its vector is the first or last one of a sequence.
    h_wrote, h_closed, h_buffer : In(1)
        The same of the state's encoder.
    popped : In(1)
        An element leaves the output queue.
    x_address, h_address : Out
        Entries to read from the lists of ``token.buffer``.
    token : Out(token_layout)
        What is issued in this cycle.
    released : Out(1)
        The timestep's lists have been walked for the last time.
    """

    def __init__(self, schedule):
        self._schedule = schedule
        operands = schedule.layer.operands
        sizes = (operands[0].size, operands[1].size if len(operands) > 1 else 1)
        addresses = [unsigned(max(1, (size - 1).bit_length())) for size in sizes]
        super().__init__(
            {
                "x_wrote": In(1),
                "x_closed": In(1),
                "x_buffer": In(1),
                "x_first": In(2),
                "x_last": In(2),
                "h_wrote": In(1),
                "h_closed": In(1),
                "h_buffer": In(1),
                "popped": In(1),
                "x_address": Out(addresses[0]),
                "h_address": Out(addresses[1]),
                "token": Out(token_layout(schedule)),
                "released": Out(1),
            }
        )
        count = range(schedule.columns + 2)
        self._buffer = Signal()  # lists of this timestep
        self._active = Signal()
        self._bubble = Signal()
        self._ahead = Signal()  # this pass walks the input's list alone
        self._ahead_done = Signal(range(schedule.passes + 1))
        self._number = Signal(range(schedule.passes))
        self._previous = Signal(range(schedule.passes))
        self._fold = Signal(range(schedule.folds))
        self._base = Signal(range(schedule.passes * schedule.columns))
        self._start = Signal(init=1)  # the pass has not issued yet
        self._in_x = Signal()
        self._state_alone = Signal()  # the pass continues one that ran ahead
        self._x_place = Signal(count)
        self._remaining = Signal(count)  # entries of the pass that are there and not issued
        self._some = Signal()  # ... at least one
        self._more = Signal()  # ... at least two
        self._h_place = Signal(addresses[1])

    def elaborate(self, platform):
        m = Module()
        schedule = self._schedule
        m.submodules.lists = lists = ListStatus(schedule)
        m.submodules.reservation = reservation = Reservation(schedule)
        for name in ("x_wrote", "x_closed", "x_buffer", "h_wrote", "h_closed", "h_buffer"):
            m.d.comb += getattr(lists, name).eq(getattr(self, name))
        m.d.comb += [
            lists.x_first.eq(self.x_first),
            lists.released.eq(self.released),
            lists.buffer.eq(self._buffer),
            reservation.popped.eq(self.popped),
        ]

        last_fold = self._fold == schedule.folds - 1
        last_pass = self._number == schedule.passes - 1
        may_end = self._ahead | (lists.closed & (~last_fold | reservation.fits))
        issue, end, captured = Signal(), Signal(), Signal()
        m.d.comb += [
            issue.eq(self._active & ~self._bubble & (self._more | may_end)),
            end.eq(issue & ~self._more),
            captured.eq(end & ~self._ahead & last_fold),
            reservation.captured.eq(captured),
            reservation.tail.eq(last_pass),
            self.released.eq(captured & last_pass),
        ]
        self._drive_token(m, issue, end, captured)
        self._advance(m, lists, issue)
        with m.If(end):
            self._next_pass(m, lists, last_fold, last_pass)
        with m.Elif(~self._active & lists.ready):
            m.d.sync += self._active.eq(1)
            self._begin_step(m, lists.x, lists.both, lists.closed)
        return m

    def _drive_token(self, m, issue, end, captured):
        keeps = self._schedule.layer.skip is Skip.DELTA
        first = self.x_first.bit_select(self._buffer, 1)
        zero = first if keeps else ~self._state_alone
        token = self.token
        m.d.comb += [
            self.x_address.eq(self._x_place),
            self.h_address.eq(self._h_place),
            token.valid.eq(issue),
            token.real.eq(self._some),
            token.state.eq(~self._in_x),
            token.zero.eq(self._start & zero),
            token.load.eq(self._start & ~zero & (self._number != self._previous)),
            token.store.eq(end),
            token.captured.eq(captured),
            token.fold.eq(self._fold),
            token.number.eq(self._number),
            token.base.eq(self._base),
            token.fresh.eq(first),
            token.last.eq(self.x_last.bit_select(self._buffer, 1)),
            token.buffer.eq(self._buffer),
        ]

    def _advance(self, m, lists, issue):
        """Step from an entry to the next one of the same pass."""
        grows = Signal()
        m.d.comb += grows.eq(lists.grows & ~self._ahead)
        m.d.sync += self._bubble.eq(0)
        with m.If(issue):
            m.d.sync += [
                self._start.eq(0),
                self._remaining.eq(self._remaining + grows - 1),
                self._some.eq((self._remaining >= 2) | (self._some & grows)),
                self._more.eq((self._remaining >= 3) | (self._more & grows)),
            ]
            with m.If(self._in_x):
                m.d.sync += [
                    self._x_place.eq(self._x_place + 1),
                    self._in_x.eq(self._x_place + 1 != lists.x.count),
                ]
            with m.Else():
                m.d.sync += self._h_place.eq(self._h_place + 1)
        with m.Else():
            m.d.sync += [
                self._remaining.eq(self._remaining + grows),
                self._some.eq(self._some | grows),
                self._more.eq(self._more | (self._some & grows)),
            ]

    def _expect(self, m, amount):
        """The pass that begins finds so many entries there."""
        m.d.sync += [
            self._remaining.eq(amount.count),
            self._some.eq(amount.some),
            self._more.eq(amount.many),
        ]

    def _next_pass(self, m, lists, last_fold, last_pass):
        """Step from the end of a pass to the start of the next one."""
        to_first = Signal()
        number = Signal.like(self._number)
        m.d.comb += [
            to_first.eq(last_pass | (self._ahead & lists.closed)),
            number.eq(Mux(to_first, 0, self._number + 1)),
        ]
        m.d.sync += [
            self._previous.eq(self._number),
            self._number.eq(number),
            self._fold.eq(Mux(to_first | last_fold, 0, self._fold + 1)),
            self._base.eq(Mux(to_first, 0, self._base + self._schedule.columns)),
            self._start.eq(1),
            self._h_place.eq(0),
        ]
        if self._schedule.keeps_sums:
            # Sums that are being stored can't be loaded in the very next cycle but one.
            back = (self._previous == 0) & (self._number != 0)
            m.d.sync += self._bubble.eq(
                self._start & Mux(to_first, back, self._number + 1 == self._previous)
            )
        with m.If(self._ahead):
            m.d.sync += self._ahead_done.eq(self._number + 1)
            with m.If(to_first):
                m.d.sync += self._ahead.eq(0)
                self._begin_pass(m, lists.h, in_x=0, state_alone=1)
            with m.Else():
                self._begin_pass(m, lists.x, in_x=1, state_alone=0)
        with m.Elif(last_pass):
            m.d.sync += [self._buffer.eq(~self._buffer), self._active.eq(lists.other_ready)]
            self._begin_step(m, lists.other_x, lists.other_both, lists.other_closed)
        with m.Elif(self._number + 1 < self._ahead_done):
            self._begin_pass(m, lists.h, in_x=0, state_alone=1)
        with m.Else():
            self._begin_pass(m, lists.both, in_x=lists.x.some, state_alone=0)

    def _begin_pass(self, m, amount, *, in_x, state_alone):
        m.d.sync += [
            self._state_alone.eq(state_alone),
            self._x_place.eq(0),
            self._in_x.eq(in_x),
        ]
        self._expect(m, amount)

    def _begin_step(self, m, x, both, closed):
        m.d.sync += self._ahead_done.eq(0)
        ahead = x.some & ~closed if self._schedule.x_ahead else 0
        m.d.sync += self._ahead.eq(ahead)
        self._begin_pass(m, both, in_x=x.some, state_alone=0)
        with m.If(ahead):
            self._expect(m, x)
