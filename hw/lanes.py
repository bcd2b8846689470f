"""The multiply-accumulate lanes."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..compiler.graph import Affine
from .multiplier import Multiplier

__all__ = ["Lane", "Lanes", "lane_rows", "sum_widths", "weight_width"]


def lane_rows(schedule, lane):
    """For each fold of all stages, the row that a lane accumulates, or None.

    A row is the affine nodes of a row of a unit, as in :attr:`StageSchedule.rows`.
    """
    rows = [None] * schedule.folds
    for stage, first in zip(schedule.stages, schedule.first_fold, strict=True):
        for unit in range(stage.units):
            for place, row in enumerate(stage.rows):
                fold, at = stage.place(unit, place)
                if at == lane:
                    rows[first + fold] = row
    return rows


class Lane(wiring.Component):
    """Multiplies and accumulates; one product a cycle, never stalls.

    A lane with two accumulators keeps the products of both lists apart.

    Parameters
    ----------
    weight_width, factor_width, width : int
        Bits of weight, list value and accumulator.
    accumulators : int
        1 or 2.
    block : bool
        Whether the product may take a multiplier block.

    Members
    -------
    weight, factor : In
        Multiplied two cycles before their product is accumulated.
    valid, zero, load, second : In(1)
        With the product: accumulate; start from zero or from the kept sums instead of the last
        sums; add to the second accumulator.
    kept : In(width * accumulators)
        Kept sums.
    sums : Out(width * accumulators)
        Accumulators, three cycles after weight and factor.
    """

    latency = Multiplier.latency + 1

    def __init__(self, weight_width, factor_width, width, accumulators, *, block=True):
        self._block = block
        self._widths = (weight_width, factor_width)
        self._accumulators = accumulators
        self._width = width
        super().__init__(
            {
                "weight": In(signed(weight_width)),
                "factor": In(signed(factor_width)),
                "valid": In(1),
                "zero": In(1),
                "load": In(1),
                "second": In(1),
                "kept": In(width * accumulators),
                "sums": Out(width * accumulators),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiplier = multiplier = Multiplier(*self._widths, block=self._block)
        m.d.comb += [multiplier.a.eq(self.weight), multiplier.b.eq(self.factor)]
        shape = signed(self._width)
        starts, sums = [], []
        for n in range(self._accumulators):
            sums.append(accumulator := Signal(shape, name=f"sum{n}", reset_less=True))
            starts.append(start := Signal(shape, name=f"start{n}"))
            kept = self.kept.word_select(n, self._width).as_signed()
            m.d.comb += start.eq(Mux(self.zero, 0, Mux(self.load, kept, accumulator)))
        chosen = Mux(self.second, starts[1], starts[0]) if len(starts) > 1 else starts[0]
        total = Signal(shape)
        m.d.comb += [total.eq(chosen + multiplier.p), self.sums.eq(Cat(*sums))]
        with m.If(self.valid):
            if len(sums) == 1:
                m.d.sync += sums[0].eq(total)
            else:
                m.d.sync += [
                    sums[0].eq(Mux(self.second, starts[0], total)),
                    sums[1].eq(Mux(self.second, total, starts[1])),
                ]
        return m


class Lanes(wiring.Component):
    """All lanes of an engine, and the alignment of their list values.

    Where the products of two operands have different fraction bits, the list value is shifted,
    once for all lanes that need the same shifts.

    Parameters
    ----------
    schedule : LayerSchedule
        Lanes, folds and rows.
    entry_widths : sequence of int
        Bits of the list values of the input, and of whatever is awaited if anything is.

    Members
    -------
    x_value, h_value : In
        The entries' values, :attr:`latency` cycles before their product is in the sums.
    real, state, fold : In
        Of the entry issued: it counts; it is of the awaited list; its pass's fold.
    weights : In(lanes * weight width)
        Two cycles later: the entry's column.
    valid, zero, load, product_state, product_fold : In
        Two cycles after that, with the product: see :class:`Lane`; its list and fold.
    kept : In(sums width)
        With the product: kept sums.
    sums : Out(sums width)
        Accumulators.
    """

    latency = 2 + Lane.latency

    def __init__(self, schedule, entry_widths):
        self._schedule = schedule
        self._entry_widths = entry_widths
        layer, graph = schedule.layer, schedule.layer.graph
        self.weight_width = weight_width(layer)
        self._rows = [lane_rows(schedule, lane) for lane in range(schedule.lanes)]
        self._shifts = {}  # by row: of the input's values, of the awaited vector's
        self._second = {}  # by row: the same, whether they go to the second accumulator
        for row in (row for stage in schedule.stages for row in stage.rows):
            shifts, second = [0] * len(entry_widths), [0] * len(entry_widths)
            for n, position in enumerate(row):
                affine = graph.nodes[position]
                assert isinstance(affine, Affine)
                for path in affine.paths:
                    at = int(layer.operands.index(layer.operand_of(path)) != 0)
                    shifts[at], second[at] = layer.shift(affine, path), n
            self._shifts[row] = tuple(shifts)
            self._second[row] = tuple(second)
        self.sum_widths = sum_widths(schedule)
        fold = range(schedule.folds)
        super().__init__(
            {
                "x_value": In(signed(entry_widths[0])),
                "h_value": In(signed(entry_widths[-1])),
                "real": In(1),
                "state": In(1),
                "fold": In(fold),
                "weights": In(self.weight_width * schedule.lanes),
                "valid": In(1),
                "zero": In(1),
                "load": In(1),
                "product_state": In(1),
                "product_fold": In(fold),
                "kept": In(sum(self.sum_widths)),
                "sums": Out(sum(self.sum_widths)),
            }
        )

    def _over_folds(self, table, rows):
        """A lane's entries of a table by row, for each fold; folds without a row take any."""
        known = next((table[row] for row in rows if row is not None), next(iter(table.values())))
        return tuple(known if row is None else table[row] for row in rows)

    def _factor(self, m, shifts, name):
        """The aligned list value, for lanes that share their shifts in every fold."""
        folds = []
        for shift in shifts:
            x = self.x_value << shift[0]
            folds.append(Mux(self.state, self.h_value << shift[-1], x) if len(shift) > 1 else x)
        value = folds[0]
        for fold, other in enumerate(folds[1:], 1):
            if shifts[fold] != shifts[0]:
                value = Mux(self.fold == fold, other, value)
        width = max(
            entry + shift
            for pair in shifts
            for entry, shift in zip(self._entry_widths, pair, strict=True)
        )
        selected = Signal(signed(width), name=f"{name}_selected", reset_less=True)
        factor = Signal(signed(width), name=name, reset_less=True)
        m.d.sync += [selected.eq(Mux(self.real, value, 0)), factor.eq(selected)]
        return factor

    def _second_select(self, m, seconds, name):
        """Whether the product belongs to the second accumulator."""
        select = Signal(name=name)
        for fold, second in enumerate(seconds):
            if any(second):
                chosen = self.product_state if second[-1] else ~self.product_state
                with m.If(self.product_fold == fold):
                    m.d.comb += select.eq(chosen if not all(second) else 1)
        return select

    def elaborate(self, platform):
        m = Module()
        blocks = self._schedule.target.lane_multipliers
        factors, selects = {}, {}
        offset = 0
        for n, rows in enumerate(self._rows):
            shifts = self._over_folds(self._shifts, rows)
            if shifts not in factors:
                factors[shifts] = self._factor(m, shifts, f"factor{len(factors)}")
            factor = factors[shifts]
            width = self._schedule.accumulator_width
            accumulators = self.sum_widths[n] // width
            lane = Lane(self.weight_width, len(factor), width, accumulators, block=blocks)
            m.submodules[f"lane{n}"] = lane
            end = offset + self.sum_widths[n]
            m.d.comb += [
                lane.weight.eq(self.weights.word_select(n, self.weight_width)),
                lane.factor.eq(factor),
                lane.valid.eq(self.valid),
                lane.zero.eq(self.zero),
                lane.load.eq(self.load),
                lane.kept.eq(self.kept[offset:end]),
                self.sums[offset:end].eq(lane.sums),
            ]
            if accumulators > 1:
                seconds = self._over_folds(self._second, rows)
                if seconds not in selects:
                    selects[seconds] = self._second_select(m, seconds, f"second{len(selects)}")
                m.d.comb += lane.second.eq(selects[seconds])
            offset = end
        return m


def weight_width(layer):
    """Bits of the widest weights of a layer."""
    return max(path.format.width for _, affine in layer.graph.of(Affine) for path in affine.paths)


def sum_widths(schedule):
    """Bits of each lane's accumulators: one, or two where a row of the lane needs them."""
    widths = []
    for lane in range(schedule.lanes):
        rows = [row for row in lane_rows(schedule, lane) if row is not None]
        widths.append(schedule.accumulator_width * max(map(len, rows), default=1))
    return widths
