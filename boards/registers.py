"""Registers around multipliers and block RAMs, moved into the hard blocks of an ECP5 netlist.

Yosys maps a product to a MULT18X18D and a memory to a DP16KD, but leaves the flip-flops around
them in slices. This pass works on the netlist between synthesis and place and route. It absorbs a
flip-flop only where nothing changes but the place of the register: no enable, no reset, initial
value 0, same clock edge.

What the hardware description has to do to profit:

- register both operands and the product of a multiplication, ``reset_less`` and without enable;
- give a register between two hard blocks to one of them only: a block RAM whose output is to feed
  a multiplier at full speed needs two registers, its own and the operand's;
- let nothing but the next register read a product or a block RAM's output. An operand may have
  other readers: its slice register then stays for those.
"""

from collections import defaultdict
from dataclasses import dataclass

__all__ = ["PackedRegisters", "pack_registers"]


@dataclass(frozen=True)
class PackedRegisters:
    """How many hard blocks took up registers.

    Attributes
    ----------
    operands : int
        Multiplier operands (two a multiplier) that are now registered inside.
    products : int
        Multiplier outputs that are now registered inside.
    memories : int
        Block RAM read ports that are now registered inside.
    removed : int
        Flip-flops in slices that are gone.
    """

    operands: int = 0
    products: int = 0
    memories: int = 0
    removed: int = 0


class _Netlist:
    """Who drives and who reads every bit of a flat module of Yosys' JSON netlist."""

    def __init__(self, module):
        self.cells = module["cells"]
        self.readers = defaultdict(set)  # bit -> {(cell name or None, port)}
        self.registers = {}  # Q bit -> cell name
        for name, port in module["ports"].items():
            if port["direction"] != "input":
                for bit in port["bits"]:
                    self.readers[bit].add((None, name))
        for name, cell in self.cells.items():
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] != "output":
                    for bit in bits:
                        self.readers[bit].add((name, port))
            if cell["type"] == "TRELLIS_FF" and _is_plain(cell):
                self.registers[cell["connections"]["Q"][0]] = name

    def connect(self, name, port, bit, direction="input"):
        cell = self.cells[name]
        (old,) = cell["connections"].get(port, [None])
        if direction == "input":
            self.readers[old].discard((name, port))
            self.readers[bit].add((name, port))
        cell["connections"][port] = [bit]
        cell["port_directions"][port] = direction

    def remove(self, name):
        cell = self.cells.pop(name)
        for port, bits in cell["connections"].items():
            for bit in bits:
                self.readers[bit].discard((name, port))
        self.registers.pop(cell["connections"]["Q"][0], None)


def _is_plain(cell):
    """Whether a flip-flop only delays: the one kind that a hard block's own register equals."""
    parameters, wires = cell["parameters"], cell["connections"]
    enabled = parameters.get("CEMUX", "1") == "1" or wires.get("CE", ["1"]) == ["1"]
    return (
        enabled
        and "DI" in wires
        and wires.get("LSR", ["0"]) == ["0"]
        and parameters.get("LSRMUX", "LSR") == "LSR"
        and parameters.get("CLKMUX", "CLK") == "CLK"
        and parameters.get("REGSET", "RESET") == "RESET"
        and parameters.get("GSR", "DISABLED") == "DISABLED"
    )


def _operand_registers(netlist, name, ports):
    """Port -> register for the bits of one operand; None unless every bit is a register or 0."""
    found = {}
    for port in ports:
        (bit,) = netlist.cells[name]["connections"][port]
        if bit in ("0", "x"):
            continue
        if bit not in netlist.registers:
            return None
        found[port] = netlist.registers[bit]
    return found or None


def _result_registers(netlist, name, ports):
    """Port -> register for a block's result; None unless every read bit only feeds a register."""
    found = {}
    for port in ports:
        (bit,) = netlist.cells[name]["connections"].get(port, [None])
        readers = netlist.readers[bit] if bit is not None else ()
        if not readers:
            continue
        if len(readers) != 1:
            return None
        ((reader, reader_port),) = readers
        cell = netlist.cells.get(reader)
        if reader_port != "DI" or netlist.registers.get(cell["connections"]["Q"][0]) != reader:
            return None
        found[port] = reader
    return found or None


def _clock(netlist, registers):
    """The one clock net of some registers, or None."""
    clocks = {netlist.cells[name]["connections"]["CLK"][0] for name in registers.values()}
    return clocks.pop() if len(clocks) == 1 else None


def _absorb_results(netlist, name, registers):
    for port, register in registers.items():
        (bit,) = netlist.cells[register]["connections"]["Q"]
        netlist.remove(register)
        netlist.connect(name, port, bit, "output")


def _pack_multiplier(netlist, name):
    """Number of operands and of products packed, and the flip-flops that may have lost a reader."""
    cell = netlist.cells[name]
    clock, packed, loose = None, {}, set()
    for operand in "AB":
        registers = _operand_registers(netlist, name, [f"{operand}{i}" for i in range(18)])
        if registers and (own := _clock(netlist, registers)) and clock in (None, own):
            clock = own
            packed[operand] = registers
    product = _result_registers(netlist, name, [f"P{i}" for i in range(36)])
    if product and ((own := _clock(netlist, product)) is None or clock not in (None, own)):
        product = None
    if product:
        clock = clock or own
    if clock is None:
        return 0, 0, 0, loose

    for operand, registers in packed.items():
        for port, register in registers.items():
            netlist.connect(name, port, netlist.cells[register]["connections"]["DI"][0])
            loose.add(register)
        cell["parameters"][f"REG_INPUT{operand}_CLK"] = "CLK0"
        cell["parameters"][f"REG_INPUT{operand}_CE"] = "CE0"
        cell["parameters"][f"REG_INPUT{operand}_RST"] = "RST0"
    removed = 0
    if product:
        _absorb_results(netlist, name, product)
        removed = len(product)
        cell["parameters"] |= {
            "REG_OUTPUT_CLK": "CLK0",
            "REG_OUTPUT_CE": "CE0",
            "REG_OUTPUT_RST": "RST0",
        }
    cell["parameters"] |= {"CLK0_DIV": "ENABLED", "GSR": "DISABLED", "RESETMODE": "SYNC"}
    netlist.connect(name, "CLK0", clock)
    for i in range(4):
        netlist.connect(name, f"CE{i}", "1")
        netlist.connect(name, f"RST{i}", "0")
    return len(packed), int(bool(product)), removed, loose


def _pack_memory(netlist, name):
    """Number of read ports of a block RAM packed, and of flip-flops removed."""
    cell = netlist.cells[name]
    wide = int(cell["parameters"]["DATA_WIDTH_A"], 2) == 36  # one read port on both halves, clock B
    ports, removed = 0, 0
    for side, halves in [("B", "AB")] if wide else [("A", "A"), ("B", "B")]:
        if cell["parameters"].get(f"CLK{side}MUX") != f"CLK{side}":
            continue
        if cell["connections"].get(f"RST{side}") != ["0"]:
            continue
        results = _result_registers(
            netlist, name, [f"DO{half}{i}" for half in halves for i in range(18)]
        )
        if not results or _clock(netlist, results) != cell["connections"][f"CLK{side}"][0]:
            continue
        _absorb_results(netlist, name, results)
        for half in halves:
            cell["parameters"][f"REGMODE_{half}"] = "OUTREG"
            netlist.connect(name, f"OCE{half}", "1")
        ports += 1
        removed += len(results)
    return ports, removed


def pack_registers(module):
    """Moves flip-flops into the MULT18X18D and DP16KD cells of a flat module, in place.

    Parameters
    ----------
    module : dict
        A module of Yosys' JSON netlist after ``synth_ecp5``.

    Returns
    -------
    PackedRegisters
    """
    netlist = _Netlist(module)
    operands = products = memories = removed = 0
    loose = set()
    for name in [n for n, cell in netlist.cells.items() if cell["type"] == "DP16KD"]:
        ports, gone = _pack_memory(netlist, name)
        memories += ports
        removed += gone
    for name in [n for n, cell in netlist.cells.items() if cell["type"] == "MULT18X18D"]:
        inside, outside, gone, unread = _pack_multiplier(netlist, name)
        operands += inside
        products += outside
        removed += gone
        loose |= unread
    for name in loose & netlist.cells.keys():
        if not netlist.readers[netlist.cells[name]["connections"]["Q"][0]]:
            netlist.remove(name)
            removed += 1
    _forget_dead_names(module)
    return PackedRegisters(operands, products, memories, removed)


def _forget_dead_names(module):
    """Drops names of nets that no cell or port touches any more, or the router would keep them."""
    alive = {
        bit
        for cell in module["cells"].values()
        for bits in cell["connections"].values()
        for bit in bits
    }
    alive |= {bit for port in module["ports"].values() for bit in port["bits"]}
    names = module["netnames"]
    for name in [n for n, net in names.items() if not alive.intersection(net["bits"])]:
        del names[name]
