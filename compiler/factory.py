"""Torch modules from a user's Python file, as the command line names them."""

import importlib.util
import sys
from pathlib import Path

from torch import nn

from .errors import DeltaloomError

__all__ = ["load_factory"]


def load_factory(place: str) -> nn.Module:
    """Run the user's file and return the module that its factory makes.

    Parameters
    ----------
    place : str
        ``path/to/file.py:factory``: a function without required arguments that returns a
        ``torch.nn.Module``, or the module itself.

    Raises
    ------
    DeltaloomError
        If there is no such file or name, or the user's code fails.
    """
    path_text, colon, name = place.rpartition(":")
    path = Path(path_text)
    if not colon or path.suffix != ".py" or not name.isidentifier():
        raise DeltaloomError(f"Model must be named as file.py:factory, not {place!r}")
    if not path.is_file():
        raise DeltaloomError(f"Model file {path} does not exist")
    spec = importlib.util.spec_from_file_location(f"deltaloom_user_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = code  # dataclasses and pickling look their module up there
    try:
        spec.loader.exec_module(code)
    except Exception as error:
        del sys.modules[spec.name]
        raise DeltaloomError(
            f"Model file {path} cannot be run: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(code, name):
        raise DeltaloomError(f"Model file {path} has no factory {name}")
    factory = getattr(code, name)
    if isinstance(factory, nn.Module):
        return factory
    if not callable(factory):
        raise DeltaloomError(
            f"Factory {name} of {path} must be a function, not {type(factory).__name__}"
        )
    try:
        module = factory()
    except Exception as error:
        raise DeltaloomError(
            f"Factory {name} of {path} failed: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(module, nn.Module):
        raise DeltaloomError(
            f"Factory {name} of {path} must return a torch.nn.Module, not {type(module).__name__}"
        )
    return module
