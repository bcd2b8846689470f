"""Commands that quantize a float model, once or many times."""

import argparse
from typing import Any

from .. import plots
from ..compiler.errors import DeltaloomError, ToolMissingError
from ..compiler.recipe import Recipe
from ..quantization import quantize as quantize_model
from ..quantization import steps_given
from ..search.sweep import WIDTHS
from ..searches import sensitivity as measure_sensitivity
from ..searches import sweep as sweep_widths
from . import display
from .command import INPUT_HELP, Answer, Argument, Command, argument
from .data import read_evaluation, read_sequences
from .display import Progress

__all__ = ["SEARCHES"]


def quantize(options: argparse.Namespace, progress: Progress) -> Answer:
    """Quantize a trained model after training."""
    evaluation = read_evaluation(options.evaluate) if options.evaluate else None
    module, given = float_model(options, progress)
    progress.say("Quantizing")
    model = quantize_model(module, **given, evaluate=evaluation, progress=progress.say)
    assert model.recipe is not None
    if options.save_recipe:
        model.recipe.save(options.save_recipe)
    model.save(options.output)
    summary = model.summary()
    tables = [
        display.facts(f"Model {options.output}", summary["bytes"]),
        display.table(
            "Activation tables",
            ["layer", "table", "segments", "worst error, last places"],
            [
                [layer["name"], name, found["segments"], found["worst_error"]]
                for layer in summary["layers"]
                for name, found in layer["tables"].items()
            ],
        ),
    ]
    if model.skipping:
        tables.append(display.skipping_table(model.skipping))
    return Answer({"model": options.output, **summary}, tables)


def sensitivity(options: argparse.Namespace, progress: Progress) -> Answer:
    """Measure what the quantization of each path alone costs."""
    evaluation = read_evaluation(options.evaluate) if options.evaluate else None
    module, given = float_model(options, progress)
    found = measure_sensitivity(module, **given, evaluate=evaluation, progress=progress.say)
    return Answer(found.to_dict(), [display.text_table("Quantized alone", found.table())])


def sweep(options: argparse.Namespace, progress: Progress) -> Answer:
    """Measure loss and memory of every pair of widths."""
    plots.require()
    evaluation = read_evaluation(options.evaluate) if options.evaluate else None
    module, given = float_model(options, progress)
    found = sweep_widths(
        module,
        **given,
        evaluate=evaluation,
        weights=options.weights,
        activations=options.activations,
        progress=progress.say,
    )
    files = [str(path) for path in found.save(options.output)]
    tables = [display.text_table("Better than all that take no more bytes", found.table())]
    return Answer({"files": files, **found.to_dict()}, tables)


def float_model(options: argparse.Namespace, progress: Progress) -> tuple[Any, dict[str, Any]]:
    """The model to quantize, and what all commands that do so are given."""
    recipe = Recipe.load(options.recipe) if options.recipe else Recipe()
    calibration, memory = read_sequences(options.calibration)
    progress.say("Loading the model")
    module, steps = load_module(options.model), options.max_steps
    ends = {"input": options.input_tensor, "output": options.output_tensor}
    if any(ends.values()):
        if not isinstance(module, str):
            raise DeltaloomError(
                "Input and output tensors must be named of an ONNX file, not of a torch module"
            )
        from ..compiler.frontends.onnx_frontend import from_onnx

        steps = steps_given(calibration, memory) if steps is None else steps
        module, steps = from_onnx(module, max_steps=steps, **ends), None
    given = {"calibration": calibration, "memory": memory, "recipe": recipe, "max_steps": steps}
    return module, given


def load_module(place: str) -> Any:
    """The torch module that ``file.py:factory`` makes, or the ONNX file as it is named."""
    if place.lower().endswith(".onnx"):
        return place
    try:
        from ..compiler.factory import load_factory
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ToolMissingError(
            "Package torch is not installed: pip install 'deltaloom[torch]' brings it"
        ) from None
    return load_factory(place)


def widths(value: str) -> range | list[int | str]:
    """``2:8``, both included, or ``3,4,ternary``."""
    if ":" in value:
        low, high = map(int, value.split(":"))
        return range(low, high + 1)
    parts = [part.strip() for part in value.split(",")]
    return [int(part) if part.isdecimal() else part for part in parts]


FLOAT_MODEL = [
    argument(
        "model",
        metavar="MODEL",
        help="FILE.py:FACTORY, a function that returns the torch module; or FILE.onnx",
    ),
    argument("--calibration", required=True, metavar="X.npz", help=INPUT_HELP),
    argument("--recipe", metavar="RECIPE.toml", help="left out: 8 bits, nothing skipped"),
    argument(
        "--max-steps",
        type=int,
        metavar="N",
        help="longest sequence, for bidirectional layers and attention; left out: that of the "
        "calibration",
    ),
    argument("--input-tensor", metavar="NAME", help="where the network begins in an ONNX file"),
    argument("--output-tensor", metavar="NAME", help="where the network ends in an ONNX file"),
]
EVALUATE = argument(
    "--evaluate",
    metavar="D.npz",
    help=INPUT_HELP + "; with labels the loss is the percentage of wrong outputs, with targets "
    "the mean squared error",
)
WIDTHS_HELP = "bits, or a list as 3,4,ternary; left out: 2:8"
SEARCHES: dict[Command, list[Argument]] = {
    quantize: [
        *FLOAT_MODEL,
        EVALUATE,
        argument("--save-recipe", metavar="FOUND.toml", help="the recipe with the paths found"),
        argument("-o", "--output", required=True, metavar="MODEL.safetensors"),
    ],
    sensitivity: [*FLOAT_MODEL, EVALUATE],
    sweep: [
        *FLOAT_MODEL,
        EVALUATE,
        argument("--weights", type=widths, default=WIDTHS, metavar="LOW:HIGH", help=WIDTHS_HELP),
        argument("--activations", type=widths, default=WIDTHS, metavar="LOW:HIGH"),
        argument("-o", "--output", required=True, metavar="FOLDER"),
    ],
}
