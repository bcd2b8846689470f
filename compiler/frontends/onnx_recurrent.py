"""Recurrent operators of ONNX: which row is which gate, and which biases add."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cell import Cell, trace
from ..cells import GRU, LSTM, RNN, CoupledLSTM, PeepholeLSTM, ResetBeforeGRU
from ..errors import UnsupportedError
from ..network import Layer
from .onnx_activations import read_functions, with_functions
from .onnx_values import Filled, Given

__all__ = ["Recurrent", "read_recurrent"]

DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
GATES = {"LSTM": ("i", "o", "f", "g"), "GRU": ("z", "r", "n"), "RNN": ("n",)}
COMMON = {
    *("direction", "hidden_size", "layout", "activations"),
    *("activation_alpha", "activation_beta"),
}
KNOWN = {
    "LSTM": {*COMMON, "input_forget"},
    "GRU": {*COMMON, "linear_before_reset"},
    "RNN": COMMON,
}


@dataclass(frozen=True)
class Recurrent:
    """An operator's layers, one a direction.

    Parameters
    ----------
    layers : tuple of Layer
        Without sources; called ``<name>``, or ``<name>.forward`` and ``<name>.reverse``.
    reversed : tuple of bool
        Whether the layer walks the sequence from its end.
    batch_first : bool
        Order of the axes of input and output.
    """

    layers: tuple[Layer, ...]
    reversed: tuple[bool, ...]
    batch_first: bool


def read_recurrent(
    kind: str, name: str, attributes: Mapping[str, Any], inputs: Mapping[str, Any], subject: str
) -> Recurrent:
    """The layers of an ``LSTM``, ``GRU`` or ``RNN`` node, without its input.

    Parameters
    ----------
    kind, name, subject : str
        The operator, what its layers are called, and how sentences call it.
    attributes : mapping
        The node's.
    inputs : mapping of str to numpy.ndarray or Filled
        By the operator's own names, ``W`` to ``P``; what is computed is anything else.

    Raises
    ------
    UnsupportedError
        For attributes and inputs that our cells do not have, by name.
    """
    direction = attributes.get("direction", "forward")
    if direction not in DIRECTIONS:
        raise UnsupportedError(
            f"{subject} has direction={direction!r}; supported are {', '.join(DIRECTIONS)}"
        )
    count = DIRECTIONS[direction]
    for attribute, value in attributes.items():
        if attribute not in KNOWN[kind] and value != []:
            raise UnsupportedError(
                f"{subject} has {attribute}={value}; supported are {', '.join(sorted(KNOWN[kind]))}"
            )
    layout = attributes.get("layout", 0)
    if layout not in (0, 1):
        raise UnsupportedError(f"{subject} has layout={layout}; supported are 0 and 1")
    functions = read_functions(kind, attributes, count, subject)
    gates = len(GATES[kind])
    w = _array(inputs.get("W"), "W", (count, None, None), subject)
    hidden = w.shape[1] // gates
    if attributes.get("hidden_size", hidden) != hidden or hidden < 1:
        raise UnsupportedError(
            f"{subject} has hidden_size={attributes.get('hidden_size')} and W of shape "
            f"{w.shape}; supported are {gates} * hidden_size rows"
        )
    r = _array(inputs.get("R"), "R", (count, gates * hidden, hidden), subject)
    w = _array(w, "W", (count, gates * hidden, None), subject)
    b = _optional(inputs.get("B"), "B", (count, 2 * gates * hidden), subject)
    p = _optional(inputs.get("P"), "P", (count, 3 * hidden), subject)
    starts = _initial_states(inputs, (count, hidden), layout, subject)
    layers = []
    for place in range(count):
        rows = {
            gate: parts
            for gate, *parts in zip(
                GATES[kind],
                np.split(w[place], gates),
                np.split(r[place], gates),
                *np.split(b[place].reshape(2 * gates, hidden), 2),
                strict=True,
            )
        }
        cell, parameters = _cell(kind, attributes, functions[place], rows, p[place], subject)
        suffix = "" if count == 1 else (".forward", ".reverse")[place]
        graph = with_functions(trace(cell), kind, functions[place])
        layers.append(
            Layer(name + suffix, type(cell).__name__, graph, parameters, initial=starts[place])
        )
    backward = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    return Recurrent(tuple(layers), backward[direction], bool(layout))


def _cell(
    kind: str,
    attributes: Mapping[str, Any],
    functions: tuple[str, ...],
    rows: dict[str, list[np.ndarray]],
    peepholes: np.ndarray,
    subject: str,
) -> tuple[Cell, dict[str, np.ndarray]]:
    hidden, size = rows["n" if "n" in rows else "g"][0].shape
    cell: Cell
    extra: dict[str, np.ndarray] = {}
    match kind:
        case "RNN":
            cell = RNN(size, hidden)
        case "GRU":
            w, r, b_x, b_h = rows.pop("n")
            after = attributes.get("linear_before_reset", 0)
            if after not in (0, 1):
                raise UnsupportedError(
                    f"{subject} has linear_before_reset={after}; supported are 0 and 1"
                )
            if after:  # the reset gate multiplies the product, and b_h too
                cell = GRU(size, hidden)
                extra = {"n_x.x": w, "n_x": b_x, "n_h.h": r, "n_h": b_h}
            else:
                cell = ResetBeforeGRU(size, hidden)
                extra = {"n.x": w, "n.rh": r, "n": b_x + b_h}
        case _:
            coupled = attributes.get("input_forget", 0)
            if coupled not in (0, 1):
                raise UnsupportedError(
                    f"{subject} has input_forget={coupled}; supported are 0 and 1"
                )
            if coupled and peepholes.any():
                raise UnsupportedError(
                    f"{subject} has input_forget=1 and peepholes P; supported is one of them"
                )
            if coupled and functions[0] != "sigmoid":
                raise UnsupportedError(
                    f"{subject} has input_forget=1 and the gates' activation {functions[0]}; "
                    f"supported is Sigmoid"
                )
            if coupled:  # f = 1 - s(a) = s(-a), where a is the input gate's pre-activation
                cell = CoupledLSTM(size, hidden)
                rows["f"] = [-values for values in rows.pop("i")]
            elif peepholes.any():
                cell = PeepholeLSTM(size, hidden)
                extra = dict(zip(("p_i", "p_o", "p_f"), np.split(peepholes, 3), strict=True))
            else:
                cell = LSTM(size, hidden)
    parameters = dict(extra)
    for gate, (w, r, b_x, b_h) in rows.items():
        parameters |= {f"{gate}.x": w, f"{gate}.h": r, gate: b_x + b_h}
    return cell, parameters


def _initial_states(
    inputs: Mapping[str, Any], shape: tuple[int, int], layout: int, subject: str
) -> list[dict[str, np.ndarray]]:
    """What each direction starts from, by state; constants that are the same for the batch."""
    count, hidden = shape
    found: list[dict[str, np.ndarray]] = [{} for _ in range(count)]
    for state in ("h", "c"):
        name, given = f"initial_{state}", inputs.get(f"initial_{state}")
        if _is_zero(given):
            continue
        if isinstance(given, Filled):
            given = np.full((count, 1, hidden), given.value)
        elif not isinstance(given, np.ndarray) or given.dtype.kind != "f":
            raise UnsupportedError(
                f"{subject} has a computed {name}; supported are zeros, constants and inputs of "
                f"the file"
            )
        elif layout and given.ndim == 3:
            given = given.swapaxes(0, 1)
        if given.ndim != 3 or given.shape[::2] != shape or (given != given[:, :1]).any():
            raise UnsupportedError(
                f"{subject} has {name} of shape {given.shape}; supported is one vector of "
                f"{hidden} a direction, the same for the whole batch"
            )
        for start, vector in zip(found, given[:, 0].astype(np.float64), strict=True):
            start[state] = vector
    return found


def _is_zero(state: Any) -> bool:
    match state:
        case None | Given():
            return True
        case Filled(value=value):
            return value == 0
        case np.ndarray():
            return not state.any()
    return False


def _array(value: Any, name: str, shape: tuple[int | None, ...], subject: str) -> np.ndarray:
    if isinstance(value, Filled) and None not in shape:
        return np.full([n or 0 for n in shape], value.value)
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        raise UnsupportedError(f"{subject} has computed weights {name}; supported are constants")
    wanted = tuple("any" if n is None else n for n in shape)
    if value.ndim != len(shape) or any(
        n not in (None, m) for n, m in zip(shape, value.shape, strict=True)
    ):
        text = ", ".join(map(str, wanted))
        raise UnsupportedError(
            f"{subject} has {name} of shape {value.shape}; supported is ({text})"
        )
    return value.astype(np.float64)


def _optional(value: Any, name: str, shape: tuple[int, ...], subject: str) -> np.ndarray:
    return np.zeros(shape) if value is None else _array(value, name, shape, subject)
