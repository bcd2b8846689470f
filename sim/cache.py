"""Built simulators on disk, found again by the contents of everything that went into them.

An entry is a folder named by a hash. It is written aside and renamed, so it is whole or absent,
and two processes that build the same one do no harm to each other. Entries that have not been used
for long go when there are many.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Entry", "entry", "root"]

KEEP_ENTRIES = 400
KEEP_SECONDS = 3600
"""An entry used within this time is never removed: a process may be about to run it."""


def root() -> Path:
    """Folder of the cache: ``$DELTALOOM_CACHE``, or ``deltaloom`` in the user's cache folder."""
    if chosen := os.environ.get("DELTALOOM_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "deltaloom"


@dataclass(frozen=True)
class Entry:
    """One cached folder, built or not."""

    folder: Path

    @property
    def is_built(self) -> bool:
        return self.folder.is_dir()

    def get(self, make: Callable[[Path], None]) -> Path:
        """Return the folder; where it is missing, ``make`` fills an empty one first."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.folder)
            return self.folder
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix="new-", dir=self.folder.parent))
        try:
            make(aside)
            aside.rename(self.folder)
        except OSError:
            if not self.folder.is_dir():
                raise
            # Another process was first, and its entry is as good.
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        _prune(self.folder.parent)
        return self.folder


def entry(*parts: str | bytes) -> Entry:
    """The entry that belongs to ``parts``: sources, options, tool versions."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return Entry(root() / digest.hexdigest()[:40])


def _prune(folder: Path) -> None:
    ages = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            ages.append((path.stat().st_mtime, path))
    newest_first = sorted(ages, reverse=True)
    for used, path in newest_first[KEEP_ENTRIES:]:
        if used < time.time() - KEEP_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
