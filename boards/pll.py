"""Settings of the clock multipliers: ECP5's EHXPLLL and iCE40's SB_PLL40_PAD."""

from dataclasses import dataclass

from ..compiler.errors import UnsupportedError

__all__ = ["Ecp5Pll", "Ice40Pll", "ecp5_pll", "ice40_pll"]

# Limits in Hz.
_ECP5_INPUT = (8_000_000, 400_000_000)
_ECP5_PHASE = (3_125_000, 400_000_000)
_ECP5_OSCILLATOR = (400_000_000, 800_000_000)
_ECP5_OUTPUT = (10_000_000, 400_000_000)
_ICE40_PHASE = (10_000_000, 133_000_000)
_ICE40_OSCILLATOR = (533_000_000, 1_066_000_000)
_ICE40_OUTPUT = (16_000_000, 275_000_000)


@dataclass(frozen=True)
class Ecp5Pll:
    """Dividers of an EHXPLLL: CLKOP closes the loop, CLKOS is the clock that is used.

    Attributes
    ----------
    input_divider, feedback_divider : int
        CLKI_DIV and CLKFB_DIV: CLKOP runs at input / CLKI_DIV * CLKFB_DIV.
    loop_divider : int
        CLKOP_DIV: the oscillator runs at that times CLKOP.
    output_divider : int
        CLKOS_DIV: what is used runs at the oscillator's frequency over that.
    frequency : float
        Of the output, in Hz.
    """

    input_divider: int
    feedback_divider: int
    loop_divider: int
    output_divider: int
    frequency: float


@dataclass(frozen=True)
class Ice40Pll:
    """Dividers of an SB_PLL40_PAD with simple feedback.

    Attributes
    ----------
    divr, divf, divq : int
        Output = input / (divr + 1) * (divf + 1) / 2 ** divq.
    filter_range : int
        FILTER_RANGE for the phase detector's frequency.
    frequency : float
        Of the output, in Hz.
    """

    divr: int
    divf: int
    divq: int
    filter_range: int
    frequency: float


def _within(value, limits):
    return limits[0] <= value <= limits[1]


def _best(candidates, asked, limits, name):
    """The highest frequency not above what was asked; of equals, the first."""
    if not _within(asked, limits):
        low, high = (limit // 1_000_000 for limit in limits)
        raise UnsupportedError(
            f"Frequency must be {low} to {high} MHz for the PLL of {name}, not {asked / 1e6:g} MHz"
        )
    below = [pll for pll in candidates if pll.frequency <= asked * (1 + 1e-9)]
    if not below:
        raise UnsupportedError(f"The PLL of {name} cannot make {asked / 1e6:g} MHz or just below")
    return max(below, key=lambda pll: pll.frequency)


def ecp5_pll(source, frequency):
    """Settings for a frequency.

    Parameters
    ----------
    source : float
        Input clock, in Hz.
    frequency : float
        Wanted clock, in Hz: 10 to 400 MHz.

    Returns
    -------
    Ecp5Pll
        With the highest frequency that can be made and is not above ``frequency``.

    Raises
    ------
    UnsupportedError
        Out of range.
    """
    if not _within(source, _ECP5_INPUT):
        raise UnsupportedError(f"Input of the PLL must be 8 to 400 MHz, not {source / 1e6:g} MHz")

    def candidates():
        for divider in range(1, 129):
            phase = source / divider
            if not _within(phase, _ECP5_PHASE):
                continue
            for multiple in range(1, 801):
                oscillator = phase * multiple
                if not _within(oscillator, _ECP5_OSCILLATOR):
                    continue
                output = next(
                    (o for o in range(1, 129) if oscillator / o <= frequency * (1 + 1e-9)), 0
                )
                if not output or not _within(oscillator / output, (_ECP5_OUTPUT[0] * 0.9, 4e8)):
                    continue
                loops = [
                    loop
                    for loop in range(1, 129)
                    if multiple % loop == 0
                    and multiple // loop <= 80
                    and _within(oscillator / loop, _ECP5_OUTPUT)
                ]
                if loops:
                    loop = loops[0]
                    yield Ecp5Pll(divider, multiple // loop, loop, output, oscillator / output)

    return _best(candidates(), frequency, _ECP5_OUTPUT, "an ECP5")


def ice40_pll(source, frequency):
    """Settings for a frequency, as :func:`ecp5_pll`: 16 to 275 MHz."""

    def candidates():
        for divr in range(16):
            phase = source / (divr + 1)
            if not _within(phase, _ICE40_PHASE):
                continue
            for divf in range(128):
                oscillator = phase * (divf + 1)
                if not _within(oscillator, _ICE40_OSCILLATOR):
                    continue
                for divq in range(1, 7):
                    output = oscillator / 2**divq
                    if _within(output, (_ICE40_OUTPUT[0] * 0.95, _ICE40_OUTPUT[1])):
                        yield Ice40Pll(divr, divf, divq, _filter_range(phase), output)

    return _best(candidates(), frequency, _ICE40_OUTPUT, "an iCE40")


def _filter_range(phase):
    limits = [17e6, 26e6, 44e6, 66e6, 101e6]
    return 1 + sum(phase >= limit for limit in limits)
