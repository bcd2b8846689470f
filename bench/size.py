"""Bytes of a quantized model against its parameters in float32."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from deltaloom.compiler import artifact

from .figures import Figure
from .networks import Shape, quantized, white_noise

__all__ = ["figures", "measure", "saved"]

SHAPES = (Shape("GRU", 64, 64, 1), Shape("LSTM", 64, 64, 1), Shape("LSTM", 128, 128, 1))
REACH = 0.74


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """8-bit weights and activations; torch's two biases of a gate count as the one that they are.

    ``float32_torch`` is what torch's own parameters take, both biases included.
    """
    cases = []
    for shape in SHAPES:
        name = f"{shape.cell} {shape.inputs}-{shape.hidden}"
        progress(name)
        network = quantized(shape, white_noise(20, shape.inputs)).network
        counted = artifact.model_bytes(network)
        rows = sum(len(bias) for layer in network.computing for bias in layer.biases.values())
        gates = 3 if shape.cell == "GRU" else 4
        cases.append(
            {
                "name": name,
                **asdict(counted),
                "float32_torch": counted.float32 + 4 * (2 * gates * shape.hidden - rows),
                "file": len(artifact.encode(network)),
            }
        )
    return {"cases": cases}


def saved(part: float, whole: float) -> float:
    """Share of the bytes that is gone."""
    return 1 - part / whole


def figures(result: dict[str, Any]) -> list[Figure]:
    rows = []
    for case in result["cases"]:
        whole = case["float32"]
        numbers = saved(case["weights"] + case["biases"], whole)
        tables = saved(case["weights"] + case["biases"] + case["tables"], whole)
        file = saved(case["file"], whole)
        rows.append(
            Figure(
                f"model size, {case['name']}, 8 bits against float32",
                f"{REACH:.0%} smaller",
                f"{numbers:.1%} smaller ({tables:.1%} with tables, {file:.1%} the whole file)",
                numbers >= REACH,
            )
        )
    return rows
