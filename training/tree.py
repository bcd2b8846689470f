"""Modules by dotted names."""

from torch import nn

__all__ = ["find", "place"]


def place(root: nn.Module, name: str, module: nn.Module) -> None:
    """Make ``module`` the submodule of ``root`` called ``name``, and the modules that lead there.

    A part of the name that torch's modules use for themselves gets an underscore.
    """
    *parents, last = name.split(".")
    for parent in parents:
        if _key(root, parent) not in root._modules:
            root.add_module(_key(root, parent), nn.Module())
        root = root.get_submodule(_key(root, parent))
    root.add_module(_key(root, last), module)


def find(root: nn.Module, name: str) -> nn.Module:
    """What :func:`place` put there."""
    for part in name.split("."):
        root = root.get_submodule(_key(root, part))
    return root


def _key(parent: nn.Module, part: str) -> str:
    taken = hasattr(parent, part) and part not in parent._modules
    return f"{part}_" if taken else part
