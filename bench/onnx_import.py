"""Time from Silero's own ONNX file to the network of its LSTM and head.

The file holds the whole voice detector. Before the LSTM there is a spectrogram with squares and
roots, which no layer computes: the network begins with the LSTM's input and ends with the file's
output. Its states are inputs of the file; sequences start from zeros or from given states.
"""

from collections.abc import Callable
from typing import Any

from deltaloom.compiler.frontends.onnx_frontend import from_onnx

from .data import silero_onnx
from .figures import Figure, machine
from .stopwatch import Stopwatch

__all__ = ["INPUT", "OUTPUT", "figures", "measure"]

INPUT, OUTPUT = "/Transpose_output_0", "speech_probs"
RUNS = 3
REACH = 5.0


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """Several runs in one process, the first with the import of packages."""
    path = silero_onnx()
    seconds = []
    for _ in range(RUNS):
        watch = Stopwatch()
        network = from_onnx(path, OUTPUT, input=INPUT)
        seconds.append(watch.seconds)
        progress(f"{path.name}: {seconds[-1]['computed']:.2f} s")
    return {
        "machine": machine(),
        "bytes": path.stat().st_size,
        "layers": [layer.name for layer in network.layers],
        "seconds": seconds,
    }


def figures(result: dict[str, Any]) -> list[Figure]:
    slowest = max(seconds["computed"] for seconds in result["seconds"])
    what = "ONNX import of the Silero LSTM and head, from the authors' file, processor time"
    return [Figure(what, f"under {REACH:.0f} s", f"{slowest:.2f} s", slowest < REACH)]
