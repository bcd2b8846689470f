"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path

from .errors import DeltaloomError

__all__ = ["written_aside"]


@contextmanager
def written_aside(path: str | PathLike[str], title: str) -> Iterator[Path]:
    """A file beside ``path``, with its suffix, that takes its place when all is written.

    Raises
    ------
    DeltaloomError
        If it cannot be written; ``title`` says what it is. Nothing is left behind then.
    """
    target = Path(path)
    aside = target.with_name(f".{os.getpid()}.part.{target.name}")
    try:
        yield aside
        os.replace(aside, target)
    except OSError as error:
        raise DeltaloomError(f"{title} {path} must be writable: {error.strerror}") from error
    finally:
        with suppress(OSError):
            aside.unlink()
