"""What a torch module's forward takes: sequences, and states that recurrent modules start from."""

import inspect
import operator
from collections.abc import Sequence
from typing import Any

from torch import fx, nn

from ..errors import UnsupportedError
from ..nn import Attention

__all__ = ["argument_names", "root_of", "sequences_of", "takes_too_much"]

PASSING = (operator.getitem, *("contiguous", "clone", "detach", "float", "double", "to"))
"""What a state or a pair of them goes through unchanged."""


class Root(nn.Module):
    """Calls the user's module, so that arguments with defaults take them."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, first: Any) -> Any:
        return self.module(first)


class RootOfTwo(Root):
    def forward(self, first: Any, second: Any) -> Any:  # type: ignore[override]
        return self.module(first, second)


class RootOfThree(Root):
    def forward(self, first: Any, second: Any, third: Any) -> Any:  # type: ignore[override]
        return self.module(first, second, third)


class RootOfFour(Root):
    def forward(self, first: Any, second: Any, third: Any, last: Any) -> Any:  # type: ignore[override]
        return self.module(first, second, third, last)


ROOTS = (Root, RootOfTwo, RootOfThree, RootOfFour)


def root_of(module: nn.Module) -> Root:
    """What is traced: the module, called with the arguments that it has to be given.

    Raises
    ------
    UnsupportedError
        If they are too many.
    """
    signature = inspect.signature(module.forward)
    for count, root in enumerate(ROOTS, 1):
        try:
            signature.bind(*[None] * count)
        except TypeError:
            continue
        return root(module)
    raise takes_too_much(module)


def takes_too_much(module: nn.Module) -> UnsupportedError:
    return UnsupportedError(
        f"Forward of {type(module).__name__} takes {inspect.signature(module.forward)}; supported "
        f"is one tensor, a memory that it attends to, and up to two initial states"
    )


def argument_names(module: nn.Module) -> list[str]:
    """Names of the arguments, in order."""
    return list(inspect.signature(module.forward).parameters)


def sequences_of(graph: fx.Graph, root: nn.Module) -> list[int]:
    """Which arguments of a traced root are sequences, by place: the first, and one more at most.

    The others are states, or pairs of them, that recurrent modules start from.

    Raises
    ------
    UnsupportedError
        For more sequences, by name, and for arguments that nothing reads.
    """
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    user = root.get_submodule("module")
    if not all(node.users for node in inputs[1:]):
        raise takes_too_much(user)
    found = [place for place, node in enumerate(inputs) if not place or not is_state(node, root)]
    if len(found) > 2:
        names = argument_names(user)
        raise UnsupportedError(
            f"Forward of {type(user).__name__} takes the sequences "
            f"{', '.join(names[place] for place in found)}; supported are two, an input and a "
            f"memory that it attends to"
        )
    return found


def is_state(value: fx.Node, root: nn.Module) -> bool:
    """Whether all that reads a value starts from it."""
    return all(starts_from(user, value, root) for user in value.users)


def starts_from(user: fx.Node, value: fx.Node, root: nn.Module) -> bool:
    first: Sequence[Any] = [*user.args, *user.kwargs.values()][:1]
    if user.op == "call_module":
        module = root.get_submodule(str(user.target))
        return value not in first and not isinstance(module, Attention)
    return user.target in PASSING and value in first and is_state(user, root)
