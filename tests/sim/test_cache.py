import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deltaloom.sim import cache

pytestmark = pytest.mark.usefixtures("empty_cache")


def fill(folder):
    (folder / "file").write_text("built")


def test_builds_once():
    made = []

    def make(folder):
        made.append(folder)
        fill(folder)

    entry = cache.entry("a", "b")
    assert not entry.is_built
    assert (entry.get(make) / "file").read_text() == "built"
    assert entry.is_built
    assert cache.entry(b"a", "b").get(make) == entry.folder
    assert len(made) == 1


def test_parts_do_not_run_together():
    assert cache.entry("ab", "c").folder != cache.entry("a", "bc").folder


def test_a_failed_build_leaves_nothing():
    def make(folder):
        fill(folder)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        cache.entry("a").get(make)
    assert not cache.entry("a").is_built
    assert not list(cache.root().iterdir())


BUILD_SLOWLY = """
import sys
from deltaloom.sim import cache

def make(folder):
    print("making", flush=True)
    sys.stdin.readline()
    (folder / "file").write_text("built")

print((cache.entry("a").get(make) / "file").read_text())
"""


def test_two_processes_build_the_same():
    command = [sys.executable, "-c", BUILD_SLOWLY]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as first, subprocess.Popen(command, **pipes) as second:
        for process in (first, second):
            assert process.stdout.readline() == "making\n"
        for process in (first, second):
            assert process.communicate("go on\n", timeout=60)[0] == "built\n"
            assert process.returncode == 0
    assert [path.name for path in cache.root().iterdir()] == [cache.entry("a").folder.name]


def test_removes_what_was_not_used_for_long(monkeypatch):
    monkeypatch.setattr(cache, "KEEP_ENTRIES", 2)
    entries = [cache.entry(str(number)) for number in range(4)]
    for age, entry in enumerate(entries[:3]):
        entry.get(fill)
        used = time.time() - 2 * cache.KEEP_SECONDS + age
        os.utime(entry.folder, (used, used))
    entries[0].get(fill)  # used again: it stays
    entries[3].get(fill)
    assert [entry.is_built for entry in entries] == [True, False, False, True]


def test_place(monkeypatch, tmp_path):
    monkeypatch.delenv("DELTALOOM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.root() == tmp_path / "deltaloom"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.root() == Path.home() / ".cache" / "deltaloom"
