"""What a tensor of a traced torch module stands for: a chain of layers, and the order of axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .axes import axes_text
from .errors import UnsupportedError
from .network import LastStep, Layer

__all__ = [
    "CellState",
    "Hidden",
    "InitialState",
    "Layers",
    "Recurrence",
    "Shape",
    "Stream",
    "as_stream",
]

Layers = tuple[Layer | LastStep, ...]


@dataclass(frozen=True)
class Stream:
    """The output of a chain of layers as a tensor whose dimensions are ``axes``.

    Parameters
    ----------
    layers : tuple of Layer and LastStep
        From the module's input up to here.
    axes : tuple of str
        ``batch``, ``time`` and ``features`` in the tensor's order; no ``time`` after the
        selection of the last timestep.
    """

    layers: Layers
    axes: tuple[str, ...]

    @property
    def last_layer(self) -> Layer | None:
        """The layer that computes the tensor, or ``None`` for the module's input."""
        return next((layer for layer in reversed(self.layers) if isinstance(layer, Layer)), None)

    def __getitem__(self, index: Any) -> "Stream":
        """The tensor itself, or its last timestep; nothing else is a stream."""
        items = _expand(index, len(self.axes))
        picked = [axis for axis, item in zip(self.axes, items, strict=True) if item != slice(None)]
        if not picked:
            return self
        selection = _text(index)
        if picked != ["time"]:
            axis = next(axis for axis in picked if axis != "time")
            hint = f"; the last timestep is {self._last_step()}" if "time" in self.axes else ""
            raise UnsupportedError(
                f"Selection {selection} takes a part of the {axis} axis of a tensor with axes "
                f"{axes_text(self.axes)}; supported is the last timestep alone{hint}"
            )
        if items[self.axes.index("time")] != -1:
            raise UnsupportedError(
                f"Selection {selection} takes other timesteps than the last; supported is "
                f"{self._last_step()}, which drops the time axis"
            )
        axes = tuple(axis for axis in self.axes if axis != "time")
        return Stream((*self.layers, LastStep("last_step")), axes)

    def select(self, dim: int, index: Any) -> "Stream":
        """``tensor.select(dim, index)``."""
        items: list[Any] = [slice(None)] * len(self.axes)
        items[dim] = index
        return self[tuple(items)]

    def permute(self, *dims: int | Sequence[int]) -> "Stream":
        """``tensor.permute(1, 0, 2)``."""
        order = dims[0] if len(dims) == 1 and isinstance(dims[0], Sequence) else dims
        axes = tuple(self.axes[dim] for dim in order)  # type: ignore[index]
        if sorted(axes) != sorted(self.axes):
            raise IndexError(f"Permutation {order} must name every axis of {self.axes} once")
        return Stream(self.layers, axes)

    def transpose(self, dim0: int, dim1: int) -> "Stream":
        """``tensor.transpose(0, 1)``."""
        axes = list(self.axes)
        axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
        return Stream(self.layers, tuple(axes))

    def _last_step(self) -> str:
        place = self.axes.index("time")
        return f"[{', '.join([':'] * place + ['-1'])}]"


@dataclass(frozen=True)
class Hidden:
    """A recurrent module's final hidden states: a tensor (layers, batch, features).

    Parameters
    ----------
    before : tuple of Layer and LastStep
        What the module reads.
    stack : tuple of Layer
        The module's layers.
    """

    before: Layers
    stack: tuple[Layer, ...]

    def __getitem__(self, index: Any) -> Stream:
        """One layer's final state: the last timestep of that layer's output."""
        layer, *others = _expand(index, 3)
        count = len(self.stack)
        if not isinstance(layer, int) or others != [slice(None)] * 2 or not -count <= layer < count:
            raise UnsupportedError(
                f"Selection {_text(index)} of the final hidden states (layers, batch, features) "
                f"is not one layer's; supported is [-1]"
            )
        chosen = self.stack[: layer % count + 1]
        return Stream((*self.before, *chosen, LastStep("last_step")), ("batch", "features"))

    def select(self, dim: int, index: Any) -> Stream:
        """``tensor.select(0, index)``."""
        items: list[Any] = [slice(None)] * 3
        items[dim] = index
        return self[tuple(items)]

    def squeeze(self, dim: int | None = None) -> Stream:
        """``tensor.squeeze(0)`` of a module with one layer."""
        if dim not in (0, -3) or len(self.stack) > 1:
            argument = "" if dim is None else str(dim)
            raise UnsupportedError(
                f"squeeze({argument}) of the final hidden states of {len(self.stack)} "
                f"layer{'s' * (len(self.stack) > 1)} (layers, batch, features) is not one "
                f"layer's; supported are [-1], and squeeze(0) of one layer"
            )
        return self[0]


@dataclass(frozen=True)
class CellState:
    """An LSTM's final cell state, which no layer gives."""

    path: str


class Recurrence(NamedTuple):
    """What a recurrent module returns."""

    output: Stream
    state: Hidden | CellState | tuple[Hidden | CellState, ...]


@dataclass(frozen=True)
class Shape:
    """A number, or a type or device, that says nothing about a tensor's values."""


@dataclass(frozen=True)
class InitialState:
    """A tensor of zeros: where a recurrent module starts anyway."""


def as_stream(value: Any, subject: str) -> Stream:
    """The value; raises :class:`UnsupportedError` unless it is a stream."""
    match value:
        case Stream():
            return value
        case Recurrence():
            reason = (
                "reads the pair (output, state) of a recurrent module; take its output, [0], first"
            )
        case Hidden():
            reason = "reads the final hidden states of all layers; supported is one layer's, [-1]"
        case CellState(path=path):
            reason = (
                f"reads the final cell state of module {path}; supported are its output and its "
                f"final hidden state"
            )
        case tuple():
            reason = "reads the states (h_n, c_n) of an LSTM; supported is the last h_n, [0][-1]"
        case _:
            reason = "reads a tensor that is not computed from the input; supported are layers"
    raise UnsupportedError(f"{subject} {reason}")


def _expand(index: Any, dimensions: int) -> list[Any]:
    """One item for each dimension: what a torch index means."""
    items = list(index) if isinstance(index, tuple) else [index]
    if any(item is ... for item in items):
        place = next(i for i, item in enumerate(items) if item is ...)
        items[place : place + 1] = [slice(None)] * (dimensions - len(items) + 1)
    items += [slice(None)] * (dimensions - len(items))
    if len(items) != dimensions or not all(type(item) in (int, slice) for item in items):
        raise UnsupportedError(
            f"Selection {_text(index)} of a tensor with {dimensions} axes is not supported; "
            f"supported are whole axes and the last timestep"
        )
    return items


def _text(index: Any) -> str:
    """The index as it was written, about."""

    def text(item: Any) -> str:
        match item:
            case slice(start=start, stop=stop, step=step):
                written = ":".join("" if i is None else text(i) for i in (start, stop))
                return written if step is None else f"{written}:{text(step)}"
            case int() | None:
                return str(item)
            case _ if item is ...:
                return "..."
        return type(item).__name__.lower()

    items = index if isinstance(index, tuple) else (index,)
    return f"[{', '.join(map(text, items))}]"
