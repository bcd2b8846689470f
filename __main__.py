"""The command line: ``deltaloom``, or ``python -m deltaloom``."""

import argparse
import contextlib
import importlib.metadata
import json
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from amaranth.hdl import UnusedElaboratable
from rich.console import Console

from .boards import catalogue
from .cli import display
from .cli.command import INPUT_HELP, Answer, Argument, Command, argument
from .cli.data import read_labelled, read_sequences, read_states, write_outputs
from .cli.display import DONE, FAILED, INTERRUPTED, Progress, complain, plain
from .cli.explore import EXPLORE, lanes
from .cli.inspect import INSPECT
from .cli.searches import SEARCHES
from .compiler.errors import DeltaloomError
from .compiler.schedule import DEFAULT_LANES
from .design import generate as generate_design
from .model import load
from .project import open_design
from .sim.tools import SIMULATORS

__all__ = ["main"]


def generate(options: argparse.Namespace, progress: Progress) -> Answer:
    """Generate Verilog, constraints and a testbench."""
    model = load(options.model)
    progress.say("Generating")
    design = generate_design(model, options.board, options.lanes, registers=options.registers)
    folder = design.write(options.output)
    manifest = design.manifest()
    return Answer({"folder": str(folder), **manifest}, [display.layer_table(manifest["layers"])])


def simulate(options: argparse.Namespace, progress: Progress) -> Answer:
    """Simulate a design cycle by cycle, and hold it to its model."""
    x, memory = read_sequences(options.input)
    design = open_design(options.folder)
    states = read_states(options.states) if options.states else None
    run = design.simulate(
        x, options.simulator, memory=memory, states=states, vcd=options.vcd, progress=progress.say
    )
    if options.output:
        write_outputs(options.output, run)
    steps = sum(len(sequence) for sequence in x)
    summary = {
        "simulator": run.simulator,
        "sequences": len(run.cycles),
        "timesteps": steps,
        "total_cycles": run.total_cycles,
        "cycles_per_timestep": run.total_cycles / steps,
    }
    measured = {
        "utilization": run.utilization,
        "skipped": run.skipped,
        "activity": run.activity.to_dict(),
    }
    tables = display.run_tables(summary, run.utilization, run.activity)
    return Answer({**summary, "cycles": run.cycles, **measured}, tables)


def regress(options: argparse.Namespace, progress: Progress) -> Answer:
    """Hold a design to its model on random sequences with random stalls."""
    design = open_design(options.folder)
    check = design.regress(options.simulator, seed=options.seed, progress=progress.say)
    data = plain(check)
    return Answer(data, [display.facts("Equal in every bit and cycle", data)])


def build(options: argparse.Namespace, progress: Progress) -> Answer:
    """Synthesize, place, route and pack the bitstream."""
    design = open_design(options.folder)
    report = design.build(frequency=options.frequency, seed=options.seed, progress=progress.step)
    found = report.to_dict()
    return Answer(found, display.report_tables(found), DONE if report.met else FAILED)


def report(options: argparse.Namespace, progress: Progress) -> Answer:
    """Show the last build of a design, and its schedule."""
    design = open_design(options.folder)
    found = design.last_report()
    layers = design.manifest()["layers"]
    tables = [*display.report_tables(found, deep=options.all), display.layer_table(layers)]
    return Answer({**found, "layers": layers}, tables)


def boards(options: argparse.Namespace, progress: Progress) -> Answer:
    """List the boards."""
    found = [catalogue.get(name) for name in catalogue.names()]
    return Answer({"boards": found}, [display.board_table(found)])


def evaluate(options: argparse.Namespace, progress: Progress) -> Answer:
    """Measure the accuracy of a quantized model on labelled data, and what it skips."""
    model = load(options.model)
    x, labels, memory = read_labelled(options.data)
    accuracy = model.accuracy(x, labels, memory=memory)
    lanes = DEFAULT_LANES if options.lanes is None else options.lanes
    activity = model.activity(x, lanes, memory=memory)
    data = {
        "sequences": len(x),
        "accuracy": accuracy,
        "operations_eliminated": activity.operations.eliminated,
        "cycles_per_timestep": activity.cycles,
    }
    tables = [
        display.facts(f"Golden model {options.model}", data),
        display.activity_table(activity),
    ]
    return Answer({**data, "activity": activity.to_dict()}, tables)


MODEL = argument("model", metavar="MODEL.safetensors", help="what `deltaloom quantize` wrote")
FOLDER = argument("folder", help="what `deltaloom generate` wrote")
SEED = argument("--seed", type=int, help="seed of what is random", default=1)
COMMANDS: dict[Command, list[Argument]] = {
    **SEARCHES,
    generate: [
        MODEL,
        argument("--board", help="left out: plain Verilog"),
        argument("--lanes", type=lanes, help="N, or LAYER=N,LAYER=N; left out: what fits"),
        argument(
            "--registers", action="store_true", help="AXI4-Lite registers: states and counters"
        ),
        argument("-o", "--output", required=True, metavar="FOLDER"),
    ],
    simulate: [
        FOLDER,
        argument("--input", required=True, metavar="X.npz", help=INPUT_HELP),
        argument("--simulator", choices=[*SIMULATORS, "model"], help="left out: the fastest"),
        argument(
            "--states",
            metavar="S.npz",
            help="what sequences start from: arrays LAYER.STATE, as --output writes them",
        ),
        argument("--vcd", metavar="WAVE.vcd", help="wave dump"),
        argument("--output", metavar="Y.npz", help="outputs, integers, cycles and final states"),
    ],
    regress: [
        FOLDER,
        argument("--simulator", choices=SIMULATORS, action="append", help="may be repeated"),
        SEED,
    ],
    build: [
        FOLDER,
        argument("--frequency", type=float, metavar="MHZ", help="left out: the oscillator's"),
        SEED,
    ],
    report: [FOLDER, argument("--all", action="store_true", help="components of every level")],
    boards: [],
    evaluate: [
        MODEL,
        argument("--data", required=True, metavar="D.npz", help=INPUT_HELP + ", and labels"),
        argument("--lanes", type=lanes, help="of the cycle model; as for generate"),
    ],
    **INSPECT,
    **EXPLORE,
}


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise DeltaloomError(f"{message[:1].upper()}{message[1:]} (see {self.prog} --help)")


def parser() -> Parser:
    made = Parser(prog="deltaloom", description="Recurrent networks as fixed-point hardware.")
    version = importlib.metadata.version("deltaloom")
    made.add_argument("--version", action="version", version=f"deltaloom {version}")
    commands = made.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command, arguments in COMMANDS.items():
        described = (command.__doc__ or "").rstrip(".")
        part = commands.add_parser(command.__name__, help=described, description=described)
        part.add_argument("--json", action="store_true", help="one JSON object instead of tables")
        part.set_defaults(run=command)
        for names, options in arguments:
            part.add_argument(*names, **options)
    return made


def show(answer: Answer, as_json: bool) -> None:
    """Print an answer; whoever reads it may stop early."""
    try:
        if as_json:
            print(json.dumps(plain(answer.data), allow_nan=False))
        else:
            Console(width=None if sys.stdout.isatty() else 100).print(*answer.tables)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 a check failed, 2 unusable input or a missing tool."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    # A component that a refused build did not get to use is no news to its user.
    warnings.simplefilter("ignore", UnusedElaboratable)
    try:
        options = parser().parse_args(words)
        # A user's model file may print; stdout is for the answer alone.
        with Progress() as progress, contextlib.redirect_stdout(sys.stderr):
            answer = options.run(options, progress)
    except (DeltaloomError, OSError) as error:
        sentence, status = complain(error)
        if as_json:
            print(json.dumps({"error": {"kind": type(error).__name__, "message": sentence}}))
        return status
    except KeyboardInterrupt:
        print("deltaloom: interrupted", file=sys.stderr)
        return INTERRUPTED
    show(answer, as_json)
    return answer.status


if __name__ == "__main__":
    sys.exit(main())
