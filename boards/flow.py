"""From a component to a bitstream, or to its speed and size alone."""

import dataclasses
import json
from pathlib import Path

from amaranth.back import rtlil

from .annotate import annotate
from .fits import check_cells
from .harness import Harness
from .registers import pack_registers
from .report import Cells, Report, count_cells, read_timing
from .shell import Shell
from .tools import digest, run_step, run_tool

__all__ = ["build", "constraints", "measure", "synthesise"]

_SYNTHESIS = {
    "ecp5": "synth_ecp5 -top top",
    "ice40": "synth_ice40 -device u -dsp -spram -top top",
}
_TARGETS = {"ecp5": 200.0, "ice40": 48.0}  # MHz that a measurement aims at unless told


@dataclasses.dataclass(frozen=True)
class _Run:
    """One place and route: where its files are, and what it reached."""

    key: str
    seed: int
    routed: str
    mhz: float
    constraint: float
    logic_cells: int


def build(component, board, folder, *, frequency=None, seed=1, progress=None):
    """Makes a board's bitstream: clock, reset and UART bridge around an accelerator.

    Parameters
    ----------
    component : wiring.Component
        The accelerator; ports as :class:`.bridge.Bridge` names them.
    board : Board
        See :func:`.catalogue.get`.
    folder : Path
        Where everything goes: netlist, reports, the tools' logs and the bitstream, ``top.bit`` or
        ``top.bin``. A step whose inputs are unchanged is not run again.
    frequency : float, optional
        Clock of the accelerator in MHz, made by a PLL (the nearest below that it can make). Left
        out: the board's oscillator.
    seed : int
        Seed of place and route.
    progress : callable, optional
        See :func:`.tools.run_step`.

    Returns
    -------
    Report
        With ``met`` False if the clock is faster than the design.

    Raises
    ------
    ToolMissingError
        A tool or amaranth-boards is not installed.
    UnsupportedError
        The board's PLL cannot make the frequency.
    DoesNotFitError
        The design is larger than the device.
    """
    folder = Path(folder)
    shell = Shell(component, board, frequency=frequency)
    text, pins = _prepare(shell, board)
    synthesised = _synthesise(board, folder, text, progress)
    run = _place(
        board,
        folder,
        synthesised,
        frequency=shell.frequency / 1e6,
        seed=seed,
        pins=pins,
        progress=progress,
    )
    bitstream = _pack(board, folder, run, progress)
    cells, components, packed = _read_synthesis(folder)
    return _report(board, run, cells, components, packed, bitstream=str(bitstream))


def constraints(component, board):
    """Name and text of a board's constraint file: pins, and the oscillator's frequency."""
    return _prepare(Shell(component, board), board)[1]


def _prepare(shell, board):
    """RTLIL of a board's top level; name and text of its constraint file."""
    files = board.open_platform().prepare(shell, "top").files
    pins = "top.lpf" if board.family == "ecp5" else "top.pcf"
    return files["top.il"], (pins, files[pins])


def measure(component, board, folder, *, frequency=None, seeds=(1,), progress=None):
    """Measures a component alone: its cells, and the frequency that it reaches.

    Its ports sit between two shift registers (:class:`.harness.Harness`), which are not counted.

    Parameters
    ----------
    component : wiring.Component
        Any component with plain ports and the ``sync`` domain.
    board : Board
        See :func:`.catalogue.get`.
    folder : Path
        Where netlist, reports and logs go. A step whose inputs are unchanged is not run again.
    frequency : float, optional
        What place and route aims at, in MHz; left out, 200 for an ECP5 and 48 for an iCE40.
    seeds : sequence of int
        Seeds of place and route; the report is that of the fastest, and names all.
    progress : callable, optional
        See :func:`.tools.run_step`.

    Returns
    -------
    Report
    """
    if not seeds:
        raise ValueError("Seeds must not be empty")
    folder = Path(folder)
    frequency = frequency or _TARGETS[board.family]
    synthesised = _synthesise(board, folder, _alone(component), progress)
    runs = [
        _place(board, folder, synthesised, frequency=frequency, seed=seed, progress=progress)
        for seed in seeds
    ]
    total, design, inside, packed = _without_harness(folder)
    best = max(runs, key=lambda run: run.mhz)
    # A flip-flop of the harness shares its logic cell with the table in front of it.
    harness = max(total.flip_flops - design.flip_flops, total.luts - design.luts)
    best = dataclasses.replace(best, logic_cells=best.logic_cells - harness)
    seeds = {run.seed: run.mhz for run in runs}
    return _report(board, best, design, inside, packed, seeds=seeds)


def synthesise(component, board, folder, *, progress=None):
    """Cells of a component alone, as :func:`measure` counts them, without place and route.

    Parameters
    ----------
    component, board, folder, progress
        As :func:`measure` takes them.

    Returns
    -------
    Cells
    """
    folder = Path(folder)
    _synthesise(board, folder, _alone(component), progress)
    return _without_harness(folder)[1]


def _alone(component):
    """RTLIL of a component between shift registers."""
    return rtlil.convert(Harness(component), name="top", emit_src=False)


def _without_harness(folder):
    """Cells in all, of the component and of its parts by path; what was packed."""
    total, components, packed = _read_synthesis(folder)
    design = components.pop("design", Cells())
    inside = {
        path.removeprefix("design."): cells
        for path, cells in components.items()
        if path.startswith("design.")
    }
    return total, design, inside, packed


def _report(board, run, cells, components, packed, **others):
    return Report(
        board=board.name,
        cells=cells,
        components=components,
        logic_cells=run.logic_cells,
        available={
            kind.name: getattr(board, kind.name)
            for kind in dataclasses.fields(Cells)
            if hasattr(board, kind.name)
        },
        mhz=run.mhz,
        constraint=run.constraint,
        met=run.mhz >= run.constraint,
        seed=run.seed,
        packed=packed,
        **{"seeds": {run.seed: run.mhz}, **others},
    )


def _synthesise(board, folder, text, progress):
    """Netlist ``top.json`` with its registers packed; the key of the step."""
    folder.mkdir(parents=True, exist_ok=True)
    script = _SYNTHESIS[board.family]
    text = annotate(text)

    def action(aside):
        (aside / "top.il").write_text(text)
        there = aside.name
        commands = f"read_rtlil {there}/top.il; hierarchy -top top; {script} -json {there}/top.json"
        run_tool("yosys", ["-p", commands], folder)
        module = json.loads((aside / "top.json").read_text())["modules"]["top"]
        packed = pack_registers(module) if board.family == "ecp5" else None
        # The library's cells came along as black boxes; place and route has its own.
        (aside / "top.json").write_text(json.dumps({"modules": {"top": module}}))
        total, components = count_cells(module)
        summary = {
            "total": dataclasses.asdict(total),
            "components": {path: dataclasses.asdict(cells) for path, cells in components.items()},
            "packed": dataclasses.asdict(packed) if packed else {},
        }
        (aside / "top.synthesis.json").write_text(json.dumps(summary, indent=1))

    key = digest("synthesis 1", script, text)
    products = ["top.il", "top.json", "top.synthesis.json"]
    run_step("synthesis", folder, key, products, action, progress)
    check_cells(_read_synthesis(folder)[0], board)
    return key


def _read_synthesis(folder):
    summary = json.loads((folder / "top.synthesis.json").read_text())
    components = {path: Cells(**cells) for path, cells in summary["components"].items()}
    return Cells(**summary["total"]), components, summary["packed"]


def _place(board, folder, synthesised, *, frequency, seed, pins=None, progress=None):
    ecp5 = board.family == "ecp5"
    routed = f"seed-{seed}.{'config' if ecp5 else 'asc'}"
    report = f"seed-{seed}.report.json"
    arguments = [*board.options, "--json", "top.json", "--seed", seed, "--freq", frequency]
    arguments += ["--timing-allow-fail", "--quiet"]
    constraints = "--lpf" if ecp5 else "--pcf"

    def action(aside):
        outputs = ["--report", f"{aside.name}/{report}"]
        outputs += ["--textcfg" if ecp5 else "--asc", f"{aside.name}/{routed}"]
        if pins:
            (folder / pins[0]).write_text(pins[1])
            outputs += [constraints, pins[0]]
        else:
            outputs += [f"{constraints}-allow-unconstrained"]
        run_tool(f"nextpnr-{board.family}", arguments + outputs, folder)

    key = digest("place 1", synthesised, *arguments, *(pins or ()))
    run_step(f"place-{seed}", folder, key, [report, routed], action, progress)
    result = json.loads((folder / report).read_text())
    mhz, constraint = read_timing(result)
    used = result["utilization"]["TRELLIS_COMB" if ecp5 else "ICESTORM_LC"]["used"]
    return _Run(key, seed, routed, mhz, constraint, used)


def _pack(board, folder, run, progress):
    ecp5 = board.family == "ecp5"
    product = "top.bit" if ecp5 else "top.bin"

    def action(aside):
        made = f"{aside.name}/{product}"
        if ecp5:
            run_tool("ecppack", ["--compress", "--input", run.routed, "--bit", made], folder)
        else:
            run_tool("icepack", [run.routed, made], folder)

    run_step("bitstream", folder, digest("bitstream 1", run.key), [product], action, progress)
    return folder / product
