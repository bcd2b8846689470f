"""Spoken digits after training alone: widths, paths that are skipped, and the sweep of widths.

Choices are made on the validation part, figures are those of the test part: means over five
networks of each cell, trained from different seeds. How far 4 bits keep the input was chosen on
split 1, with five networks of GRU and of LSTM trained on it: of 2,500 answers 26 and 22 are wrong
there with a limit of 4, 36 and 24 with 8, 28 and 25 with that of the least squared error, which is
2; in float 21 and 20. It was looked for as that one had lost 0.33 points with GRU on split 0.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import deltaloom as dl
from deltaloom.examples import digits
from deltaloom.examples.digits import DigitClassifier

from .data import Clips, SpokenDigits
from .digits import CALIBRATION_CLIPS, correct
from .digits_models import SEEDS, float_model, spread
from .figures import Figure

__all__ = ["PICTURE", "error_rate", "figures", "measure"]

LIMIT = 4
"""Standard deviations of the input that 4 bits keep."""

RECIPES = {
    "W8A8": dl.Recipe(),
    "W4A4": dl.Recipe("int4", "int4", operand_limits={"*.0.x": LIMIT}),
}
MAX_LOSS = 0.3
MEASURED = ("GRU", "LSTM", "LiGRU")
SWEPT = "GRU"
WIDTHS = range(2, 9)
PICTURE = Path(__file__).parent / "results" / "digits_sweep.svg"
REACH = {("GRU", "W4A4"), ("LSTM", "W4A4"), ("LiGRU", "skipped")}
SKIPPED = "W4A4 with the paths that a search leaves at 16 bits"


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """Every cell and seed; then the sweep."""
    data = digits.load()
    calibration = data.train.features[:CALIBRATION_CLIPS]
    rows, sweeps = [], []
    for cell in MEASURED:
        for seed in SEEDS:
            model = float_model(cell, seed, data)
            rows.append({"cell": cell, "seed": seed, **one(model, data, calibration)})
            progress(f"{cell} from seed {seed}: {rows[-1]['test']}")
    for seed in SEEDS:
        picture = PICTURE if seed == SEEDS[0] else None
        swept = sweep_of(float_model(SWEPT, seed, data), data, calibration, picture)
        sweeps.append({"seed": seed, **swept})
        progress(f"sweep of {SWEPT} from seed {seed}: {sweeps[-1]['chosen']}")
    return {"clips": len(data.test), "rows": rows, "sweeps": sweeps}


def one(model: DigitClassifier, data: SpokenDigits, calibration: Any) -> dict[str, Any]:
    """Error rates in percent of one float network and of its quantized forms."""
    held_out = {"validation": data.validation, "test": data.test}
    found: dict[str, Any] = {
        part: {"float": 100 * (1 - digits.accuracy(model, clips))}
        for part, clips in held_out.items()
    }
    models = {name: dl.quantize(model, calibration, recipe) for name, recipe in RECIPES.items()}
    models["skipped"] = dl.quantize(
        model,
        calibration,
        dl.Recipe("int4", "int4", max_loss=MAX_LOSS),
        evaluate=error_rate(data.validation),
        progress=lambda text: None,
    )
    for part, clips in held_out.items():
        found[part] |= {name: error_rate(clips)(each) for name, each in models.items()}
    paths = [str(path.part) for path in models["skipped"].skipping.skipped]
    return {**found, "paths": paths}


def error_rate(clips: Clips) -> Callable[[Any], float]:
    """Percentage of clips that a model labels wrongly."""
    return lambda model: 100 * (1 - correct(model, clips) / len(clips))


def sweep_of(
    model: DigitClassifier, data: SpokenDigits, calibration: Any, picture: Path | None
) -> dict[str, Any]:
    """All pairs of widths on the validation part, and the smallest within the bound on the test."""
    swept = dl.sweep(
        model,
        calibration,
        error_rate(data.validation),
        WIDTHS,
        WIDTHS,
        progress=lambda text: None,
    )
    chosen = swept.smallest(MAX_LOSS)
    quantized = dl.quantize(model, calibration, dl.Recipe(chosen.weights, chosen.activations))
    if picture is not None:
        swept.draw(picture)
    return {
        **swept.to_dict(),
        "chosen": {"weights": chosen.weights, "activations": chosen.activations},
        "bytes": chosen.bytes.total,
        "test": error_rate(data.test)(quantized),
        "float_test": 100 * (1 - digits.accuracy(model, data.test)),
    }


def figures(result: dict[str, Any]) -> list[Figure]:
    found = []
    for cell in MEASURED:
        rows = [row for row in result["rows"] if row["cell"] == cell]
        float_text = spread([100 - row["test"]["float"] for row in rows])
        for name in (*RECIPES, "skipped"):
            lost = [row["test"][name] - row["test"]["float"] for row in rows]
            asked = (cell, name) in REACH
            titles = {"W4A4": f"W4A4, input kept up to {LIMIT} deviations", "skipped": SKIPPED}
            text = (
                f"{spread(lost)}; {spread([100 - row['test'][name] for row in rows])} % right of "
                f"{result['clips']} clips, float {float_text} %"
            )
            if name == "skipped":
                text += f"; {named([row['paths'] for row in rows])}"
            found.append(
                Figure(
                    f"points of accuracy lost, spoken digits, {cell}-64, "
                    f"{titles.get(name, name)}, mean of {len(rows)} seeds",
                    f"at most {MAX_LOSS}" if asked else "",
                    text,
                    mean(lost) <= MAX_LOSS if asked else None,
                )
            )
    sweeps = result["sweeps"]
    lost = [sweep["test"] - sweep["float_test"] for sweep in sweeps]
    saved = [100 * (1 - sweep["bytes"] / sweep["float_bytes"]) for sweep in sweeps]
    widths = [f"{sweep['chosen']['weights']}/{sweep['chosen']['activations']}" for sweep in sweeps]
    found.append(
        Figure(
            f"sweep of widths, spoken digits, {SWEPT}-64: the fewest bytes within {MAX_LOSS} "
            f"points on the validation part, {len(sweeps)} seeds",
            "",
            f"{spread(saved)} % less memory, {spread(lost)} points lost on the test part "
            f"(weights/activations {', '.join(widths)})",
        )
    )
    return found


def named(choices: list[list[str]]) -> str:
    """How often each path was left at 16 bits."""
    paths = dict.fromkeys(path for choice in choices for path in choice)
    counts = [f"{path} {sum(path in c for c in choices)} times" for path in paths]
    return f"at 16 bits: {', '.join(counts) or 'none'}"
