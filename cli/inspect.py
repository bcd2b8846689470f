"""The command that shows where a quantized model loses what its float model has."""

import argparse
from pathlib import Path

from .. import plots
from ..inspection import inspect as inspect_model
from ..model import load
from . import display
from .command import INPUT_HELP, Answer, Argument, Command, argument
from .data import read_sequences
from .display import Progress
from .searches import load_module

__all__ = ["INSPECT"]


def inspect(options: argparse.Namespace, progress: Progress) -> Answer:
    """Show where a quantized model loses what its float model has."""
    if options.output:
        plots.require()
    model = load(options.model)
    x, memory = read_sequences(options.data)
    reference = None if options.reference is None else load_module(options.reference)
    found = inspect_model(model, reference, x, memory=memory, progress=progress.say)
    data = found.to_dict()
    summary = {
        "against": found.reference,
        "outputs, dB": found.ratio,
        **{f"worst {name}": value for name, value in data["worst"].items()},
    }
    tables = [
        display.facts(f"Inspection of {options.model}", summary),
        display.text_table("Quantized alone, all else in float", found.part_rows()),
        display.text_table("Edges, with all that came before them", found.edge_rows()),
    ]
    if options.output:
        data["picture"] = str(found.plot(Path(options.output) / "inspection.svg"))
    return Answer(data, tables)


INSPECT: dict[Command, list[Argument]] = {
    inspect: [
        argument("model", metavar="MODEL.safetensors", help="what `deltaloom quantize` wrote"),
        argument("--data", required=True, metavar="X.npz", help=INPUT_HELP),
        argument(
            "--model",
            dest="reference",
            metavar="FILE.py:FACTORY",
            help="the float model, or FILE.onnx; left out: the weights of the quantized one",
        ),
        argument("-o", "--output", metavar="FOLDER", help="where a picture is written"),
    ],
}
