"""The sequencer: which list entry meets which block, and the one place that stalls."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .constants import constant_of
from .list_status import ListStatus
from .reservation import Reservation

__all__ = ["Sequencer", "token_layout"]


def token_layout(schedule):
    """What accompanies an entry down the lanes."""
    return data.StructLayout(
        {
            "valid": 1,  # an entry is issued
            "real": 1,  # it is not the stand-in for an empty list
            "state": 1,  # it comes from the awaited list
            "zero": 1,  # accumulators start from zero
            "load": 1,  # accumulators start from the kept sums
            "initial": 1,  # ... from the products of initial states
            "store": 1,  # the pass ends: sums are kept
            "captured": 1,  # the block ends: sums go to the gates
            "fold": range(schedule.folds),
            "number": range(schedule.passes),
            "base": range(schedule.words),
            "stage": range(len(schedule.stages)),
            "fresh": 1,  # the timestep is the first of its sequence, whose states are not loaded
            "last": 1,  # the timestep is the last of its sequence
            "buffer": 1,  # the lists that the timestep reads
        }
    )


def ends_of(starts, count):
    """The last place of each of several runs, which begin at ``starts``, of ``count`` in all."""
    return [start - 1 for start in (*starts[1:], count)]


class Sequencer(wiring.Component):
    """Walks, for each pass, the input's list and then the awaited one; an entry a cycle.

    What is awaited is a state in the first stage of a timestep, and in each later one what the
    stage before it computes. An entry is issued when it is known whether it is the last one of its
    pass. The last entry of a block waits until the gate pipeline can take the block and the output
    queue its elements; so nothing downstream ever waits. While the awaited list is open, passes
    over the input's list alone run ahead.

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
    x_loaded : In(2)
        If the layer loads states: whether it is the first one, and its states were loaded.
    h_wrote, h_closed, h_buffer : In
        The same of the encoder of each list that is awaited, a bit each.
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
        x, *awaited = schedule.layer.operands
        sizes = (x.size, max((operand.size for operand in awaited), default=1))
        addresses = [unsigned(max(1, (size - 1).bit_length())) for size in sizes]
        lists = max(1, len(awaited))
        super().__init__(
            {
                "x_wrote": In(1),
                "x_closed": In(1),
                "x_buffer": In(1),
                "x_first": In(2),
                "x_last": In(2),
                **({"x_loaded": In(2)} if schedule.loads else {}),
                "h_wrote": In(lists),
                "h_closed": In(lists),
                "h_buffer": In(lists),
                "popped": In(1),
                "x_address": Out(addresses[0]),
                "h_address": Out(addresses[1]),
                "token": Out(token_layout(schedule)),
                "released": Out(1),
            }
        )
        count = range(schedule.columns + 2)
        self._buffer = Signal()  # lists of this timestep
        self._stage = Signal(range(len(schedule.stages)))
        self._active = Signal()
        self._bubble = Signal()
        self._ahead = Signal()  # this pass walks the input's list alone
        self._ahead_done = Signal(range(schedule.passes + 1))
        self._number = Signal(range(schedule.passes))
        self._previous = Signal(range(schedule.passes))
        self._fold = Signal(range(schedule.folds))
        self._base = Signal(range(schedule.words))
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
        reservations = [Reservation(stage) for stage in schedule.stages]
        for number, reservation in enumerate(reservations):
            m.submodules[f"reservation{number or ''}"] = reservation
        for name in ("x_wrote", "x_closed", "x_buffer", "h_wrote", "h_closed", "h_buffer"):
            m.d.comb += getattr(lists, name).eq(getattr(self, name))
        m.d.comb += [
            lists.x_first.eq(self._fresh),
            lists.released.eq(self.released),
            lists.buffer.eq(self._buffer),
            lists.stage.eq(self._stage),
        ]

        last_fold = self._fold.matches(*ends_of(schedule.first_fold, schedule.folds))
        last_pass = self._number.matches(*ends_of(schedule.first_pass, schedule.passes))
        last_stage = self._stage == len(schedule.stages) - 1
        fits = Cat(reservation.fits for reservation in reservations).bit_select(self._stage, 1)
        may_end = self._ahead | (lists.closed & (~last_fold | fits))
        issue, end, captured = Signal(), Signal(), Signal()
        m.d.comb += [
            issue.eq(self._active & ~self._bubble & (self._more | may_end)),
            end.eq(issue & ~self._more),
            captured.eq(end & ~self._ahead & last_fold),
            self.released.eq(captured & last_pass & last_stage),
        ]
        for number, reservation in enumerate(reservations):
            m.d.comb += [
                reservation.captured.eq(captured & (self._stage == number)),
                reservation.tail.eq(last_pass),
                reservation.popped.eq(self.popped),
            ]
        self._drive_token(m, issue, end, captured)
        self._advance(m, lists, issue)
        with m.If(end):
            self._next_pass(m, lists, last_fold, last_pass, last_stage)
        with m.Elif(~self._active & lists.ready):
            m.d.sync += self._active.eq(1)
            self._begin_step(m, lists.x, lists.both, lists.closed)
        return m

    @property
    def _fresh(self):
        """For each buffer, whether its timestep starts from states of zero."""
        return self.x_first & ~self.x_loaded if self._schedule.loads else self.x_first

    def _drive_token(self, m, issue, end, captured):
        first = self.x_first.bit_select(self._buffer, 1)
        zero = ~self._state_alone
        if self._schedule.layer.skip.differs:
            # A state is complete at once in a first timestep; what is computed is not.
            zero = first & zero if len(self._schedule.stages) > 1 else first
        token = self.token
        fresh = self._fresh.bit_select(self._buffer, 1)
        initial = zero & fresh if self._schedule.starts_from_sums else Const(0)
        m.d.comb += [
            self.x_address.eq(self._x_place),
            self.h_address.eq(self._h_place),
            token.valid.eq(issue),
            token.real.eq(self._some),
            token.state.eq(~self._in_x),
            token.zero.eq(self._start & zero & ~initial),
            token.load.eq(self._start & (initial | (~zero & (self._number != self._previous)))),
            token.initial.eq(initial),
            token.store.eq(end),
            token.captured.eq(captured),
            token.fold.eq(self._fold),
            token.number.eq(self._number),
            token.base.eq(self._base),
            token.stage.eq(self._stage),
            token.fresh.eq(fresh),
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

    def _next_pass(self, m, lists, last_fold, last_pass, last_stage):
        """Step from the end of a pass to the start of the next one."""
        schedule = self._schedule
        to_first = Signal()  # to the first pass of this stage, or of the first one
        stage = Signal.like(self._stage)
        number = Signal.like(self._number)
        with m.If(~last_stage):
            m.d.comb += to_first.eq(self._ahead & (lists.closed | last_pass))
        with m.Else():
            m.d.comb += to_first.eq(last_pass | (self._ahead & lists.closed))
        with m.If(self._ahead | ~last_pass):
            m.d.comb += stage.eq(self._stage)
        with m.Elif(~last_stage):
            m.d.comb += stage.eq(self._stage + 1)

        def first(numbers):
            """Where the stage that follows begins."""
            return constant_of(numbers, stage)

        columns = constant_of([stage.columns for stage in schedule.stages], self._stage)
        m.d.comb += number.eq(Mux(to_first, first(schedule.first_pass), self._number + 1))
        m.d.sync += [
            self._previous.eq(self._number),
            self._stage.eq(stage),
            self._number.eq(number),
            self._fold.eq(Mux(to_first | last_fold, first(schedule.first_fold), self._fold + 1)),
            self._base.eq(Mux(to_first, first(schedule.first_word), self._base + columns)),
            self._start.eq(1),
            self._h_place.eq(0),
        ]
        if schedule.keeps_sums:
            # Sums that are being stored can't be loaded in the very next cycle but one.
            target = first(schedule.first_pass)
            back = (self._previous == target) & (self._number != target)
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
            m.d.sync += [
                self._buffer.eq(self._buffer ^ last_stage),
                self._active.eq(lists.other_ready),
            ]
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
