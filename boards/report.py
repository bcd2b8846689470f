"""What synthesis and place and route say about a design, as numbers."""

import dataclasses
from collections import Counter, defaultdict
from dataclasses import dataclass, field

__all__ = ["Cells", "Report", "count_cells", "read_timing"]

_KINDS = {
    "LUT4": "luts",
    "SB_LUT4": "luts",
    "CCU2C": "carries",
    "SB_CARRY": "carries",
    "TRELLIS_FF": "flip_flops",
    "MULT18X18D": "multipliers",
    "SB_MAC16": "multipliers",
    "DP16KD": "block_rams",
    "SB_SPRAM256KA": "single_port_rams",
    "TRELLIS_DPR16X4": "distributed_rams",
}


def _kind(cell_type):
    if cell_type.startswith("SB_DFF"):
        return "flip_flops"
    if cell_type.startswith("SB_RAM40_4K"):
        return "block_rams"
    return _KINDS.get(cell_type)


@dataclass(frozen=True)
class Cells:
    """Cells of a synthesised design, or of a component of it.

    Attributes
    ----------
    luts : int
        Four-input tables, without those in carry cells.
    carries : int
        Carry cells: CCU2C (two bits and two tables each) or SB_CARRY (one bit).
    flip_flops : int
        Flip-flops in logic cells; registers inside of hard blocks are not counted.
    multipliers : int
        MULT18X18D or SB_MAC16.
    block_rams : int
        DP16KD (18,432 bits) or SB_RAM40_4K (4,096 bits).
    single_port_rams : int
        SB_SPRAM256KA (262,144 bits).
    distributed_rams : int
        TRELLIS_DPR16X4 (64 bits).
    """

    luts: int = 0
    carries: int = 0
    flip_flops: int = 0
    multipliers: int = 0
    block_rams: int = 0
    single_port_rams: int = 0
    distributed_rams: int = 0


def count_cells(module, top="top"):
    """Counts the cells of a flattened module of Yosys' JSON netlist, by component.

    Tables lose their origin in optimisation. They are counted where the nearest register, carry or
    hard block is that they drive, so a border between two components is off by a few tables.

    Parameters
    ----------
    module : dict
        The module, synthesised from text that :func:`.annotate.annotate` made.
    top : str
        Name of the top module in that text.

    Returns
    -------
    total : Cells
    components : dict of str to Cells
        Dotted path below the top -> cells of that component and all inside of it, sorted by path.
    """
    cells = module["cells"]
    homes = {name: _home(name, cell, top) for name, cell in cells.items()}
    readers = {}
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "input":
                for bit in bits:
                    readers.setdefault(bit, []).append(name)
    for name in cells:
        if homes[name] is None:
            _follow(name, cells, readers, homes)

    total, counts = Counter(), defaultdict(Counter)
    for name, cell in cells.items():
        if (kind := _kind(cell["type"])) is None:
            continue
        total[kind] += 1
        path = homes[name].split(".") if homes[name] else []
        for length in range(1, len(path) + 1):
            counts[".".join(path[:length])][kind] += 1
    return Cells(**total), {path: Cells(**counts[path]) for path in sorted(counts)}


def _home(name, cell, top):
    """Path of the component that a cell's source attribute names; None if it names none."""
    if (_kind(cell["type"]) or "").endswith("_rams"):  # named by the path of the memory they hold
        path = name.split(".")
        while path and path[-1].isdigit():
            path.pop()
        return ".".join(path)
    marks = [
        mark[1:].removeprefix(top).removeprefix(".").split(".")
        for mark in cell.get("attributes", {}).get("src", "").split("|")
        if mark.startswith("@")
    ]
    if not marks:
        return None
    shared = marks[0]  # a cell that two components share belongs to what holds both
    for mark in marks[1:]:
        length = 0
        while length < min(len(shared), len(mark)) and shared[length] == mark[length]:
            length += 1
        shared = shared[:length]
    return ".".join(shared)


def _follow(start, cells, readers, homes):
    """Gives a cell, and those that it finds on the way, the home of the nearest cell it drives."""
    trail, seen, name = [], {start}, start
    while homes[name] is None:
        trail.append(name)
        outputs = [
            bit
            for port, bits in cells[name]["connections"].items()
            if cells[name]["port_directions"][port] == "output"
            for bit in bits
        ]
        following = [reader for bit in outputs for reader in readers.get(bit, ())]
        known = [reader for reader in following if homes[reader] is not None]
        unseen = [reader for reader in following if reader not in seen]
        if not known and not unseen:
            break
        name = (known or unseen)[0]
        seen.add(name)
    for passed in trail:
        homes[passed] = homes[name] or ""


def read_timing(report):
    """Speed from nextpnr's JSON report.

    Parameters
    ----------
    report : dict
        What ``--report`` wrote.

    Returns
    -------
    megahertz : float
        Highest frequency of the slowest clock, in MHz; infinite if nothing is clocked.
    constraint : float
        What that clock was asked for, in MHz; 0 if nothing is clocked.
    """
    clocks = report["fmax"].values()
    if not clocks:
        return float("inf"), 0.0
    slowest = min(clocks, key=lambda clock: clock["achieved"] / clock["constraint"])
    return float(slowest["achieved"]), float(slowest["constraint"])


@dataclass(frozen=True)
class Report:
    """Result of a build or a measurement.

    Attributes
    ----------
    board : str
        Name of the board.
    cells : Cells
        Cells of the whole design; of a measurement, without the harness.
    components : dict of str to Cells
        Dotted path -> cells of that component, with all that is inside of it.
    logic_cells : int
        Logic cells that place and route used, packed ones counted once.
    available : dict of str to int
        Cell kind (names as in :class:`Cells`) -> how many the board has.
    mhz : float
        Achieved frequency of the slowest clock, in MHz.
    constraint : float
        Frequency asked of it, in MHz.
    met : bool
        Whether ``mhz`` reaches ``constraint``.
    seed : int
        Seed of place and route.
    packed : dict of str to int
        ECP5: hard-block registers used, see :class:`.registers.PackedRegisters`.
    bitstream : str or None
        Path of the bitstream, if one was made.
    seeds : dict of int to float
        Seed -> achieved MHz, of all seeds tried.
    """

    board: str
    cells: Cells
    components: dict[str, Cells]
    logic_cells: int
    available: dict[str, int]
    mhz: float
    constraint: float
    met: bool
    seed: int
    packed: dict[str, int] = field(default_factory=dict)
    bitstream: str | None = None
    seeds: dict[int, float] = field(default_factory=dict)

    def to_dict(self):
        """The report as plain values, ready for JSON."""
        return dataclasses.asdict(self)
