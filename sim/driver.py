"""The C++ driver around a compiled design, and the two binary files it exchanges with Python.

The loop is written once, over a ``Device`` that CXXRTL and Verilator each supply. Stimulus and
capture are little-endian 64-bit words, markers one byte each.
"""

import sys
import tempfile
from pathlib import Path
from typing import ClassVar

import numpy as np

from . import cache, tools
from .stimulus import RESET_CYCLES, Capture, Ports, Progress, Stimulus, judge
from .vectors import EXTRA, HUNG, OK, WITHDRAWN

__all__ = ["Compiled", "definitions", "loop"]

PROGRAM = "simulator"
"""Name of the program in its cache entry."""


def definitions(ports: Ports, trace: bool) -> list[str]:
    """Compiler options that tell the C++ text the port widths and whether it dumps waves."""
    return [
        f"-DINPUT_BITS={ports.input_bits}",
        f"-DOUTPUT_BITS={ports.output_bits}",
        f"-DTRACE={int(trace)}",
    ]


def loop() -> str:
    """The C++ text to put after the definition of ``struct Device``, which has

    - ``Device(const char *vcd)``,
    - ``void drive(bool rst, bool valid, uint64_t data, bool last, bool ready)``: set the inputs,
    - ``void settle()``: bring the outputs up to date, before the clock edge,
    - ``bool ready(), valid(), last(), user(); uint64_t data()``: read the outputs,
    - ``void edge()``: the rising clock edge.
    """
    names = {"RESET": RESET_CYCLES, "OK": OK, "EXTRA": EXTRA, "HUNG": HUNG, "WITHDRAWN": WITHDRAWN}
    return "".join(f"#define {name} {value}\n" for name, value in names.items()) + _LOOP


_LOOP = r"""
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

template<class T> static std::vector<T> load(FILE *file, uint64_t n) {
    std::vector<T> words(n + 1);  // one more: the wait after the last beat
    if (fread(words.data(), sizeof(T), n, file) != n) exit(2);
    return words;
}

template<class T> static void store(FILE *file, const std::vector<T> &words) {
    if (fwrite(words.data(), sizeof(T), words.size(), file) != words.size()) exit(2);
}

int main(int argc, char **argv) {
    FILE *in = argc < 3 ? nullptr : fopen(argv[1], "rb");
    if (!in) return 2;
    const std::vector<uint64_t> settings = load<uint64_t>(in, 4);
    const uint64_t n = settings[0], m = settings[1], idle = settings[2], limit = settings[3];
    const auto data = load<uint64_t>(in, n), gaps = load<uint64_t>(in, n);
    const auto stalls = load<uint64_t>(in, m);
    const auto last = load<uint8_t>(in, n);
    fclose(in);

    Device device(argc > 3 ? argv[3] : nullptr);
    for (int i = 0; i < RESET; i++) {
        device.drive(true, false, 0, false, false);
        device.settle();
        device.edge();
    }

    std::vector<uint64_t> accepted, delivered, out;
    std::vector<uint8_t> marks;
    accepted.reserve(n);
    delivered.reserve(m);
    out.reserve(m);
    marks.reserve(m);
    uint64_t gap = gaps[0], stall = stalls[0], cycle = 0, quiet = 0, rest = 0;
    uint64_t i = 0, j = 0, held_data = 0, status = OK;
    uint8_t held_mark = 0;
    bool held = false;
    for (; rest < idle || i < n || j < m; cycle++) {
        const bool offer = i < n && !gap, take = !stall, done = i == n && j == m;
        device.drive(false, offer, data[i], last[i], take);
        device.settle();
        const bool ready = device.ready(), valid = device.valid();
        if (valid || held) {
            const uint64_t beat = device.data();
            const uint8_t mark = device.last() | device.user() << 1;
            if (held && !(valid && beat == held_data && mark == held_mark)) {
                status = WITHDRAWN;
                break;
            }
            if (j == m) {
                status = EXTRA;
                break;
            }
            held = !take;
            held_data = beat;
            held_mark = mark;
        }
        rest = done ? rest + 1 : 0;
        quiet += !gap && !stall;
        gap -= gap != 0;
        stall -= stall != 0;
        if (offer && ready) {
            accepted.push_back(cycle);
            gap = gaps[++i];
            quiet = 0;
        }
        if (take && valid) {
            out.push_back(uint64_t(int64_t(held_data << (64 - OUTPUT_BITS)) >> (64 - OUTPUT_BITS)));
            marks.push_back(held_mark);
            delivered.push_back(cycle);
            stall = stalls[++j];
            quiet = 0;
        }
        if (quiet == limit && !done) {
            status = HUNG;
            break;
        }
        device.edge();
    }

    FILE *file = fopen(argv[2], "wb");
    if (!file) return 2;
    store(file, std::vector<uint64_t>{status, cycle, i, j});
    store(file, accepted);
    store(file, delivered);
    store(file, out);
    store(file, marks);
    return fclose(file) ? 2 : 0;
}
"""


def _write(path: Path, stimulus: Stimulus, ports: Ports) -> None:
    n, m = stimulus.data.size, stimulus.outputs
    mask = np.uint64((1 << ports.input_bits) - 1)
    words = [
        np.array([n, m, stimulus.idle, stimulus.limit], np.uint64),
        stimulus.data.view(np.uint64) & mask,
        np.zeros(n, np.int64) if stimulus.gaps is None else stimulus.gaps,
        np.zeros(m, np.int64) if stimulus.stalls is None else stimulus.stalls,
        stimulus.last,
    ]
    path.write_bytes(b"".join(word.tobytes() for word in words))


def _read(path: Path, stimulus: Stimulus) -> Capture:
    raw = path.read_bytes()
    status, cycle, accepted, delivered = np.frombuffer(raw, np.int64, 4).tolist()
    judge(stimulus, status, cycle, accepted, delivered)
    words = np.frombuffer(raw, np.int64, 4 + accepted + 2 * delivered)[4:].copy()
    marks = np.frombuffer(raw, np.uint8)[-delivered:] if delivered else np.zeros(0, np.uint8)
    return Capture(
        data=words[accepted + delivered :],
        last=(marks & 1).astype(bool),
        user=(marks >> 1).astype(bool),
        accepted=words[:accepted],
        delivered=words[accepted : accepted + delivered],
        cycles=cycle,
    )


class Compiled:
    """A design compiled to a program of its own, in the cache; a subclass says how.

    Parameters
    ----------
    ports : Ports
        Widths of its data ports.
    progress : callable, optional
        Told what a build is doing.
    """

    name: ClassVar[str]

    def __init__(self, ports: Ports, progress: Progress | None = None) -> None:
        assert sys.byteorder == "little"
        self._ports = ports
        self._progress = progress or (lambda _: None)

    def _key(self, trace: bool) -> tuple[str, ...]:
        """Everything that the program depends on."""
        raise NotImplementedError

    def _make(self, folder: Path, program: Path, trace: bool) -> None:
        """Build ``program``, with ``folder`` for what is needed on the way."""
        raise NotImplementedError

    def _entry(self, trace: bool) -> cache.Entry:
        return cache.entry(self.name, loop(), *definitions(self._ports, trace), *self._key(trace))

    def is_built(self, *, trace: bool = False) -> bool:
        """Whether the program lies in the cache, so that a run starts at once."""
        return self._entry(trace).is_built

    def build(self, *, trace: bool = False) -> Path:
        """Return the program, built if it is not there yet; ``trace``: the one that dumps waves."""

        def make(folder: Path) -> None:
            with tempfile.TemporaryDirectory() as aside:
                self._make(Path(aside), folder / PROGRAM, trace)

        return self._entry(trace).get(make) / PROGRAM

    def run(self, stimulus: Stimulus, *, vcd: Path | None = None) -> Capture:
        """Run from reset; see :class:`.stimulus.Simulator`."""
        stimulus.check(self._ports)
        program = self.build(trace=vcd is not None)
        with tempfile.TemporaryDirectory() as aside:
            given, captured = Path(aside, "stimulus"), Path(aside, "capture")
            _write(given, stimulus, self._ports)
            command: list[str | Path] = [program, given, captured]
            if vcd is not None:
                command.append(Path(vcd).absolute())
            tools.run(command, what=f"The {self.name} simulation")
            return _read(captured, stimulus)
