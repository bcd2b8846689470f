"""The register block: states, their loading and counters behind an AXI4-Lite port."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..compiler.address_map import WORD_BYTES, AddressMap
from .engine_registers import INCREMENT

__all__ = ["RegisterBlock", "axi_lite_members"]

OKAY, SLAVE_ERROR, DECODE_ERROR = 0, 2, 3
WORD = 8 * WORD_BYTES


def axi_lite_members(address_bits):
    """Members of an AXI4-Lite slave, by its customary names."""
    return {
        "s_axil_awaddr": In(address_bits),
        "s_axil_awvalid": In(1),
        "s_axil_awready": Out(1),
        "s_axil_wdata": In(WORD),
        "s_axil_wstrb": In(WORD_BYTES),
        "s_axil_wvalid": In(1),
        "s_axil_wready": Out(1),
        "s_axil_bresp": Out(2),
        "s_axil_bvalid": Out(1),
        "s_axil_bready": In(1),
        "s_axil_araddr": In(address_bits),
        "s_axil_arvalid": In(1),
        "s_axil_arready": Out(1),
        "s_axil_rdata": Out(WORD),
        "s_axil_rresp": Out(2),
        "s_axil_rvalid": Out(1),
        "s_axil_rready": In(1),
    }


class RegisterBlock(wiring.Component):
    """Answers one request at a time, writes first.

    States are read, written and loaded between sequences, or pairs of them: while one is in the
    accelerator, that is an error. Its answer waits until the last timestep's states are there, and
    the answer to a load until the states are in place. Errors are a slave error, also for a load
    while another one waits for its sequence, words that are not written whole, reads of what is
    only written and writes to what is only read; and a decode error where nothing is.

    Counters are read at any time. Between sequences, a read of what formats cut off waits until
    the last timestep's is counted.

    Parameters
    ----------
    addresses : AddressMap
        What is where.

    Members
    -------
    s_axil_...
        AXI4-Lite; addresses are in bytes, their two lowest bits don't matter.
    running : In(1)
        A sequence, or one of a pair, is in the accelerator.
    settled : In(1)
        No layer computes a timestep.
    error : In(1)
        A sequence broke a rule.
    load, done, waiting : Out, In, In
        A bit for each layer with states: its states are to be loaded, are, and wait for the first
        timestep of a sequence.
    loading : Out(1)
        States are being loaded.
    index, data, write : Out
        Element of a state, what is written to it, and a bit for each state: whether it is.
    states : In(word for each state)
        The element of each, a cycle after ``index``.
    amounts : In(amount for each counter)
        What each counter, in the order of the map, counts in a cycle.
    """

    def __init__(self, addresses):
        if not isinstance(addresses, AddressMap):
            raise TypeError(f"Addresses must be an AddressMap, not {addresses!r}")
        self._map = addresses
        self._loads = [r for r in addresses.registers if r.writable]
        self._counters = [
            r for r in addresses.registers if not r.writable and r.name not in ("status", "cycles")
        ]
        count = max(1, len(addresses.states))
        loads = max(1, len(self._loads))
        super().__init__(
            {
                **axi_lite_members(addresses.address_bits),
                "running": In(1),
                "settled": In(1),
                "error": In(1),
                "load": Out(loads),
                "done": In(loads),
                "waiting": In(loads),
                "loading": Out(1),
                "index": Out(range(addresses.region)),
                "data": Out(signed(WORD)),
                "write": Out(count),
                "states": In(data.ArrayLayout(signed(WORD), count)),
                "amounts": In(data.ArrayLayout(INCREMENT, len(self._counters))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        address = Signal(len(self.s_axil_awaddr) - 2)  # of the word
        low = (self._map.region - 1).bit_length()
        region = address[low:]
        writes, error = Signal(), Signal(2)
        strobe = Signal(WORD_BYTES)
        m.d.comb += self.index.eq(address[:low])
        values = self._count(m)
        found, load, is_state = self._decode(m, region, writes, strobe)
        settles = Signal()
        places = [r.address // WORD_BYTES for r in self._map.registers if r.settles]
        m.d.comb += settles.eq((region == 0) & Cat(self.index == place for place in places).any())

        word, state_word, from_state = Signal(WORD), Signal(signed(WORD)), Signal()
        m.d.comb += [
            self.s_axil_rdata.eq(Mux(from_state, state_word, word)),
            self.s_axil_bresp.eq(error),
            self.s_axil_rresp.eq(error),
        ]
        with m.FSM():
            with m.State("IDLE"):
                both = self.s_axil_awvalid & self.s_axil_wvalid
                m.d.comb += [
                    self.s_axil_awready.eq(both),
                    self.s_axil_wready.eq(both),
                    self.s_axil_arready.eq(self.s_axil_arvalid & ~both),
                ]
                m.d.sync += [
                    writes.eq(both),
                    strobe.eq(self.s_axil_wstrb),
                    self.data.eq(self.s_axil_wdata),
                    address.eq(Mux(both, self.s_axil_awaddr[2:], self.s_axil_araddr[2:])),
                ]
                with m.If(both | self.s_axil_arvalid):
                    m.next = "DECIDE"
            with m.State("DECIDE"):
                between = is_state | load.any()
                m.d.sync += error.eq(found)
                with m.If((found == OKAY) & between & self.running):
                    m.d.sync += error.eq(SLAVE_ERROR)
                    m.next = "FETCH"
                    with m.If(writes):
                        m.next = "CONFIRM"
                with m.Elif((found == OKAY) & (between | settles) & ~self.settled & ~self.running):
                    pass
                with m.Elif(~writes):
                    m.next = "FETCH"
                with m.Elif((found == OKAY) & (load & self.waiting).any()):
                    m.d.sync += error.eq(SLAVE_ERROR)
                    m.next = "CONFIRM"
                with m.Elif((found == OKAY) & load.any()):
                    m.d.comb += self.load.eq(load)
                    m.next = "LOAD"
                with m.Else():
                    with m.If(found == OKAY):
                        for number in range(len(self._map.states)):
                            m.d.comb += self.write[number].eq(region == number + 1)
                    m.next = "CONFIRM"
            with m.State("LOAD"):
                m.d.comb += self.loading.eq(1)
                with m.If(self.done.any()):
                    m.next = "CONFIRM"
            with m.State("CONFIRM"):
                m.d.comb += self.s_axil_bvalid.eq(1)
                with m.If(self.s_axil_bready):
                    m.next = "IDLE"
            with m.State("FETCH"):
                m.d.sync += [
                    word.eq(Mux(error == OKAY, values[self.index], 0)),
                    state_word.eq(self._state_word(region)),
                    from_state.eq(is_state & (error == OKAY)),
                ]
                m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += self.s_axil_rvalid.eq(1)
                with m.If(self.s_axil_rready):
                    m.next = "IDLE"
        return m

    def _state_word(self, region):
        words = [self.states[number] for number in range(len(self._map.states))]
        return Array([0, *words])[region]

    def _count(self, m):
        """What is read at each word of the first region."""
        cycles = Signal(WORD)
        m.d.sync += cycles.eq(cycles + self.running)
        values = {"status": self.running | (self.error << 1), "cycles": cycles}
        for place, register in enumerate(self._counters):
            counter = Signal(WORD, name=f"counter{place}")
            m.d.sync += counter.eq(counter + self.amounts[place])
            values[register.name] = counter
        return Array(values.get(register.name, 0) for register in self._map.registers)

    def _decode(self, m, region, writes, strobe):
        """Whether a request is to something that is there; the load it is, if one; a state's."""
        found, load, is_state = Signal(2, init=OKAY), Signal.like(self.load), Signal()
        m.d.comb += found.eq(DECODE_ERROR)
        with m.Switch(region):
            with m.Case(0):
                with m.If(self.index < len(self._map.registers)):
                    m.d.comb += found.eq(Mux(writes, SLAVE_ERROR, OKAY))
                for number, register in enumerate(self._loads):
                    with m.If(self.index == register.address // WORD_BYTES):
                        m.d.comb += [
                            found.eq(Mux(writes, OKAY, SLAVE_ERROR)),
                            load[number].eq(writes),
                        ]
            for number, state in enumerate(self._map.states, 1):
                with m.Case(number), m.If(self.index < state.size):
                    m.d.comb += [found.eq(OKAY), is_state.eq(1)]
        broken = writes & ~strobe.all() & (found == OKAY)
        return Mux(broken, SLAVE_ERROR, found), load, is_state
