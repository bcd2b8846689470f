"""Which of a model's two sequences is the network's input, and which its memory."""

from collections.abc import Mapping

from ..errors import UnsupportedError
from ..network import Network
from ..wiring import INPUT, MEMORY, sources_of

__all__ = ["check_roles"]


def check_roles(subject: str, network: Network, names: Mapping[str, str]) -> None:
    """The output depends on each input, and what is called a memory is one.

    Parameters
    ----------
    subject : str
        The model's output as sentences call it.
    names : mapping of str to str
        By input of the network: what the model calls it.

    Raises
    ------
    UnsupportedError
        By the model's own names.
    """
    if MEMORY not in names:
        return
    read = {source for sources in sources_of(network.layers).values() for source in sources}
    for root, name in names.items():
        if root not in read:
            raise UnsupportedError(
                f"{subject} does not depend on what {name} holds; supported is attention of what "
                f"follows the input to what follows the memory"
            )
    if names[INPUT] == MEMORY:
        raise UnsupportedError(
            f"{subject} attends to {names[MEMORY]} with queries of {MEMORY}; supported are keys "
            f"and values of {MEMORY}, or another name"
        )
