"""What surrounds an accelerator on a board: clock, reset and serial line."""

from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    Elaboratable,
    Instance,
    Module,
    ResetInserter,
    ResetSignal,
    Signal,
)
from amaranth.lib import io
from amaranth.lib.cdc import ResetSynchronizer

from ..compiler.errors import UnsupportedError
from .bridge import Bridge, connect_accelerator
from .pll import ecp5_pll, ice40_pll
from .uart import divisor

__all__ = ["Shell"]

_START = 255  # cycles


class Shell(Elaboratable):
    """Top level of a board: an accelerator behind a UART bridge.

    Parameters
    ----------
    accelerator : wiring.Component
        With the members that :class:`.bridge.Bridge` names; becomes the submodule ``accelerator``.
    board : Board
    frequency : float, optional
        Clock in MHz; left out, that of the board's oscillator. A PLL makes the highest frequency
        that it can and that is not above.
    baud : int
        Bits a second on the serial line.

    Attributes
    ----------
    frequency : float
        The clock that was chosen, in Hz.
    """

    def __init__(self, accelerator, board, *, frequency=None, baud=115_200):
        self._accelerator = accelerator
        self._board = board
        self._pll = None
        self.frequency = float(board.oscillator)
        if frequency is not None and round(frequency * 1e6) != board.oscillator:
            make = {"ecp5": ecp5_pll, "ice40": ice40_pll}[board.family]
            self._pll = make(board.oscillator, frequency * 1e6)
            self.frequency = self._pll.frequency
        beats = {}
        for name in ("s_axis_tdata", "m_axis_tdata"):
            width = len(getattr(accelerator, name))
            if width % 8 or not 8 <= width <= 64:
                raise UnsupportedError(f"Member {name} must be 1 to 8 bytes wide, not {width} bits")
            beats[name] = width // 8
        address = getattr(accelerator, "s_axil_awaddr", ())
        self._bridge = Bridge(
            beats["s_axis_tdata"],
            beats["m_axis_tdata"],
            divisor(self.frequency, baud),
            address_bits=len(address),
        )

    def elaborate(self, platform):
        m = Module()
        bridge, inner = self._bridge, self._accelerator
        m.submodules.bridge = bridge
        m.submodules.accelerator = ResetInserter(bridge.reset)(inner)
        connect_accelerator(m, bridge, inner)
        if platform is None:
            return m

        port = platform.request("uart", 0, dir="-")
        m.submodules.rx = rx = io.Buffer("i", port.rx)
        m.submodules.tx = tx = io.Buffer("o", port.tx)
        m.d.comb += [bridge.rx.eq(rx.i), tx.o.eq(bridge.tx)]
        self._clock(m, platform)
        return m

    def _clock(self, m, platform):
        """Clock and reset, not the platform's: its global reset would keep registers in slices."""
        clock, locked = Signal(), Signal()
        pad = platform.request(platform.default_clk, dir="-")
        pll = self._pll
        if pll is None:
            m.submodules.clock = buffer = io.Buffer("i", pad)
            m.d.comb += [clock.eq(buffer.i), locked.eq(1)]
        elif self._board.family == "ecp5":
            m.submodules.clock = buffer = io.Buffer("i", pad)
            feedback = Signal()
            m.submodules.pll = Instance(
                "EHXPLLL",
                a_FREQUENCY_PIN_CLKI=f"{self._board.oscillator / 1e6:g}",
                p_CLKI_DIV=pll.input_divider,
                p_CLKFB_DIV=pll.feedback_divider,
                p_CLKOP_ENABLE="ENABLED",
                p_CLKOP_DIV=pll.loop_divider,
                p_CLKOP_CPHASE=pll.loop_divider - 1,
                p_CLKOP_FPHASE=0,
                p_CLKOS_ENABLE="ENABLED",
                p_CLKOS_DIV=pll.output_divider,
                p_CLKOS_CPHASE=pll.output_divider - 1,
                p_CLKOS_FPHASE=0,
                p_FEEDBK_PATH="CLKOP",
                p_OUTDIVIDER_MUXA="DIVA",
                p_OUTDIVIDER_MUXB="DIVB",
                p_INTFB_WAKE="DISABLED",
                p_STDBY_ENABLE="DISABLED",
                p_DPHASE_SOURCE="DISABLED",
                p_PLLRST_ENA="DISABLED",
                a_ICP_CURRENT="12",
                a_LPF_RESISTOR="8",
                a_MFG_ENABLE_FILTEROPAMP="1",
                a_MFG_GMCREF_SEL="2",
                i_CLKI=buffer.i,
                i_CLKFB=feedback,
                i_RST=0,
                i_STDBY=0,
                i_PHASESEL0=0,
                i_PHASESEL1=0,
                i_PHASEDIR=0,
                i_PHASESTEP=0,
                i_PHASELOADREG=0,
                i_PLLWAKESYNC=0,
                i_ENCLKOP=0,
                i_ENCLKOS=0,
                o_CLKOP=feedback,
                o_CLKOS=clock,
                o_LOCK=locked,
            )
        else:
            m.submodules.pll = Instance(
                "SB_PLL40_PAD",
                p_FEEDBACK_PATH="SIMPLE",
                p_PLLOUT_SELECT="GENCLK",
                p_DIVR=pll.divr,
                p_DIVF=pll.divf,
                p_DIVQ=pll.divq,
                p_FILTER_RANGE=pll.filter_range,
                io_PACKAGEPIN=pad.io,
                i_RESETB=1,
                i_BYPASS=0,
                o_PLLOUTGLOBAL=clock,
                o_LOCK=locked,
            )
        # Block RAMs of an iCE40 cannot be read in the first 3 us: reset lasts 255 cycles at least.
        m.domains.sync = ClockDomain("sync")
        m.domains.start = ClockDomain("start", local=True)
        m.d.comb += [ClockSignal("sync").eq(clock), ClockSignal("start").eq(clock)]
        m.submodules.start = ResetSynchronizer(~locked, domain="start")
        waited = Signal(range(_START + 1))
        m.d.comb += ResetSignal("sync").eq(waited != _START)
        with m.If(waited != _START):
            m.d.start += waited.eq(waited + 1)
