"""The command that searches thresholds."""

import argparse

from .. import plots
from ..compiler.recipe import Recipe
from ..compiler.schedule import DEFAULT_LANES
from ..explorer import explore as search_thresholds
from . import display
from .command import INPUT_HELP, Answer, Argument, Command, argument
from .data import read_evaluation, read_sequences
from .display import Progress
from .searches import load_module

__all__ = ["EXPLORE", "lanes"]


def explore(options: argparse.Namespace, progress: Progress) -> Answer:
    """Search thresholds, and widths, that leave out operations at little loss."""
    plots.require()
    recipe = Recipe.load(options.recipe) if options.recipe else Recipe(skip="delta")
    calibration, memory = read_sequences(options.calibration)
    evaluation = read_evaluation(options.evaluate)
    confirmation = read_evaluation(options.confirm) if options.confirm else None
    progress.say("Loading the model")
    module = load_module(options.model)
    progress.say("Searching")
    found = search_thresholds(
        module,
        calibration,
        recipe,
        evaluate=evaluation,
        memory=memory,
        max_loss=options.max_loss,
        widths={"*": options.widths} if options.widths else None,
        max_steps=options.max_steps,
        lanes=DEFAULT_LANES if options.lanes is None else options.lanes,
        budget=options.budget,
        progress=progress.show,
    )
    best = found.best(options.max_loss, confirmation)
    folder = found.write(options.output, best)
    data = {"folder": str(folder), **found.to_dict(), "best": best.to_dict()}
    return Answer(data, display.exploration_tables(found, best))


def lanes(value: str) -> int | dict[str, int]:
    """``16``, or ``gru.0=14,head=2``."""
    if "=" not in value:
        return int(value)
    pairs = (part.split("=") for part in value.split(","))
    return {name.strip(): int(count) for name, count in pairs}


def widths(value: str) -> list[str | tuple[str, str]]:
    """``int16``, or ``int4,int8``, or ``int4/int8`` of weights and activations."""
    found: list[str | tuple[str, str]] = []
    for part in value.split(","):
        weights, slash, activations = part.partition("/")
        found.append((weights, activations) if slash else weights)
    return found


LABELLED = (
    INPUT_HELP + "; with labels the error is the percentage of wrong outputs, with targets the "
    "mean squared error"
)
EXPLORE: dict[Command, list[Argument]] = {
    explore: [
        argument("model", metavar="MODEL", help="FILE.py:FACTORY or FILE.onnx, as for quantize"),
        argument("--calibration", required=True, metavar="X.npz", help=INPUT_HELP),
        argument("--recipe", metavar="RECIPE.toml", help="left out: 8 bits, delta skipping"),
        argument("--evaluate", required=True, metavar="D.npz", help=LABELLED),
        argument("--confirm", metavar="D.npz", help="other data, on which the best is confirmed"),
        argument(
            "--max-loss",
            type=float,
            default=0.5,
            help="by how much the best point's error may exceed the recipe's; left out: 0.5",
        ),
        argument(
            "--widths",
            type=widths,
            help="also searched: int16 (paths skipped to 16 bits), or int4,int4/int8 (weights, or "
            "weights/activations)",
        ),
        argument("--max-steps", type=int, metavar="N", help="as for quantize"),
        argument("--lanes", type=lanes, help="of the cycle model; as for generate"),
        argument("--budget", type=int, default=500, help="points measured; left out: 500"),
        argument("-o", "--output", required=True, metavar="FOLDER"),
    ],
}
