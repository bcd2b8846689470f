"""The drain: from finished blocks to one unit a cycle."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .delay import delayed

__all__ = ["Drain"]

GROUP_BITS = 2  # of a place: what the first of two choices goes by


class Drain(wiring.Component):
    """Holds the sums of finished blocks and gives them a unit a cycle.

    A bank is overwritten without a question: the sequencer's reservation keeps it free.

    Parameters
    ----------
    schedule : StageSchedule
        Units, folds, banks, and the pause between timesteps.
    sum_widths : list of int
        Bits of each lane's sums.

    Members
    -------
    sums : In(all lanes' sums)
        Accumulators.
    store, captured : In(1)
        A pass ends, or a block does, with these sums.
    fold : In
        The pass's fold.
    flags : In(3)
        Of the block: first and last timestep of a sequence, list buffer.
    bias_unit : Out
        Number, within its pixel, of the unit whose sums are selected; its bias is to be read.
    unit_before, unit_ahead : Out
        Number of the unit that leaves in two cycles, and in the next one, if any does.
    valid, unit, unit_flags : Out
        The unit that leaves.
    accumulators : Out
        The sums of unit ``unit_ahead``, row after row, those of one row together.
    """

    def __init__(self, schedule, sum_widths):
        self._schedule = schedule
        self._sum_widths = sum_widths
        width, rows = schedule.accumulator_width, schedule.rows
        unit = range(schedule.size)
        channel = range(schedule.channels)
        super().__init__(
            {
                "sums": In(sum(sum_widths)),
                "store": In(1),
                "captured": In(1),
                "fold": In(range(schedule.folds)),
                "flags": In(3),
                "bias_unit": Out(channel),
                "unit_before": Out(unit),
                "unit_ahead": Out(unit),
                "valid": Out(1),
                "unit": Out(unit),
                "unit_flags": Out(3),
                "accumulators": Out(width * sum(len(row) for row in rows)),
            }
        )

    def _unit_sums(self, folds):
        """Each unit's sums, given the sums of all folds."""
        schedule = self._schedule
        starts = [sum(self._sum_widths[:lane]) for lane in range(schedule.lanes)]
        units = []
        for unit in range(schedule.units):
            parts = []
            for row, affines in enumerate(schedule.rows):
                fold, lane = schedule.place(unit, row)
                width = schedule.accumulator_width * len(affines)
                parts.append(folds[fold][starts[lane] : starts[lane] + width])
            units.append(Cat(*parts))
        return units

    def elaborate(self, platform):
        m = Module()
        schedule = self._schedule
        *earlier, newest = [
            Signal.like(self.sums, name=f"fold{n}", reset_less=True) for n in range(schedule.folds)
        ]
        m.d.comb += newest.eq(self.sums)
        for fold, held in enumerate(earlier):
            with m.If(self.store & (self.fold == fold)):
                m.d.sync += held.eq(self.sums)
        finished = Cat(*self._unit_sums([*earlier, newest]))

        # Banks are filled and emptied in turn; the number of filled ones decides.
        banks = [
            Signal(len(finished), name=f"bank{n}", reset_less=True)
            for n in range(schedule.drain_banks)
        ]
        flags = [Signal.like(self.flags, name=f"flags{n}") for n in range(schedule.drain_banks)]
        fill, empty = Signal(), Signal()
        filled = Signal(range(schedule.drain_banks + 1))
        place = Signal(range(schedule.drain_banks * schedule.units))
        go, done, emptied = Signal(), Signal(), Signal()
        tail = schedule.channels - 1
        ends = range(schedule.units - 1, schedule.drain_banks * schedule.units, schedule.units)
        m.d.comb += [
            go.eq(filled != 0),
            done.eq(place.matches(*ends) | (self.bias_unit == tail)),
            emptied.eq(go & done),
        ]
        if schedule.pause:
            wait = Signal(range(schedule.pause + 1))
            m.d.comb += go.eq((filled != 0) & (wait == 0))
            with m.If(go & (self.bias_unit == tail)):
                m.d.sync += wait.eq(schedule.pause)
            with m.Elif(wait != 0):
                m.d.sync += wait.eq(wait - 1)
        m.d.sync += filled.eq(filled + self.captured - emptied)
        for n, bank in enumerate(banks):
            with m.If(self.captured & (fill == n)):
                m.d.sync += [bank.eq(finished), flags[n].eq(self.flags)]
        if len(banks) > 1:
            m.d.sync += [fill.eq(fill ^ self.captured), empty.eq(empty ^ emptied)]
        other = Mux(empty, 0, schedule.units) if len(banks) > 1 else 0
        with m.If(go):
            m.d.sync += [
                place.eq(Mux(done, other, place + 1)),
                self.bias_unit.eq(Mux(self.bias_unit == tail, 0, self.bias_unit + 1)),
            ]
        number = self.bias_unit
        if schedule.size > schedule.channels:
            number = Signal.like(self.unit, name="number")
            with m.If(go):
                over = number == schedule.size - 1
                m.d.sync += number.eq(Mux(over, 0, number + 1))

        # From here on a unit moves a register a cycle.
        registers = schedule.drain_latency - 1
        selected = self._select(m, Cat(*banks), place, registers - 1)
        before = delayed(m, number, registers - 2, "unit_before")
        ahead = delayed(m, before, 1, "unit_ahead")
        m.d.comb += [
            self.unit_before.eq(before),
            self.unit_ahead.eq(ahead),
            self.unit.eq(delayed(m, ahead, 1, "unit")),
            self.valid.eq(delayed(m, go, registers, "valid", reset_less=False)),
            self.unit_flags.eq(delayed(m, Mux(empty, flags[-1], flags[0]), registers, "flags")),
            self.accumulators.eq(selected),
        ]
        return m

    def _select(self, m, banks, place, registers):
        """The unit at a place of the banks, through one register or more.

        A choice of many is split where there are two registers to put its halves behind.
        """
        width = len(self.accumulators)
        words = [banks[start : start + width] for start in range(0, len(banks), width)]
        if registers == 1:
            return delayed(m, Array(words)[place], 1, "accumulators")
        group = 1 << GROUP_BITS
        near, far = place[:GROUP_BITS], place[GROUP_BITS:]
        choices = [
            delayed(m, Array(words[start : start + group])[near], 1, f"group{start}")
            for start in range(0, len(words), group)
        ]
        chosen = Array(choices)[delayed(m, far, 1, "far")]
        return delayed(m, chosen, registers - 1, "accumulators")
