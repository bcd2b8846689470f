"""The sequencer of attention: which entry meets which word, and the one place that stalls."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .encoder import index_width

__all__ = ["AttentionSequencer", "token_layout"]


def token_layout(schedule):
    """What accompanies an entry down the lanes."""
    return data.StructLayout(
        {
            "score": 1,  # an entry of a query is issued
            "context": 1,  # an entry of the weights is issued
            "real": 1,  # it is not the stand-in for an empty list
            "start": 1,  # accumulators start from zero
            "captured": 1,  # the block ends
            "final": 1,  # ... and the walk does
            "base": range(schedule.words),
            "units": range(schedule.lanes + 1),  # sums of the block that are wanted
            "last": 1,  # the query is the last of its sequence
        }
    )


class AttentionSequencer(wiring.Component):
    """For each query walks its list for each block of keys, then the weights for each of values.

    An entry a cycle. The first walk of the weights follows their list while it is written: an
    entry is issued when it is known whether it is the last one. The last entry of a block waits
    until the sums of the block before have left, and for weighted sums until there is room in the
    output queue; so nothing downstream ever waits.

    Parameters
    ----------
    schedule : AttentionSchedule
        Blocks and depths.

    Members
    -------
    query_ready, query_count, query_last : In
        The query at hand: it is listed, its entries, it is the last one of its sequence.
    written, complete : In
        Timesteps of keys that are there; they are all.
    forgotten : In(1)
        The keys of a sequence that is finished make room for others.
    wrote, closed : In(1)
        A weight is being listed; the last one is, or would be.
    popped : In(1)
        An element leaves the output queue.
    query_address, weight_address : Out
        Entries to read.
    token : Out(token_layout)
        What is issued in this cycle.
    released : Out(1)
        The query's list has been walked for the last time.
    finished : Out(1)
        The weights have been, of a sequence's last query.
    """

    def __init__(self, schedule):
        self._schedule = schedule
        layer = schedule.layer
        super().__init__(
            {
                "query_ready": In(1),
                "query_count": In(range(layer.size + 1)),
                "query_last": In(1),
                "written": In(range(layer.max_steps + 1)),
                "complete": In(1),
                "forgotten": In(1),
                "wrote": In(1),
                "closed": In(1),
                "popped": In(1),
                "query_address": Out(index_width(layer.size)),
                "weight_address": Out(index_width(layer.max_steps)),
                "token": Out(token_layout(schedule)),
                "released": Out(1),
                "finished": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        schedule, layer, token = self._schedule, self._schedule.layer, self.token
        lanes, depth = schedule.lanes, schedule.output_depth
        place = Signal(range(max(layer.size, layer.max_steps) + 1))
        base = Signal(range(schedule.words + layer.max_steps))
        count = Signal(self.query_count.shape())
        last, start = Signal(), Signal()
        block = Signal(range(schedule.value_blocks))
        keys = Signal(self.written.shape())  # that the block at hand and those after it have
        listed, closed = Signal(range(layer.max_steps + 1)), Signal()
        wait = Signal(range(lanes))  # cycles until the sums of the block before have left
        credit = Signal(range(depth + 1), init=depth)
        issue, end, units = Signal(), Signal(), Signal.like(token.units)
        free = wait == 0
        room = credit >= schedule.units
        last_keys, last_block = keys <= lanes, block == schedule.value_blocks - 1

        if layer.causal:
            time = Signal(self.written.shape())
            available, met = self.written != time, time + 1
        else:
            available, met = self.complete, self.written

        stale = Signal()  # the keys are those of a sequence that is finished
        with m.If(self.finished | self.forgotten):
            m.d.sync += stale.eq(self.finished)
        m.d.sync += [
            listed.eq(listed + self.wrote),
            closed.eq(closed | self.closed),
            start.eq(start & ~issue | end),
            wait.eq(Mux(free, 0, wait - 1)),
            credit.eq(credit + self.popped),
        ]
        with m.If(issue):
            m.d.sync += place.eq(Mux(end, 0, place + 1))
        with m.If(end):
            m.d.sync += wait.eq(units - 1)
        m.d.comb += [
            self.query_address.eq(place),
            self.weight_address.eq(place),
            token.start.eq(start),
            token.captured.eq(end),
            token.base.eq(base),
            token.units.eq(units),
            token.last.eq(last),
        ]

        with m.FSM(name="walk"):
            with m.State("WAIT"):
                m.d.sync += [
                    start.eq(1),
                    place.eq(0),
                    base.eq(0),
                    keys.eq(met),
                    count.eq(self.query_count),
                    last.eq(self.query_last),
                ]
                with m.If(self.query_ready & available & ~stale):
                    m.next = "SCORE"
            with m.State("SCORE"):
                ending = place + 1 >= count
                m.d.comb += [
                    issue.eq(~ending | free),
                    end.eq(issue & ending),
                    units.eq(Mux(last_keys, keys, lanes)),
                    token.score.eq(issue),
                    token.real.eq(count != 0),
                    token.final.eq(last_keys),
                    self.released.eq(end & last_keys),
                ]
                with m.If(end):
                    m.d.sync += [base.eq(base + layer.size), keys.eq(keys - lanes)]
                    with m.If(last_keys):
                        m.d.sync += [base.eq(schedule.key_words), block.eq(0)]
                        m.next = "WEIGH"
            with m.State("WEIGH"):
                more, ending = listed > place + 1, closed & (listed == place + 1)
                m.d.comb += [
                    issue.eq(more | (ending & free & room)),
                    end.eq(issue & ~more),
                    units.eq(Mux(last_block, schedule.tail_units, lanes)),
                    token.context.eq(issue),
                    token.real.eq(1),
                    token.final.eq(last_block),
                    self.finished.eq(end & last_block & last),
                ]
                with m.If(end):
                    m.d.sync += [
                        base.eq(base + layer.max_steps),
                        block.eq(block + 1),
                        credit.eq(credit + self.popped - units),
                    ]
                    with m.If(last_block):
                        m.d.sync += [listed.eq(0), closed.eq(0)]
                        if layer.causal:
                            m.d.sync += time.eq(Mux(last, 0, time + 1))
                        m.next = "WAIT"
        return m
