# amaranth: UnusedElaboratable=no

import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import fifo, memory, wiring

from deltaloom.compiler.cells import GRU, LSTM, RNN, Linear, ReluRNN
from deltaloom.compiler.network import (
    Concatenate,
    Embedding,
    Network,
    Pool,
    Reverse,
    Sum,
    Window,
)
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.schedule import schedule
from deltaloom.compiler.target import Target
from deltaloom.hw.accelerator import Accelerator
from deltaloom.sim import pysim
from deltaloom.sim.stimulus import Stimulus

DELTA = Recipe(skip="delta")
DESIGNS = {
    "mixed": ([LSTM(3, 4), GRU(4, 6), RNN(6, 3)], 20),
    "last step in between": ([GRU(3, 5), "last", Linear(5, 2)], 5),
    "last step between cells": ([ReluRNN(2, 3), "last", GRU(3, 4), Linear(4, 3)], 9),
    "last step at the end": ([LSTM(2, 5), GRU(5, 2), "last"], 7),
    "one element": ([RNN(1, 1), GRU(1, 1), LSTM(1, 1)], 3),
    "narrow and wide": ([Linear(1, 11), LSTM(11, 1), Linear(1, 7)], 4),
    "one lane a layer": ([GRU(2, 3), GRU(3, 2)], 2),
}


@pytest.mark.parametrize("skip", ["none", pytest.param("zero", marks=pytest.mark.slow), "delta"])
@pytest.mark.parametrize("name", DESIGNS)
def test_layers_in_a_row(prove, integer_network, name, skip):
    cells, lanes = DESIGNS[name]
    network = integer_network(*cells, recipe=Recipe(skip=skip))
    prove(network, lanes, lengths=(3, 1, 1, 5), stalls=(0.0, 0.5))


def test_sequences_of_one_timestep(prove, integer_network):
    """Each one begins anew, while the one before is still in the gates."""
    prove(integer_network(LSTM(3, 6), recipe=DELTA), 8, lengths=(1,) * 20)
    prove(integer_network(GRU(3, 4), "last", Linear(4, 2), recipe=DELTA), 8, lengths=(1,) * 12)


@pytest.mark.parametrize("cells", [[GRU(3, 5)], [LSTM(2, 4), Linear(4, 3)]], ids=["one", "two"])
def test_endless_sequence(build_design, integer_network, make_run, cells):
    """Without an end marker outputs come as ever, and none of them is marked as the end."""
    case = make_run(integer_network(*cells, recipe=DELTA), 6, lengths=(25,))
    stimulus = case.stimulus
    endless = Stimulus(stimulus.data, np.zeros_like(stimulus.last), stimulus.outputs)
    capture = pysim.build(*build_design(case)).run(endless)
    np.testing.assert_array_equal(capture.data, case.run.outputs[0].ravel())
    np.testing.assert_array_equal(capture.delivered, case.predicted.delivered)
    assert not capture.last.any()
    assert capture.user.sum() == 25


class Disturbed(wiring.Component):
    """An accelerator fed with noise for some cycles and then reset for one, before it is used."""

    def __init__(self, design, noisy):
        self._design = design
        self._noisy = noisy
        super().__init__(design.signature)

    def elaborate(self, platform):
        m = Module()
        design = self._design
        count = Signal(range(self._noisy + 2))
        noise = Signal(31, init=0x2F6E2B1)
        m.submodules.design = ResetInserter(count == self._noisy)(design)
        m.d.sync += noise.eq((noise << 3) ^ (noise >> 5) ^ (noise << 11) ^ count)
        with m.If(count <= self._noisy):
            m.d.sync += count.eq(count + 1)
            m.d.comb += [
                design.s_axis_tdata.eq(noise[4:]),
                design.s_axis_tvalid.eq(noise[:2].any()),
                design.s_axis_tlast.eq(noise[2:4].all()),
                design.m_axis_tready.eq(noise[9:11].any()),
            ]
        with m.Else():
            m.d.comb += [
                design.s_axis_tdata.eq(self.s_axis_tdata),
                design.s_axis_tvalid.eq(self.s_axis_tvalid),
                design.s_axis_tlast.eq(self.s_axis_tlast),
                design.m_axis_tready.eq(self.m_axis_tready),
                self.s_axis_tready.eq(design.s_axis_tready),
                self.m_axis_tdata.eq(design.m_axis_tdata),
                self.m_axis_tvalid.eq(design.m_axis_tvalid),
                self.m_axis_tlast.eq(design.m_axis_tlast),
                self.m_axis_tuser.eq(design.m_axis_tuser),
            ]
        return m


@pytest.mark.parametrize("noisy", [1, 60, 97])
@pytest.mark.parametrize("skip", ["none", "zero", "delta"])
def test_reset_in_the_middle(build_design, integer_network, make_run, skip, noisy):
    """Whatever the memories hold by then: the next run is right, in its cycles too."""
    network = integer_network(LSTM(3, 5), "last", GRU(5, 4), recipe=Recipe(skip=skip))
    case = make_run(network, 10, lengths=(4, 1, 3))
    design, ports = build_design(case)
    capture = pysim.build(Disturbed(design, noisy), ports).run(case.stimulus)
    want = np.concatenate([output.ravel() for output in case.run.outputs])
    np.testing.assert_array_equal(capture.data, want)
    np.testing.assert_array_equal(capture.accepted, case.predicted.accepted + noisy + 1)
    np.testing.assert_array_equal(capture.delivered, case.predicted.delivered + noisy + 1)


class Undefined(memory.Memory):
    """A memory that reads nonsense from a word while that word is written, if it may do so."""

    def read_port(self, **options):
        port = super().read_port(**options)
        shown = type("Port", (), {})()
        shown.addr, shown.en = port.addr, port.en
        shown.data = Signal(port.data.shape(), name="shown")
        self.__dict__.setdefault("shown", []).append((port, shown))
        return shown

    def write_port(self, **options):
        port = super().write_port(**options)
        self.__dict__.setdefault("written", []).append(port)
        return port

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = super().elaborate(platform)
        for port, shown in self.shown:
            clash = Signal()
            for write in self.__dict__.get("written", []):
                if self.attrs.get("no_rw_check"):
                    with m.If(port.en):
                        m.d.sync += clash.eq(write.en & (write.addr == port.addr))
            data = port.data.as_value() if hasattr(port.data, "as_value") else port.data
            target = shown.data.as_value() if hasattr(shown.data, "as_value") else shown.data
            m.d.comb += target.eq(data ^ clash.replicate(len(data)))
        return m


@pytest.mark.parametrize("distributed", [True, False], ids=["ecp5", "ice40"])
@pytest.mark.parametrize("skip", ["none", pytest.param("zero", marks=pytest.mark.slow), "delta"])
@pytest.mark.parametrize(
    ("cells", "lanes"),
    [([LSTM(1, 1)], 4), ([GRU(2, 3), RNN(3, 5)], 5), ([LSTM(1, 5)], 4), ([RNN(1, 2)], 1)],
    ids=["one", "two layers", "blocks", "two blocks"],
)
def test_no_word_is_used_that_is_read_while_written(
    prove, integer_network, monkeypatch, cells, lanes, skip, distributed
):
    """As the attribute ``no_rw_check`` promises to synthesis."""
    monkeypatch.setattr(memory, "Memory", Undefined)
    monkeypatch.setattr(fifo, "Memory", Undefined)
    network = integer_network(*cells, recipe=Recipe(skip=skip))
    target = Target(distributed_memory=distributed)
    prove(network, lanes, target=target, lengths=(3, 1, 1, 4), stalls=(0.0, 0.4))


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("distributed", [True, False], ids=["ecp5", "ice40"])
def test_nor_between_engines(prove, random_layer, monkeypatch, distributed, size):
    monkeypatch.setattr(memory, "Memory", Undefined)
    monkeypatch.setattr(fifo, "Memory", Undefined)
    layers = (
        Window("w", 2, padding=(1, 0), sources=("input",)),
        random_layer("a", Linear(2, size)),
        Reverse("back", 5),
        Sum("sum", sources=("back", "a", "back")),
        Pool("mean", "mean", 5, sources=("sum",)),
        Pool("largest", "max", sources=("sum",)),
        Concatenate("c", sources=("mean", "largest")),
    )
    network = quantize(Network(layers), np.random.default_rng(0).normal(size=(3, 5, 1)))
    target = Target(distributed_memory=distributed)
    prove(network, 1, target=target, lengths=(3, 1, 1, 5, 1, 4), stalls=(0.0, 0.5))


TABLE = np.random.default_rng(0).normal(size=(5, 2))
WRONG = {
    "an index beyond the table": (Embedding("words", TABLE), 2, [[1, 4, 0]], [[1, 5, 0]]),
    "a negative index": (Embedding("words", TABLE), 2, [[1, 4, 0]], [[1, -1, 0]]),
    "too short for a window": (Window("w", 3), 3, [[1, 4, 0], [1, 2, 3, 4]], [[1, 4, 0], [1, 2]]),
    "too long for a reversal": (Reverse("back", 3), 1, [[1, 2, 3]], [[1, 2, 3, 4]]),
    "too long for a mean": (Pool("mean", "mean", 3), 1, [[1, 2, 3]], [[1, 2, 3, 4]]),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_raises_the_error_flag(bench, random_layer, name):
    layer, size, *inputs = WRONG[name]
    layers = (layer, random_layer("a", Linear(size, 1)))
    network = quantize(Network(layers), np.array([[[0.0], [1.0], [2.0]]]))
    flags = []
    for sequences in inputs:
        dut = Accelerator(network, schedule(network, 1))

        async def run(ctx, dut=dut, sequences=sequences):
            ctx.set(dut.m_axis_tready, 1)
            for sequence in sequences:
                for step, value in enumerate(sequence):
                    ctx.set(dut.s_axis_tvalid, 1)
                    ctx.set(dut.s_axis_tdata, value)
                    ctx.set(dut.s_axis_tlast, step == len(sequence) - 1)
                    await ctx.tick().until(dut.s_axis_tready)
            ctx.set(dut.s_axis_tvalid, 0)
            await ctx.tick().repeat(60)
            flags.append(ctx.get(dut.error))

        bench(dut, run)
    assert flags == [0, 1]
