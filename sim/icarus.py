"""Icarus Verilog: an independent reading of the Verilog, four-valued, no build to speak of."""

import tempfile
from pathlib import Path

from ..compiler.errors import MismatchError
from . import cache, harness, tools, vectors
from .stimulus import Capture, Ports, Progress, Stimulus

__all__ = ["Icarus", "build"]


class Icarus:
    """A design in Icarus Verilog.

    Parameters
    ----------
    source : str
        The design in Verilog.
    ports : Ports
        Widths of its data ports.
    top : str
        Name of its top module.
    progress : callable, optional
        Told what a build is doing.
    """

    name = "icarus"

    def __init__(
        self, source: str, ports: Ports, *, top: str = "top", progress: Progress | None = None
    ) -> None:
        self._compiler, self._runtime = tools.icarus()
        self._source = source
        self._ports = ports
        self._top = top
        self._progress = progress or (lambda _: None)

    def run(self, stimulus: Stimulus, *, vcd: Path | None = None) -> Capture:
        """Run from reset; see :class:`.stimulus.Simulator`."""
        stimulus.check(self._ports)
        n, m = stimulus.data.size, stimulus.outputs
        requests = stimulus.transactions
        program = self._build(n, m, len(requests or ()))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            vectors.write_stimulus(
                folder,
                stimulus.data,
                stimulus.last,
                stimulus.gaps,
                stimulus.stalls,
                m,
                stimulus.idle,
                stimulus.limit,
                self._ports.input_bits,
                None if requests is None else requests.table(),
            )
            command: list[str | Path] = [self._runtime, "-n", program]
            if vcd is not None:
                command.append(f"+vcd={Path(vcd).absolute()}")
            tools.run(command, cwd=folder, what="The Icarus simulation")
            captured = vectors.read_capture(
                folder, n, m, self._ports.output_bits, len(requests or ())
            )
        if isinstance(captured, str):
            raise MismatchError(captured)
        return Capture(**captured)

    def _build(self, inputs: int, outputs: int, transactions: int) -> Path:
        texts = {
            # Icarus misses what is known at time zero: "always @*" would wait for its first change.
            "design.v": self._source.replace("always @*", "always_comb"),
            "harness.v": harness.harness(self._ports, inputs, outputs, transactions, top=self._top),
            "bench.v": harness.bench(),
        }

        def make(folder: Path) -> None:
            self._progress("iverilog: compiling")
            for name, text in texts.items():
                (folder / name).write_text(text)
            tools.run(
                [self._compiler, "-g2005-sv", "-s", "bench", "-o", "simulator", *texts],
                cwd=folder,
                what="Icarus Verilog",
            )

        version = tools.run([self._compiler, "-V"], what="Icarus Verilog").split("\n", 1)[0]
        return cache.entry(self.name, version, *texts.values()).get(make) / "simulator"


def build(
    source: str, ports: Ports, *, top: str = "top", progress: Progress | None = None
) -> Icarus:
    """Make a simulator of a design in Verilog; it compiles in a moment, when it runs."""
    return Icarus(source, ports, top=top, progress=progress)
