"""Designs: a quantized model folded on hardware, to simulate, to check, to write and to build."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import amaranth.back.rtlil
import amaranth.back.verilog
import numpy as np

from . import project
from .boards import budget, catalogue, flow
from .boards.catalogue import Board
from .boards.report import Report
from .compiler.address_map import AddressMap
from .compiler.errors import DeltaloomError, UnsupportedError
from .compiler.schedule import DEFAULT_LANES, Schedule, schedule
from .compiler.states import quantize_states
from .compiler.target import GENERIC
from .connection import Connection
from .hw.accelerator import Accelerator
from .model import QuantizedModel
from .sim import (
    activity,
    cxxrtl,
    icarus,
    pysim,
    result,
    tools,
    verilator,
)
from .sim.choice import fastest
from .sim.experiment import Experiment
from .sim.regression import Check, regress
from .sim.result import Run
from .sim.stimulus import Ports, Simulator

__all__ = ["Check", "Design", "generate"]

Progress = Callable[[str], None]

REGRESSION_CYCLES = 10_000  # about as many as it takes


class Design:
    """A model on a number of lanes.

    Parameters
    ----------
    model : QuantizedModel
        What is computed.
    schedule : Schedule
        How each layer is folded.
    board : Board, optional
        What it is for; None for plain Verilog.
    """

    def __init__(self, model: QuantizedModel, schedule: Schedule, board: Board | None = None):
        self.model = model
        self.schedule = schedule
        self.board = board
        self.folder: Path | None = None

    @property
    def ports(self) -> Ports:
        """Widths of the data ports."""
        network = self.model.network
        address_bits = self.addresses.address_bits if self.addresses else 0
        return Ports(network.port_width, network.output_format.byte_width, address_bits)

    @functools.cached_property
    def addresses(self) -> AddressMap | None:
        """Where registers and states are, if it has any."""
        return AddressMap.of(self.model.network) if self.schedule.registers else None

    def component(self) -> Accelerator:
        """A new Amaranth component of the whole accelerator."""
        return Accelerator(self.model.network, self.schedule)

    @functools.cached_property
    def rtlil(self) -> str:
        """The design for Yosys; the same design gives the same text."""
        return amaranth.back.rtlil.convert(self.component(), name="top", emit_src=False)

    @functools.cached_property
    def verilog(self) -> str:
        """The design in Verilog; the same design gives the same text."""
        # What amaranth.back.verilog.convert does, without elaborating the design once more.
        return amaranth.back.verilog._convert_rtlil_text(self.rtlil)

    def simulate(
        self,
        x: Any,
        simulator: str | None = None,
        *,
        memory: Any = None,
        states: Any = None,
        vcd: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> Run:
        """Run sequences back to back, cycle by cycle, and check every bit and cycle of it.

        With ``states``, the registers load them before each sequence, and read all states after
        it and the counters in the end.

        Parameters
        ----------
        x : array or list of arrays
            As :class:`QuantizedModel` takes it.
        simulator : str, optional
            ``cxxrtl``, ``verilator``, ``icarus``, ``pysim``, or ``model``: the cycle model alone.
            Left out: the one that is done first.
        memory : array or list of arrays, optional
            As :class:`QuantizedModel` takes it. The sequences of a pair follow each other.
        states : mapping of str to mapping of str to array, optional
            As :class:`QuantizedModel` takes it; an empty one loads nothing and reads all. The
            design needs registers for it.
        vcd : path, optional
            Where to write a wave dump.
        progress : callable, optional
            Told in a few words what a long build is doing.

        Raises
        ------
        MismatchError
            If the hardware differs from golden model or cycle model.
        ToolMissingError
            If the simulator is not installed.
        """
        network = self.model.network
        sequences = self.model.quantize_input(x, memory)
        self.check_states(states)
        given, cut = quantize_states(network, states, len(x))
        read = None if states is None else np.ones(len(x), dtype=bool)
        experiment = Experiment(network, sequences, given, read)
        predicted, stimulus = experiment.predict(self.schedule)
        total = int(predicted.delivered[-1]) + 1
        name = simulator or self._fastest(total)
        if name == "model":
            if vcd is not None:
                raise DeltaloomError("Wave dump needs a simulator; the cycle model has no waves")
            delivered = predicted.delivered
        else:
            device = self.device(name, progress)
            waves = None if vcd is None else Path(vcd)
            delivered = experiment.run(name, device, predicted, stimulus, waves).delivered
        return self._result(x, experiment, predicted, delivered, name, cut)

    def check_states(self, states: Any) -> None:
        """Raise unless states may be given: even none, which asks for those that are left."""
        if states is not None and not self.schedule.registers:
            raise UnsupportedError(
                "States are loaded and read by registers, which this design was generated without: "
                "generate it with registers=True"
            )

    def _result(self, x, experiment, predicted, delivered, name, cut) -> Run:
        network, expected, lengths = self.model.network, experiment.expected, experiment.lengths
        used, skipped = result.summarize(
            network, self.schedule, expected.traces, lengths, predicted
        )
        steps = [len(values) for values in expected.outputs]
        step_ends = delivered[network.output_size - 1 :: network.output_size]
        by_sequence = np.split(step_ends, np.cumsum(steps)[:-1])
        sizes = [taken.size for taken in network.inputs.values()]
        beats = np.array(lengths).reshape(-1, len(sizes)) @ sizes
        starts = np.cumsum([0, *beats[:-1]])
        ends = np.array([times[-1] for times in by_sequence])
        integers = self.model.shape_outputs(expected.outputs, x)
        ragged = isinstance(x, list | tuple) and not network.once
        return Run(
            outputs=self.model.to_float(integers),
            integers=integers,
            cycles=ends - predicted.accepted[starts] + 1,
            step_cycles=by_sequence if ragged else np.stack(by_sequence),
            utilization=used,
            skipped=skipped,
            activity=activity.measure(
                network, expected.traces, lengths, self.schedule, int(delivered[-1]) + 1
            ),
            saturated={
                layer: {node: count for node, count in trace.saturated.items() if count}
                | {f"given {s}": count for s, count in cut.get(layer, {}).items() if count}
                for layer, trace in expected.traces.items()
            },
            states=self.model.states_to_float(expected.states),
            integer_states=expected.states,
            simulator=name,
            total_cycles=int(delivered[-1]) + 1,
        )

    def device(self, name: str, progress: Progress | None = None) -> Simulator:
        """A simulator of the design by its name, which builds what it needs when it first runs."""
        try:
            tools.require(name)
        except ValueError as error:
            raise DeltaloomError(str(error)) from None
        match name:
            case "pysim":
                return pysim.build(self.component(), self.ports)
            case "cxxrtl":
                return cxxrtl.Cxxrtl(self.rtlil, self.ports, progress=progress)
            case "verilator":
                return verilator.Verilated(
                    lambda: self.verilog, self.ports, identity=self.rtlil, progress=progress
                )
            case "icarus":
                return icarus.build(self.verilog, self.ports, progress=progress)
        raise AssertionError(name)

    def _fastest(self, total: int) -> str:
        """The simulator that is done first with so many cycles."""

        def is_built(name: str) -> bool:
            return name in ("cxxrtl", "verilator") and self.device(name).is_built()

        return fastest(self.rtlil, total, is_built)

    def regress(
        self,
        simulators: Sequence[str] | None = None,
        *,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Check:
        """Hold the hardware to its model on random sequences, flowing and with random stalls.

        With registers, some sequences start from random states, and states are read between them.

        Parameters
        ----------
        simulators : sequence of str, optional
            As in :meth:`simulate`. Left out: the fastest one.
        seed : int
            Seed of sequences and stalls.
        """
        names = tuple(simulators or [self._fastest(REGRESSION_CYCLES)])
        return regress(
            self.model.network,
            self.schedule,
            names,
            lambda name: self.device(name, progress),
            seed,
        )

    def manifest(self) -> dict[str, Any]:
        """What the design is, for programs: as ``manifest.json`` holds it."""
        return project.manifest(self)

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write Verilog, constraints, model, manifest and a testbench that runs as it lies there.

        A folder that holds a design is replaced as a whole; any other one is refused.
        """
        self.folder = project.write(self, Path(folder))
        return self.folder

    def build(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        frequency: float | None = None,
        seed: int = 1,
        progress: Callable[[str, bool | None], None] | None = None,
    ) -> Report:
        """Synthesize, place, route and pack for the board; steps that are done are not run again.

        Parameters
        ----------
        folder : path, optional
            Where everything goes. Left out: ``build`` in the folder that :meth:`write` made.
        frequency : float, optional
            Clock of the accelerator in MHz. Left out: the board's oscillator.
        seed : int
            Seed of place and route.

        Raises
        ------
        DoesNotFitError
            Before synthesis, if the board does not hold the design; the sentence names what limits.
        """
        if self.board is None:
            raise UnsupportedError("Build needs a board, and this design was generated without one")
        if folder is None and self.folder is None:
            raise DeltaloomError("Build needs a folder, or a design that was written to one")
        budget.check_schedule(self.schedule, self.board)
        folder = Path(folder) if folder is not None else self.folder / project.BUILD
        report = flow.build(
            self.component(), self.board, folder, frequency=frequency, seed=seed, progress=progress
        )
        project.keep_report(self, report, folder)
        return report

    def connect(self, port: Any, *, baud: int = 115_200, timeout: float = 2.0) -> Connection:
        """Speak to a board that was configured with the design's bitstream.

        Parameters
        ----------
        port, baud, timeout
            As :class:`~deltaloom.boards.host.Host` takes them.

        Raises
        ------
        LinkError
            If the board does not answer.
        DeltaloomError
            If it was configured with a design of other ports.
        """
        if self.board is None:
            raise UnsupportedError(
                "Connection needs a board, and this design was generated without one"
            )
        return Connection(self, port, baud=baud, timeout=timeout)

    def last_report(self) -> dict[str, Any]:
        """What the last build in the design's folder said, as :meth:`Report.to_dict` gives it."""
        if self.folder is None:
            raise DeltaloomError("Report needs a design that was written to a folder")
        return project.last_report(self, self.folder / project.BUILD)


def generate(
    model: QuantizedModel,
    board: str | None = None,
    lanes: int | Mapping[str, int] | None = None,
    *,
    registers: bool = False,
) -> Design:
    """Fold a model on hardware.

    Parameters
    ----------
    model : QuantizedModel
        What is computed.
    board : str, optional
        A name of ``deltaloom boards``. Left out: plain Verilog.
    lanes : int or mapping of str to int, optional
        Multiply-accumulate lanes, of all layers together or by layer name. Left out: as many as
        the board holds, or as are useful up to 32.
    registers : bool
        Whether there is an AXI4-Lite register block, by which a host loads and reads states
        between sequences, and reads counters; on a board through its serial line.

    Raises
    ------
    DoesNotFitError
        If the board does not hold the design; the sentence names what limits.
    UnsupportedError
        If there is no such board.
    """
    network = model.network
    found = catalogue.get(board) if board is not None else None
    if lanes is None:
        lanes = budget.most_lanes(network, found, registers=registers) if found else DEFAULT_LANES
    target = budget.target_of(found) if found else GENERIC
    folded = schedule(network, lanes, target, registers=registers)
    if found:
        budget.check_schedule(folded, found)
    return Design(model, folded, found)
