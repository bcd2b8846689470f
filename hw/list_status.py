"""How far the lists of the two timesteps in flight are filled."""

from amaranth.hdl import Array, Cat, Const, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ListStatus", "amount_layout"]


def amount_layout(schedule):
    """A number of list entries; whether it is more than none and more than one is known early."""
    return data.StructLayout({"count": range(schedule.columns + 2), "some": 1, "many": 1})


class ListStatus(wiring.Component):
    """Counts entries by list and buffer, and tells of the walk at hand and of the one that follows.

    A walk is a stage of a timestep: of the input's list, and of the list that the stage awaits.
    After the last stage, that of the first one in the other buffer follows.

    Parameters
    ----------
    schedule : LayerSchedule
        Columns and stages.

    Members
    -------
    x_wrote, x_closed, x_buffer, h_wrote, h_closed, h_buffer, x_first : In
        As in :class:`Sequencer`.
    buffer, stage : In
        What is being walked.
    released : In(1)
        It has been walked for the last time.
    x : Out(amount_layout)
        Entries of the input's list, if the stage walks it; it is complete when it is asked for.
    h, both : Out(amount_layout)
        Entries of the awaited list and of both together, one that is being written included.
    closed, ready : Out(1)
        The awaited list is complete; the input's list is complete.
    grows : Out(1)
        The awaited list is being written to.
    other_x, other_both, other_closed, other_ready : Out
        The same of the walk that follows.
    """

    def __init__(self, schedule):
        self._stages = [stage.stage for stage in schedule.stages]
        self._amount = amount = amount_layout(schedule)
        lists = max(1, len(schedule.layer.operands) - 1)
        super().__init__(
            {
                "x_wrote": In(1),
                "x_closed": In(1),
                "x_buffer": In(1),
                "x_first": In(2),
                "h_wrote": In(lists),
                "h_closed": In(lists),
                "h_buffer": In(lists),
                "buffer": In(1),
                "stage": In(range(len(self._stages))),
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

    def _flag(self, m, name, set, released):
        """Holds from the cycle after ``set`` to the one after ``released``."""
        flag = Signal(name=name)
        with m.If(set):
            m.d.sync += flag.eq(1)
        with m.If(released):
            m.d.sync += flag.eq(0)
        return flag

    def _watch(self, m, b):
        """What there is to know of a buffer, for each stage."""
        x_wrote = self.x_wrote & (self.x_buffer == b)
        x_closed = self.x_closed & (self.x_buffer == b)
        released = self.released & (self.buffer == b)
        x = self._count(m, f"x{b}", x_wrote, 0, released)[0]
        ready = self._flag(m, f"ready{b}", x_closed, released)
        found = []
        for stage in self._stages:
            name = f"{stage.number}_{b}" if stage.number else str(b)
            at = 0 if stage.awaited is None else stage.awaited - 1
            mine = self.h_buffer[at] == b
            grows = Signal(name=f"grows{name}")
            m.d.comb += grows.eq(self.h_wrote[at] & mine)
            h = self._count(m, f"h{name}", grows, 0, released)[1]
            both, closes = h, self.h_closed[at] & mine
            if stage.walks_input:
                both = self._count(m, f"both{name}", x_wrote, grows, released)[1]
            if not stage.number:
                # A sequence's first timestep has a state of zeros: an empty list, complete at once.
                closes |= x_closed if stage.awaited is None else x_closed & self.x_first[b]
            found.append(
                {
                    "x": x if stage.walks_input else Const(0, self._amount.size),
                    "h": h,
                    "both": both,
                    "closed": self._flag(m, f"closed{name}", closes, released),
                    "ready": Const(1) if stage.number else ready,
                    "grows": grows,
                }
            )
        return found

    def elaborate(self, platform):
        m = Module()
        buffers = [self._watch(m, b) for b in (0, 1)]
        walk = Cat(self.buffer, self.stage)
        here, other = [], []
        for number in range(1 << len(self.stage)):
            stage = min(number, len(self._stages) - 1)
            here += [buffers[b][stage] for b in (0, 1)]
            if stage == len(self._stages) - 1:
                other += [buffers[not b][0] for b in (0, 1)]
            else:
                other += [buffers[b][stage + 1] for b in (0, 1)]
        for name in ("x", "h", "both"):
            m.d.comb += getattr(self, name).eq(Array(each[name] for each in here)[walk])
        for name in ("x", "both"):
            value = Array(each[name] for each in other)[walk]
            m.d.comb += getattr(self, f"other_{name}").eq(value)
        # Flags may not change for long; shifts of them are known to simulators from time zero.
        for name in ("closed", "ready", "grows"):
            flags = Cat(each[name] for each in here)
            m.d.comb += getattr(self, name).eq(flags.bit_select(walk, 1))
        for name in ("closed", "ready"):
            flags = Cat(each[name] for each in other)
            m.d.comb += getattr(self, f"other_{name}").eq(flags.bit_select(walk, 1))
        return m
