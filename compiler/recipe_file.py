"""Recipes as TOML files."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from typing import Any

from .errors import DeltaloomError
from .written_aside import written_aside

__all__ = ["read_recipe", "write_recipe"]

MAX_BYTES = 1 << 20
BARE = re.compile("[A-Za-z0-9_-]+")


def read_recipe(path: str | PathLike[str], known: Sequence[str]) -> dict[str, Any]:
    """The parameters in a file, all of which are ``known``."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DeltaloomError(f"Recipe {path} must be a readable file: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise DeltaloomError(f"Recipe {path} must be a file of at most {MAX_BYTES:,} bytes")
    try:
        values = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeltaloomError(f"Recipe {path} must be valid TOML: {error}") from error
    except RecursionError:
        raise DeltaloomError(f"Recipe {path} must be valid TOML: it is nested too deeply") from None
    for name in values:
        if name not in known:
            raise DeltaloomError(
                f"Recipe {path} must have keys of {', '.join(known)}, not '{name}'"
            )
    return values


def write_recipe(values: Mapping[str, Any], path: str | PathLike[str]) -> None:
    """Write strings, numbers and mappings of them; the file appears whole or not at all."""
    with written_aside(path, "Recipe") as aside:
        aside.write_text("\n".join(_lines(values, ())) + "\n", encoding="utf-8")


def _lines(values: Mapping[str, Any], place: tuple[str, ...]) -> Iterator[str]:
    """A table's own values, then the tables in it; where those have none, it has a head itself."""
    tables = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    if place and (len(tables) < len(values) or not values):
        yield f"\n[{'.'.join(map(_key, place))}]"
    for name, value in values.items():
        if name not in tables:
            yield f"{_key(name)} = {value if not isinstance(value, str) else _text(value)}"
    for name, table in tables.items():
        yield from _lines(table, (*place, name))


def _key(name: str) -> str:
    return name if BARE.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    """A TOML string; its escapes are those of JSON."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
