"""A simulated board behind an object that looks like a serial port."""

from collections import deque

from amaranth.hdl import Module, ResetInserter
from amaranth.sim import Simulator

from deltaloom.boards.bridge import Bridge, connect_accelerator

CYCLES = 4  # clock cycles a bit


def bridged(accelerator, input_bytes=1, output_bytes=2, address_bits=0):
    """An accelerator behind a bridge, as the shell connects them; returns (module, bridge)."""
    m = Module()
    m.submodules.bridge = bridge = Bridge(input_bytes, output_bytes, CYCLES, address_bits)
    m.submodules.accelerator = ResetInserter(bridge.reset)(accelerator)
    connect_accelerator(m, bridge, accelerator)
    return m, bridge


class Line:
    """A serial port: what is written is sent bit by bit into a running simulation.

    ``spoil(index, byte)`` may change a byte on the way to the board (None drops it);
    ``spoil_back`` the same on the way back.
    """

    def __init__(self, accelerator, *, spoil=None, spoil_back=None, **widths):
        self.spoil = spoil or (lambda index, byte: byte)
        self.spoil_back = spoil_back or (lambda index, byte: byte)
        self._module, self._bridge = bridged(accelerator, **widths)
        self._sent = self._received = 0
        self._to_board = deque()
        self._from_board = bytearray()
        self._simulator = Simulator(self._module)
        self._simulator.add_clock(1e-6)
        self._simulator.add_testbench(self._send, background=True)
        self._simulator.add_testbench(self._receive, background=True)
        self._time = 0.0

    async def _send(self, ctx):
        while True:
            if not self._to_board:
                await ctx.tick()
                continue
            byte = self._to_board[0]
            bits = byte if isinstance(byte, list) else [0, *(byte >> k & 1 for k in range(8)), 1]
            for bit in bits:
                ctx.set(self._bridge.rx, bit)
                for _ in range(CYCLES):
                    await ctx.tick()
            self._to_board.popleft()

    async def _receive(self, ctx):
        while True:
            while ctx.get(self._bridge.tx):
                await ctx.tick()
            bits = []
            for k in range(10 * CYCLES):
                if k % CYCLES == CYCLES // 2:
                    bits.append(ctx.get(self._bridge.tx))
                await ctx.tick()
            assert (bits[0], bits[9]) == (0, 1)
            byte = sum(bit << k for k, bit in enumerate(bits[1:9]))
            byte = self.spoil_back(self._received, byte)
            self._received += 1
            if byte is not None:
                self._from_board.append(byte)

    def write(self, data):
        for byte in data:
            spoiled = self.spoil(self._sent, byte)
            self._sent += 1
            if spoiled is not None:
                self._to_board.append(spoiled)

    def bits(self, bits):
        """Sends bits as they are: a broken byte, a break."""
        self._to_board.append(list(bits))

    def advance(self, cycles):
        self._time += cycles * 1e-6
        self._simulator.run_until(self._time)

    def read(self, count):
        """At most that many bytes, or none after a while of simulated silence."""
        silence = 0
        while not self._from_board and silence < 3000:
            silence = 0 if self._to_board else silence + 100
            self.advance(100)
        taken, self._from_board = bytes(self._from_board[:count]), self._from_board[count:]
        return taken
