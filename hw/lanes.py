"""The multiply-accumulate lanes."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .lane_plan import ShiftCode, entry_widths, plan_lanes, products, reach, second_place
from .lane_products import DualMultiplier, ShiftProduct
from .multiplier import Multiplier

__all__ = ["Lane", "Lanes"]


class Lane(wiring.Component):
    """Accumulates products; one a cycle, never stalls.

    A lane with two accumulators keeps the products of both lists apart.

    Parameters
    ----------
    product_width, width : int
        Bits of product and accumulator.
    accumulators : int
        1 or 2.
    carries : bool
        Whether a product may have a carry.

    Members
    -------
    product, carry : In
        What is accumulated is their sum.
    valid, zero, load, second : In(1)
        With the product: accumulate; start from zero or from the kept sums instead of the last
        sums; add to the second accumulator.
    kept : In(width * accumulators)
        Kept sums.
    sums : Out(width * accumulators)
        Accumulators, a cycle after the product.
    """

    latency = 1

    def __init__(self, product_width, width, accumulators, *, carries=False):
        self._accumulators = accumulators
        self._carries = carries
        self._width = width
        super().__init__(
            {
                "product": In(signed(product_width)),
                "carry": In(1),
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
        shape = signed(self._width)
        starts, sums = [], []
        for n in range(self._accumulators):
            sums.append(accumulator := Signal(shape, name=f"sum{n}", reset_less=True))
            starts.append(start := Signal(shape, name=f"start{n}"))
            kept = self.kept.word_select(n, self._width).as_signed()
            m.d.comb += start.eq(Mux(self.zero, 0, Mux(self.load, kept, accumulator)))
        chosen = Mux(self.second, starts[1], starts[0]) if len(starts) > 1 else starts[0]
        total = Signal(shape)
        m.d.comb += [total.eq(self._sum(chosen)), self.sums.eq(Cat(*sums))]
        with m.If(self.valid):
            if len(sums) == 1:
                m.d.sync += sums[0].eq(total)
            else:
                m.d.sync += [
                    sums[0].eq(Mux(self.second, starts[0], total)),
                    sums[1].eq(Mux(self.second, total, starts[1])),
                ]
        return m

    def _sum(self, start):
        if not self._carries:
            return start + self.product
        # One addition for three summands: a bit below both numbers makes the carry.
        return (Cat(1, start).as_signed() + Cat(self.carry, self.product).as_signed()) >> 1


class Lanes(wiring.Component):
    """All lanes of an engine, and the alignment of their list values.

    Where the products of two operands have different fraction bits, the list value is shifted,
    once for all lanes that need the same shifts.

    Parameters
    ----------
    schedule : LayerSchedule
        Lanes, folds and rows.

    Members
    -------
    x_value, h_value : In
        The entries' values, :attr:`latency` cycles before their product is in the sums.
    real, state, fold : In
        Of the entry issued: it counts; it is of the awaited list; its pass's fold.
    weights : In(all lanes' weights)
        Two cycles later: the entry's column, in the lanes' codes.
    valid, zero, load, product_state, product_fold : In
        Two cycles after that, with the product: see :class:`Lane`; its list and fold.
    kept : In(sums width)
        With the product: kept sums.
    sums : Out(sums width)
        Accumulators.
    """

    latency = 2 + Multiplier.latency + Lane.latency

    def __init__(self, schedule):
        self._schedule = schedule
        self._plans = plan_lanes(schedule)
        self._entry_widths = widths = entry_widths(schedule.layer)
        self.sum_widths = [schedule.accumulator_width * p.accumulators for p in self._plans]
        fold = range(schedule.folds)
        super().__init__(
            {
                "x_value": In(signed(widths[0])),
                "h_value": In(signed(widths[-1])),
                "real": In(1),
                "state": In(1),
                "fold": In(fold),
                "weights": In(sum(plan.code.bits for plan in self._plans)),
                "valid": In(1),
                "zero": In(1),
                "load": In(1),
                "product_state": In(1),
                "product_fold": In(fold),
                "kept": In(sum(self.sum_widths)),
                "sums": Out(sum(self.sum_widths)),
            }
        )

    def _factor(self, m, shifts, name):
        """The aligned list value, for lanes that share their shifts in every fold."""
        folds = []
        for shift in shifts:
            values = [
                0 if places is None else value << places
                for value, places in zip((self.x_value, self.h_value), shift, strict=False)
            ]
            folds.append(Mux(self.state, values[1], values[0]) if len(values) > 1 else values[0])
        value = folds[0]
        for fold, other in enumerate(folds[1:], 1):
            if shifts[fold] != shifts[0]:
                value = Mux(self.fold == fold, other, value)
        width = max(
            entry + (shift or 0)
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

    def _products(self, m, factors):
        """Of each lane: product and carry."""
        plans, found = self._plans, {}
        starts = [sum(plan.code.bits for plan in plans[:n]) for n in range(len(plans))]
        for lanes in products(self._schedule, plans):
            plan, factor = plans[lanes[0]], factors[plans[lanes[0]].shifts]
            codes = [plans[lane].code for lane in lanes]
            weights = [
                self.weights[starts[lane] : starts[lane] + code.bits]
                for lane, code in zip(lanes, codes, strict=True)
            ]
            name = "product" + "_".join(map(str, lanes))
            if len(lanes) == 2:
                place = second_place(plan.code, reach(self._schedule, plan.shifts))
                unit = DualMultiplier([code.bits for code in codes], len(factor), place)
                m.d.comb += [
                    unit.w0.eq(weights[0]),
                    unit.w1.eq(weights[1]),
                    unit.factor.eq(factor),
                ]
                found[lanes[0]], found[lanes[1]] = (unit.p0, None), (unit.p1, unit.carry)
            elif isinstance(plan.code, ShiftCode):
                unit = ShiftProduct(plan.code, len(factor))
                m.d.comb += [unit.weight.eq(weights[0]), unit.factor.eq(factor)]
                found[lanes[0]] = unit.p, unit.carry
            else:
                block = self._schedule.target.lane_multipliers
                unit = Multiplier(plan.code.bits, len(factor), block=block)
                m.d.comb += [unit.a.eq(weights[0]), unit.b.eq(factor)]
                found[lanes[0]] = unit.p, None
            m.submodules[name] = unit
        return found

    def elaborate(self, platform):
        m = Module()
        width = self._schedule.accumulator_width
        factors, selects = {}, {}
        for plan in self._plans:
            if plan.shifts not in factors:
                factors[plan.shifts] = self._factor(m, plan.shifts, f"factor{len(factors)}")
        found = self._products(m, factors)
        offset = 0
        for n, plan in enumerate(self._plans):
            product, carry = found[n]
            lane = Lane(len(product), width, plan.accumulators, carries=carry is not None)
            m.submodules[f"lane{n}"] = lane
            end = offset + self.sum_widths[n]
            m.d.comb += [
                lane.product.eq(product),
                lane.carry.eq(0 if carry is None else carry),
                lane.valid.eq(self.valid),
                lane.zero.eq(self.zero),
                lane.load.eq(self.load),
                lane.kept.eq(self.kept[offset:end]),
                self.sums[offset:end].eq(lane.sums),
            ]
            if plan.accumulators > 1:
                if plan.second not in selects:
                    select = self._second_select(m, plan.second, f"second{len(selects)}")
                    selects[plan.second] = select
                m.d.comb += lane.second.eq(selects[plan.second])
            offset = end
        return m
