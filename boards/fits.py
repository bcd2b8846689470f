"""Whether a design fits a board, asked before any tool runs."""

from dataclasses import dataclass
from math import ceil

from ..compiler.errors import DoesNotFitError

__all__ = ["Need", "block_rams", "check_cells", "check_fits"]

# Width of a port -> words, as the memories of the family can be configured with one port to read
# and one to write. An SB_RAM40_4K also does 512x8, 1024x4 and 2048x2.
_GEOMETRIES = {
    "ecp5": {36: 512, 18: 1024, 9: 2048, 4: 4096, 2: 8192, 1: 16384},
    "ice40": {16: 256, 8: 512, 4: 1024, 2: 2048},
}
_PLURALS = {
    "luts": "logic cells",
    "flip_flops": "flip-flops",
    "multipliers": "multipliers",
    "block_rams": "block RAMs",
    "single_port_rams": "single-port RAMs",
}


@dataclass(frozen=True)
class Need:
    """What a design is estimated to take.

    Attributes
    ----------
    luts : int
        Logic cells with a four-input table.
    flip_flops : int
        Flip-flops.
    multipliers : int
        Hard multipliers.
    memories : tuple of (int, int)
        Width in bits and depth in words of every memory that lies in block RAM.
    single_port_rams : int
        Single-port RAMs.
    """

    luts: int = 0
    flip_flops: int = 0
    multipliers: int = 0
    memories: tuple[tuple[int, int], ...] = ()
    single_port_rams: int = 0


def block_rams(width, depth, board):
    """Block RAMs that a memory with one read and one write port takes at most.

    Parameters
    ----------
    width : int
        Bits of a word.
    depth : int
        Words.
    board : Board

    Returns
    -------
    int
    """
    if width < 0 or depth < 0:
        raise ValueError(f"Memory must not have negative size, not {width}x{depth}")
    if width == 0 or depth == 0:
        return 0
    return min(
        ceil(width / port) * ceil(depth / words)
        for port, words in _GEOMETRIES[board.family].items()
    )


def check_fits(need, board):
    """Refuses a design that a board cannot hold. Raises DoesNotFitError, which names what limits.

    Parameters
    ----------
    need : Need
    board : Board
    """
    _check(
        board,
        luts=need.luts,
        flip_flops=need.flip_flops,
        multipliers=need.multipliers,
        block_rams=sum(block_rams(width, depth, board) for width, depth in need.memories),
        single_port_rams=need.single_port_rams,
    )


def check_cells(cells, board):
    """As :func:`check_fits`, of the :class:`.report.Cells` that synthesis made."""
    per_carry, per_ram = (2, 6) if board.family == "ecp5" else (0, 0)
    _check(
        board,
        luts=cells.luts + per_carry * cells.carries + per_ram * cells.distributed_rams,
        flip_flops=cells.flip_flops,
        multipliers=cells.multipliers,
        block_rams=cells.block_rams,
        single_port_rams=cells.single_port_rams,
    )


def _check(board, **needed):
    # The scarcest resource first: it is the one that the remedy has to address.
    excess = {
        name: count / max(getattr(board, name), 0.5)
        for name, count in needed.items()
        if count > getattr(board, name)
    }
    if not excess:
        return
    name = max(excess, key=excess.get)
    remedy = (
        "fewer lanes, narrower weights or a larger board"
        if name.endswith("rams")
        else "fewer lanes or a larger board"
    )
    raise DoesNotFitError(
        f"Board {board.name} has {getattr(board, name):,} {_PLURALS[name]}, "
        f"design needs {needed[name]:,}: {remedy}"
    )
