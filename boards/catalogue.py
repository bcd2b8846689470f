"""The boards that Deltaloom builds for, and what their devices hold."""

from dataclasses import dataclass

from ..compiler.errors import ToolMissingError, UnsupportedError

__all__ = ["Board", "get", "names"]


@dataclass(frozen=True)
class Board:
    """One board and the resources of its device.

    Attributes
    ----------
    name : str
        Name in our catalogue.
    family : str
        ``"ecp5"`` or ``"ice40"``.
    device, package, speed : str
        As the device's vendor names them.
    luts : int
        Logic cells with a four-input table.
    flip_flops : int
        Flip-flops beside those tables.
    multipliers : int
        MULT18X18D (18x18) or SB_MAC16 (16x16).
    block_rams : int
        DP16KD or SB_RAM40_4K.
    block_ram_bits : int
        Bits in one of them.
    single_port_rams : int
        SB_SPRAM256KA, 16 bits wide; they have no initial content.
    single_port_ram_bits : int
        Bits in one of them.
    oscillator : int
        Frequency of the oscillator on the board, in Hz.
    uart : tuple of str
        Package pins of the serial port: data into the device, data out of it.
    platform : str
        ``module:class`` of the pins in amaranth-boards.
    options : tuple of str
        Device options of nextpnr.
    """

    name: str
    family: str
    device: str
    package: str
    speed: str
    luts: int
    flip_flops: int
    multipliers: int
    block_rams: int
    block_ram_bits: int
    single_port_rams: int
    single_port_ram_bits: int
    oscillator: int
    uart: tuple[str, str]
    platform: str
    options: tuple[str, ...]

    def open_platform(self):
        """A new amaranth-boards platform: pins and their constraints. Raises ToolMissingError."""
        from importlib import import_module

        module, name = self.platform.split(":")
        try:
            return getattr(import_module(module), name)()
        except ModuleNotFoundError as error:
            raise ToolMissingError(
                f"Board {self.name} needs amaranth-boards: pip install deltaloom[boards]"
            ) from error


def _ulx3s(size, luts, multipliers, block_rams):
    return Board(
        name=f"ulx3s_{size}f",
        family="ecp5",
        device=f"LFE5U-{size}F",
        package="CABGA381",
        speed="6",
        luts=luts,
        flip_flops=luts,
        multipliers=multipliers,
        block_rams=block_rams,
        block_ram_bits=18_432,
        single_port_rams=0,
        single_port_ram_bits=0,
        oscillator=25_000_000,
        uart=("M1", "L4"),
        platform=f"amaranth_boards.ulx3s:ULX3S_{size}F_Platform",
        options=(f"--{size}k", "--package", "CABGA381", "--speed", "6"),
    )


_BOARDS = {
    board.name: board
    for board in [
        Board(
            name="icebreaker",
            family="ice40",
            device="iCE40UP5K",
            package="SG48",
            speed="",
            luts=5_280,
            flip_flops=5_280,
            multipliers=8,
            block_rams=30,
            block_ram_bits=4_096,
            single_port_rams=4,
            single_port_ram_bits=262_144,
            oscillator=12_000_000,
            uart=("6", "9"),
            platform="amaranth_boards.icebreaker:ICEBreakerPlatform",
            options=("--up5k", "--package", "sg48"),
        ),
        _ulx3s(25, 24_288, 28, 56),
        _ulx3s(85, 83_640, 156, 208),
    ]
}


def names():
    """Names of all boards, sorted."""
    return sorted(_BOARDS)


def get(name):
    """The board of that name. Raises UnsupportedError, which names those there are."""
    try:
        return _BOARDS[name]
    except (KeyError, TypeError):
        raise UnsupportedError(f"Board must be one of {', '.join(names())}, not {name!r}") from None
