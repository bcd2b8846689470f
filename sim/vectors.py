"""Vector files of the Verilog harness, and what a finished run has to say.

Shipped verbatim beside every design's testbench, so it imports numpy and the standard library
alone. One hexadecimal word a line, as ``$readmemh`` and ``$writememh`` read and write them.
"""

from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "EXTRA",
    "HUNG",
    "OK",
    "REFUSED",
    "WITHDRAWN",
    "random_stalls",
    "read_capture",
    "sentence",
    "write_stimulus",
]

OK, EXTRA, HUNG, WITHDRAWN, REFUSED = range(5)
"""How a run ended: as expected, one beat too many, no progress, output changed while stalled, a
register's read or write answered with an error."""


def random_stalls(rng: np.random.Generator, n: int, probability: float) -> np.ndarray:
    """Return int64 (n,) waits in cycles: in each cycle the wait goes on with ``probability``."""
    if not 0 <= probability < 1:
        raise ValueError(f"Stall probability must be at least 0 and below 1, not {probability!r}")
    return rng.geometric(1 - probability, n).astype(np.int64) - 1


def sentence(
    status: int, cycle: int, accepted: int, inputs: int, delivered: int, outputs: int
) -> str | None:
    """Say in one sentence what went wrong, or return None after a good run.

    ``cycle`` is where it was noticed; ``accepted`` of ``inputs`` and ``delivered`` of ``outputs``
    are beats transferred until then.
    """
    beats = f"{accepted} of {inputs} input and {delivered} of {outputs} output beats"
    match status:
        case 0:
            return None
        case 1:
            return (
                f"Design offers one more output beat than expected in cycle {cycle}, after {beats}"
            )
        case 2:
            return f"Design hangs: nothing has moved up to cycle {cycle}, after {beats}"
        case 3:
            return f"Design changes a stalled output beat in cycle {cycle}, after {beats}"
        case 4:
            return f"Design answers a read or write of a register with an error in cycle {cycle}"
    raise ValueError(f"Run status must be 0 to 4, not {status!r}")


REQUEST = ("write", "address", "word", "before", "after")


def _write(path: Path, words: np.ndarray, bits: int) -> None:
    mask = (1 << bits) - 1
    path.write_text("".join(f"{word & mask:x}\n" for word in words.tolist()))


def _read(path: Path) -> list[str]:
    words = path.read_text().split("\n")
    return [word for word in words if word and not word.startswith(("//", "@"))]


def write_stimulus(
    folder: Path,
    data: np.ndarray,
    last: np.ndarray,
    gaps: np.ndarray | None,
    stalls: np.ndarray | None,
    outputs: int,
    idle: int,
    limit: int,
    input_bits: int,
    transactions: np.ndarray | None = None,
) -> None:
    """Write what the harness reads; arguments as the fields of ``Stimulus``.

    ``transactions`` is int64 (5, k): the fields of ``Transactions``, one below the other.
    """
    requests = np.zeros((5, 0), np.int64) if transactions is None else transactions
    gaps = np.zeros(len(data), np.int64) if gaps is None else gaps
    stalls = np.zeros(outputs, np.int64) if stalls is None else stalls
    settings = [len(data), outputs, idle, limit, requests.shape[1]]
    _write(folder / "settings.hex", np.array(settings), 64)
    for name, words in zip(REQUEST, requests, strict=True):
        _write(folder / f"rq_{name}.hex", words, 32 if name == "word" else 64)
    _write(folder / "in_data.hex", data, input_bits)
    _write(folder / "in_gap.hex", gaps * 2 + last, 64)
    _write(folder / "out_stall.hex", stalls, 64)


def read_capture(
    folder: Path, inputs: int, outputs: int, output_bits: int, transactions: int = 0
) -> dict[str, Any] | str:
    """Read what the harness wrote: the fields of ``Capture`` by name, or what went wrong.

    Bits that are neither 0 nor 1 are something wrong, too.
    """
    status, cycle, accepted, delivered = (
        int(word, 16) for word in _read(folder / "result.hex")[:4]
    )
    fault = sentence(status, cycle, accepted, inputs, delivered, outputs)
    if fault:
        return fault
    data = _read(folder / "out_data.hex") if outputs else []
    marks = _read(folder / "out_mark.hex") if outputs else []
    for beat, word in enumerate(map(str.__add__, data, marks)):
        if not set(word) <= set("0123456789abcdefABCDEF"):
            return f"Design leaves bits of output beat {beat} undefined: {word}"
    shift = 64 - output_bits
    raw = np.array([int(word, 16) << shift for word in data], np.uint64).view(np.int64)
    mark = np.array([int(word, 16) for word in marks], np.int64)
    taken = [int(word, 16) for word in _read(folder / "in_cycle.hex")] if inputs else []
    return {
        "data": raw >> shift,
        "last": (mark & 1).astype(bool),
        "user": (mark >> 1 & 1).astype(bool),
        "accepted": np.array(taken, np.int64),
        "delivered": mark >> 2,
        "cycles": cycle,
        "read": _answers(folder / "an_word.hex", transactions, 32),
        "answered": _answers(folder / "an_cycle.hex", transactions, 64),
    }


def _answers(path: Path, count: int, bits: int) -> np.ndarray:
    shift = 64 - bits
    words = [int(word, 16) << shift for word in _read(path)] if count else []
    return np.array(words, np.uint64).view(np.int64) >> shift
