import pytest

from deltaloom.boards.pll import ecp5_pll, ice40_pll
from deltaloom.compiler.errors import UnsupportedError


@pytest.mark.parametrize("source", [25e6, 100e6])
def test_ecp5_every_megahertz(source):
    for wanted in range(10, 401):
        pll = ecp5_pll(source, wanted * 1e6)
        phase = source / pll.input_divider
        loop = phase * pll.feedback_divider
        oscillator = loop * pll.loop_divider
        assert 3.125e6 <= phase <= 400e6
        assert 10e6 <= loop <= 400e6
        assert 400e6 <= oscillator <= 800e6
        assert 1 <= pll.input_divider <= 128
        assert 1 <= pll.feedback_divider <= 80
        assert 1 <= pll.loop_divider <= 128
        assert 1 <= pll.output_divider <= 128
        assert pll.frequency == pytest.approx(oscillator / pll.output_divider)
        assert 0.98 * wanted <= pll.frequency / 1e6 <= wanted * (1 + 1e-9)


@pytest.mark.parametrize("wanted", [25, 50, 62.5, 80, 96, 100, 120, 125, 150, 160, 200])
def test_ecp5_exact(wanted):
    assert ecp5_pll(25e6, wanted * 1e6).frequency == pytest.approx(wanted * 1e6)


def test_ice40_every_megahertz():
    for wanted in range(16, 276):
        pll = ice40_pll(12e6, wanted * 1e6)
        phase = 12e6 / (pll.divr + 1)
        oscillator = phase * (pll.divf + 1)
        assert 10e6 <= phase <= 133e6
        assert 533e6 <= oscillator <= 1066e6
        assert 0 <= pll.divf <= 127
        assert 1 <= pll.divq <= 6
        assert pll.filter_range == 1
        assert pll.frequency == pytest.approx(oscillator / 2**pll.divq)
        assert 0.94 * wanted <= pll.frequency / 1e6 <= wanted * (1 + 1e-9)


def test_out_of_range():
    with pytest.raises(
        UnsupportedError,
        match=r"^Frequency must be 10 to 400 MHz for the PLL of an ECP5, not 401 MHz$",
    ):
        ecp5_pll(25e6, 401e6)
    with pytest.raises(UnsupportedError, match=r"^Frequency must be 16 to 275 MHz"):
        ice40_pll(12e6, 12e6)
    with pytest.raises(UnsupportedError, match=r"^Input of the PLL must be 8 to 400 MHz"):
        ecp5_pll(1e6, 100e6)
