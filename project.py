"""A design's folder: what lies in it, how it is written and read back."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .boards import flow
from .boards.report import Report
from .compiler.attention_schedule import AttentionSchedule
from .compiler.errors import DeltaloomError, ModelFileError
from .compiler.schedule import LayerSchedule
from .compiler.summary import ports_of
from .compiler.written_aside import written_aside
from .model import load
from .sim import result, testbench
from .sim.experiment import Experiment

if TYPE_CHECKING:
    from .design import Design

__all__ = ["BUILD", "keep_report", "last_report", "manifest", "open_design", "write"]

MANIFEST = "manifest.json"
MODEL = "model.safetensors"
VERILOG = "design.v"
TESTBENCH = "testbench"
REPORT = "report.json"
BUILD = "build"
SEED = 1  # of the testbench's sequences


def manifest(design: Design) -> dict[str, Any]:
    """What a design is, for programs and for :func:`open_design`."""
    return {
        "board": design.board.name if design.board else None,
        "lanes": {layer.layer.name: layer.lanes for layer in design.schedule.layers},
        **ports_of(design.model.network),
        "registers": design.addresses.describe() if design.addresses else None,
        "layers": [
            _attention(layer) if isinstance(layer, AttentionSchedule) else _engine(layer)
            for layer in design.schedule.layers
        ],
        "verilog_sha256": verilog_digest(design),
    }


def _engine(layer: LayerSchedule) -> dict[str, Any]:
    return {
        "name": layer.layer.name,
        "cell": layer.layer.cell,
        "units": layer.layer.units,
        "skip": layer.layer.skip.value,
        "lanes": layer.lanes,
        "stages": [
            {
                "units": stage.size,
                "units_per_block": stage.units,
                "folds": stage.folds,
                "blocks": stage.blocks,
            }
            for stage in layer.stages
        ],
        "accumulator_bits": layer.accumulator_width,
        "cycles_per_dense_timestep": layer.dense_cycles,
    }


def _attention(schedule: AttentionSchedule) -> dict[str, Any]:
    """Its stages are the scores of as many keys as there is room for, and the weighted sums."""
    layer = schedule.layer
    parts = ((layer.max_steps, schedule.key_blocks), (layer.value_size, schedule.value_blocks))
    return {
        "name": layer.name,
        "cell": layer.cell,
        "units": layer.value_size,
        "skip": "zero" if layer.skips_zeros else "none",
        "lanes": schedule.lanes,
        "stages": [
            {
                "units": units,
                "units_per_block": min(schedule.lanes, units),
                "folds": 1,
                "blocks": blocks,
            }
            for units, blocks in parts
        ],
        "accumulator_bits": schedule.accumulator_width,
        "cycles_per_dense_timestep": schedule.dense_cycles,
    }


def verilog_digest(design: Design) -> str:
    """What tells one design from another."""
    return hashlib.sha256(design.verilog.encode()).hexdigest()


def write(design: Design, folder: Path) -> Path:
    """Write a design's folder aside and put it in place; returns the folder.

    A folder that holds a design is replaced, but what was built in it stays: builds know by
    content what is still good. Any other folder that is not empty is refused.
    """
    if folder.exists() and not folder.is_dir():
        raise DeltaloomError(f"Folder {folder} must be a folder, not a file")
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise DeltaloomError(f"Folder {folder} must be empty or hold a design; it holds others")
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        aside.chmod(0o755)
        (aside / VERILOG).write_text(design.verilog)
        design.model.save(aside / MODEL)
        if design.board:
            name, text = flow.constraints(design.component(), design.board)
            (aside / name).write_text(text)
        write_testbench(design, aside / TESTBENCH)
        (aside / MANIFEST).write_text(json.dumps(manifest(design), indent=2) + "\n")
        replace(folder, aside)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return folder


def replace(folder: Path, aside: Path) -> None:
    """Put the finished folder in the old one's place."""
    old = aside.with_name(f"{aside.name}.old")
    if folder.exists():
        folder.rename(old)
        if (old / BUILD).exists():
            (old / BUILD).rename(aside / BUILD)
    aside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def write_testbench(design: Design, folder: Path) -> None:
    """Write the cocotb testbench, with seeded sequences and what the models say of them."""
    network = design.model.network
    rng = np.random.default_rng(SEED)
    experiment = Experiment.random(network, rng, registers=design.addresses is not None)
    predicted, stimulus = experiment.predict(design.schedule, timed=False)
    outputs = experiment.expected.outputs
    last, user = result.markers(outputs)
    testbench.write(
        folder,
        f"../{VERILOG}",
        design.ports,
        stimulus,
        data=np.concatenate([values.ravel() for values in outputs]),
        last=last,
        user=user,
        delivered=predicted.delivered,
        answered=predicted.answered,
    )


def keep_report(design: Design, report: Report, folder: Path) -> None:
    """Write down what a build said, and of which design."""
    found = {"verilog_sha256": verilog_digest(design), **report.to_dict()}
    with written_aside(folder / REPORT, "Report") as aside:
        aside.write_text(json.dumps(found, indent=1) + "\n")


def last_report(design: Design, folder: Path) -> dict[str, Any]:
    """What the last build of a design said.

    Raises
    ------
    DeltaloomError
        If there was none, or it was of another design.
    """
    path = folder / REPORT
    try:
        found = json.loads(path.read_text())
        digest = found.pop("verilog_sha256")
    except OSError:
        raise DeltaloomError(f"Report {path} is missing: build the design first") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise DeltaloomError(
            f"Report {path} is not that of a build: build the design anew"
        ) from None
    if digest != verilog_digest(design):
        raise DeltaloomError(f"Report {path} is about another design: build this one first")
    return found


def open_design(folder: str | os.PathLike[str]) -> Design:
    """The design that :meth:`Design.write` put in a folder.

    Raises
    ------
    ModelFileError
        If the folder holds no design, or one that was altered or made by another version.
    """
    from .design import generate

    folder = Path(folder)
    try:
        found = json.loads((folder / MANIFEST).read_text())
        board, lanes, digest = (found[name] for name in ("board", "lanes", "verilog_sha256"))
        registers = found.get("registers") is not None
        written = hashlib.sha256((folder / VERILOG).read_bytes()).hexdigest()
    except OSError as error:
        missing = Path(error.filename).name
        raise ModelFileError(f"Folder {folder} holds no design: {missing} is missing") from None
    except (ValueError, KeyError, TypeError):
        raise ModelFileError(f"Manifest of {folder} is not that of a design") from None
    if written != digest:
        raise ModelFileError(f"Verilog in {folder} was altered after it was generated")
    design = generate(load(folder / MODEL), board, lanes, registers=registers)
    if verilog_digest(design) != digest:
        raise ModelFileError(f"Design in {folder} was made by another version: generate it anew")
    design.folder = folder
    return design
