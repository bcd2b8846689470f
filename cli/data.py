"""Arrays that the command line reads and writes: ``.npz`` files, of which nothing is unpickled."""

import zipfile
import zlib
from typing import Any, NamedTuple

import numpy as np

from ..compiler.errors import DeltaloomError
from ..compiler.written_aside import written_aside
from ..search.losses import ErrorRate, SquaredError
from ..sim.result import Run

__all__ = [
    "read_evaluation",
    "read_labelled",
    "read_sequences",
    "read_states",
    "write_outputs",
]

SEQUENCES = ("x", "lengths", "memory", "memory_lengths")
OUTPUTS = ("cycles", "integers", "lengths", "outputs")

REMEDY = "save it with numpy.savez(path, x=array), where lengths=array goes with padded sequences"
BROKEN = (ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)


class Data(NamedTuple):
    """Sequences of a file, as models take them; ``memory`` is None where it has none."""

    x: Any
    memory: Any


class Labelled(NamedTuple):
    """Sequences and labels of a file."""

    x: Any
    labels: Any
    memory: Any


def read_sequences(path: str) -> Data:
    """Sequences of a file: ``x`` as it is, or a list of (time, features) where it has lengths.

    The memory is ``memory``, with ``memory_lengths`` where it is padded.
    """
    return _data(path, _arrays(path, SEQUENCES))


def read_labelled(path: str) -> Labelled:
    """Sequences and labels of a file.

    ``labels`` is (batch,), one for each sequence, or (batch, time), one for each timestep.
    """
    arrays = _arrays(path, (*SEQUENCES, "labels"))
    if "labels" not in arrays:
        raise DeltaloomError(f"Data file {path} must hold the array 'labels' beside 'x'")
    (x, memory), labels = _data(path, arrays), arrays["labels"]
    if labels.ndim not in (1, 2) or len(labels) != len(x):
        raise DeltaloomError(
            f"Labels of {path} must have shape ({len(x)},) or ({len(x)}, time), not {labels.shape}"
        )
    if labels.ndim == 2 and isinstance(x, list):
        labels = [row[: len(sequence)] for row, sequence in zip(labels, x, strict=True)]
    return Labelled(x, labels, memory)


def read_evaluation(path: str) -> ErrorRate | SquaredError:
    """The loss that a file stands for.

    With ``labels`` it is the percentage of outputs that name another one, with ``targets`` the
    mean squared error against them: (batch, outputs), or (batch, time, outputs).
    """
    arrays = _arrays(path, (*SEQUENCES, "labels", "targets"))
    if ("labels" in arrays) == ("targets" in arrays):
        raise DeltaloomError(
            f"Data file {path} must hold either 'labels' or 'targets' beside 'x', not "
            f"{'both' if 'labels' in arrays else 'neither'}"
        )
    if "labels" in arrays:
        return ErrorRate(*read_labelled(path))
    (x, memory), targets = _data(path, arrays), arrays["targets"]
    if targets.dtype.kind not in "fiu" or targets.ndim not in (2, 3) or len(targets) != len(x):
        raise DeltaloomError(
            f"Targets of {path} must be real numbers of shape ({len(x)}, outputs) or ({len(x)}, "
            f"time, outputs), not {targets.dtype} of shape {targets.shape}"
        )
    targets = targets.astype(np.float64)
    if not np.all(np.isfinite(targets)):
        raise DeltaloomError(f"Targets of {path} must be finite; they hold NaN or infinity")
    if targets.ndim == 3 and isinstance(x, list):
        rows = [row[: len(part)] for row, part in zip(targets, x, strict=True)]
        return SquaredError(x, rows, memory)
    return SquaredError(x, targets, memory)


def read_states(path: str) -> dict[str, dict[str, np.ndarray]]:
    """States of a file by layer and state: arrays ``<layer>.<state>``, (batch, size).

    What :func:`write_outputs` writes besides is passed over.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, values in _arrays(path, None).items():
        layer, _, state = name.rpartition(".")
        if layer:
            found.setdefault(layer, {})[state] = values
        elif name not in OUTPUTS:
            raise DeltaloomError(
                f"Array {name} of {path} must be called LAYER.STATE, as a state of shape "
                f"(batch, size)"
            )
    return found


def write_outputs(path: str, run: Run) -> None:
    """Write outputs, integers, cycles and final states, ``<layer>.<state>``, of a run.

    Sequences of other lengths are padded with zeros.
    """
    arrays = {"cycles": run.cycles}
    for layer, states in run.states.items():
        arrays |= {f"{layer}.{state}": values for state, values in states.items()}
    for name, values in (("outputs", run.outputs), ("integers", run.integers)):
        if isinstance(values, list):
            arrays["lengths"] = np.array([len(sequence) for sequence in values])
            shape = (len(values), int(arrays["lengths"].max()), values[0].shape[1])
            arrays[name] = np.zeros(shape, values[0].dtype)
            for place, sequence in zip(arrays[name], values, strict=True):
                place[: len(sequence)] = sequence
        else:
            arrays[name] = values
    with written_aside(path, "Output") as aside, open(aside, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _arrays(path: str, wanted: tuple[str, ...] | None) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it is a single array")
            names = archive.files if wanted is None else wanted
            return {name: archive[name] for name in names if name in archive}
    except OSError as error:
        reason = error.strerror or str(error)
        raise DeltaloomError(f"Data file {path} must be a readable file: {reason}") from error
    except BROKEN as error:
        reason = "pickled arrays are never loaded" if "pickle" in str(error) else str(error)
        raise DeltaloomError(
            f"Data file {path} must be a whole .npz archive of numbers ({reason}): {REMEDY}"
        ) from error


def _data(path: str, arrays: dict[str, np.ndarray]) -> Data:
    if "memory_lengths" in arrays and "memory" not in arrays:
        raise DeltaloomError(f"Data file {path} must hold the array 'memory' with its lengths")
    memory = None
    if "memory" in arrays:
        memory = _sequences(path, arrays, "memory", "memory_lengths")
    return Data(_sequences(path, arrays, "x", "lengths"), memory)


def _sequences(path: str, arrays: dict[str, np.ndarray], name: str, ends: str) -> Any:
    if name not in arrays:
        raise DeltaloomError(f"Data file {path} must hold the array '{name}': {REMEDY}")
    x = arrays[name]
    if x.ndim != 3 or 0 in x.shape:
        raise DeltaloomError(
            f"Array {name} of {path} must have shape (batch, time, features), none of them 0, "
            f"not {x.shape}"
        )
    if ends not in arrays:
        return x
    lengths = arrays[ends]
    if lengths.shape != (len(x),) or lengths.dtype.kind not in "iu":
        raise DeltaloomError(
            f"Array {ends} of {path} must be integers of shape ({len(x)},), "
            f"not {lengths.dtype} of shape {lengths.shape}"
        )
    if lengths.min() < 1 or lengths.max() > x.shape[1]:
        raise DeltaloomError(
            f"Array {ends} of {path} must be from 1 to {x.shape[1]}, the timesteps of {name}, "
            f"not {lengths.min()} to {lengths.max()}"
        )
    return [sequence[:length] for sequence, length in zip(x, lengths.tolist(), strict=True)]
