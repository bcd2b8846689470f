"""How a prepared module is called: as the module that it was made from."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from ..compiler.axes import BATCH_FIRST, FRAME
from ..compiler.errors import UnsupportedError
from ..compiler.frontends.torch_frontend import Traced
from ..compiler.frontends.torch_interpreter import is_plain
from ..compiler.frontends.torch_layers import RECURRENT
from ..compiler.graph import Affine
from ..compiler.network import Network
from ..compiler.nn import ConvLSTM
from ..compiler.wiring import INPUT, MEMORY

__all__ = ["Call", "call_of", "call_of_network"]


@dataclass(frozen=True)
class Call:
    """What a module takes and returns.

    Parameters
    ----------
    arguments : mapping of str to str
        By input of the network: name of the argument, in the order of the arguments.
    axes : mapping of str to tuple of str
        Of each input; indices have no ``features``, and the elements of frames are ``features``
        too.
    output_axes : tuple of str
        The same of the output.
    grids : tuple of tuple of int, or None
        Rows and columns of the frames that come in, and of those that go out, if they are frames.
    stack : tuple of str
        The layers of a recurrent module: their final states are returned beside the output.
        Empty: the output alone is.
    states : tuple of str
        Of a recurrent module: the states whose final values are returned; ``h`` is the output.
    """

    arguments: Mapping[str, str]
    axes: Mapping[str, tuple[str, ...]]
    output_axes: tuple[str, ...] = BATCH_FIRST
    stack: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    grids: tuple[tuple[int, int] | None, tuple[int, int] | None] = (None, None)

    def kept(self, layer: str) -> tuple[str, ...]:
        """The states of a layer whose final values are returned and which no output has."""
        return tuple(name for name in self.states if name != "h") if layer in self.stack else ()


def call_of(module: nn.Module, traced: Traced) -> Call:
    """How a torch module is called that was traced."""
    if FRAME[0] in traced.axes.get(MEMORY, ()):
        raise UnsupportedError(
            f"Forward of {type(module).__name__} takes frames as {traced.arguments[MEMORY]}, which "
            f"cannot be trained with; supported is a memory of vectors"
        )
    axes = {name: vector_axes(found) for name, found in traced.axes.items()}
    output_axes = vector_axes(traced.output_axes)
    grids, arguments = grids_of(traced), traced.arguments
    path, last = "", module
    while is_plain(last, nn.Sequential):
        assert isinstance(last, nn.Sequential)
        name = str(len(last) - 1)
        path, last = f"{path}.{name}" if path else name, last[-1]
    if not is_plain(last, *RECURRENT, ConvLSTM):
        return Call(arguments, axes, output_axes, grids=grids)
    path = path or type(last).__name__.lower()
    plain = ("h", "c") if isinstance(last, nn.LSTM) else ("h",)
    ways = (".forward", ".reverse") if last.bidirectional else ("",)
    stack = tuple(f"{path}.{index}{way}" for index in range(last.num_layers) for way in ways)
    return Call(arguments, axes, output_axes, stack, getattr(last, "states", plain), grids)


def call_of_network(network: Network) -> Call:
    """A network is called with (batch, time, features), and with its memory after its input."""
    names = {INPUT: "x", MEMORY: "memory"}
    taken = [root for root in names if root in network.inputs]
    return Call({root: names[root] for root in taken}, dict.fromkeys(taken, BATCH_FIRST))


def vector_axes(axes: tuple[str, ...]) -> tuple[str, ...]:
    """Axes with the elements of frames as features."""
    return tuple("features" if axis == FRAME[0] else axis for axis in axes if axis not in FRAME[1:])


def grids_of(traced: Traced) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """Rows and columns of the frames that a module takes and of those that it gives, if it does."""
    convolutions = [
        path.convolution
        for layer in traced.network.computing
        for _, affine in layer.graph.of(Affine)
        for path in affine.paths[:1]
        if path.convolution is not None
    ]
    taken = convolutions[0].grid if FRAME[0] in traced.axes[INPUT] else None
    given = convolutions[-1].outputs if FRAME[0] in traced.output_axes else None
    return taken, given
