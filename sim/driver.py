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
from .transactions import Transactions
from .vectors import EXTRA, HUNG, OK, REFUSED, WITHDRAWN

__all__ = ["Compiled", "definitions", "loop"]

NOTHING = Transactions(*np.zeros((5, 0), np.int64))
PROGRAM = "simulator"
"""Name of the program in its cache entry."""


def definitions(ports: Ports, trace: bool) -> list[str]:
    """Compiler options that tell the C++ text the port widths and whether it dumps waves."""
    return [
        f"-DINPUT_BITS={ports.input_bits}",
        f"-DOUTPUT_BITS={ports.output_bits}",
        f"-DREGISTERS={int(ports.address_bits > 0)}",
        f"-DTRACE={int(trace)}",
    ]


def loop() -> str:
    """The C++ text to put after the definition of ``struct Device``, which has

    - ``Device(const char *vcd)``,
    - ``void drive(bool rst, bool valid, uint64_t data, bool last, bool ready)``: set the inputs,
    - ``void settle()``: bring the outputs up to date, before the clock edge,
    - ``bool ready(), valid(), last(), user(); uint64_t data()``: read the outputs,
    - ``void edge()``: the rising clock edge;

    and if ``REGISTERS``

    - ``void request(bool write, bool read, uint64_t address, uint64_t data)``: as ``drive``,
    - ``bool taken(), confirmed(), answered(), failed(); uint64_t word()``: read the outputs.
    """
    names = {"RESET": RESET_CYCLES, "OK": OK, "EXTRA": EXTRA, "HUNG": HUNG, "WITHDRAWN": WITHDRAWN}
    names["REFUSED"] = REFUSED
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
    const std::vector<uint64_t> settings = load<uint64_t>(in, 5);
    const uint64_t n = settings[0], m = settings[1], idle = settings[2], limit = settings[3];
    const auto data = load<uint64_t>(in, n), gaps = load<uint64_t>(in, n);
    const auto stalls = load<uint64_t>(in, m);
    const uint64_t k = settings[4];
    const auto write = load<uint64_t>(in, k), address = load<uint64_t>(in, k);
    const auto word = load<uint64_t>(in, k), before = load<uint64_t>(in, k);
    const auto after = load<uint64_t>(in, k);
    const auto last = load<uint8_t>(in, n);
    fclose(in);

    Device device(argc > 3 ? argv[3] : nullptr);
    for (int i = 0; i < RESET; i++) {
        device.drive(true, false, 0, false, false);
        device.settle();
        device.edge();
    }

    std::vector<uint64_t> accepted, delivered, out, read, answered;
    std::vector<uint8_t> marks;
    accepted.reserve(n);
    delivered.reserve(m);
    out.reserve(m);
    marks.reserve(m);
    uint64_t gap = gaps[0], stall = stalls[0], cycle = 0, quiet = 0, rest = 0;
    uint64_t i = 0, j = 0, held_data = 0, status = OK;
    uint8_t held_mark = 0;
    bool held = false, requested = false, taken = false;
    uint64_t a = 0;
    for (; rest < idle || i < n || j < m || a < k; cycle++) {
        const bool pending = a < k && before[a] == i;
        const bool offer = i < n && !gap && !pending, take = !stall;
        const bool done = i == n && j == m && a == k;
        device.drive(false, offer, data[i], last[i], take);
        requested |= pending && after[a] <= j;
#if REGISTERS
        const bool request = requested && !taken;
        device.request(request && write[a], request && !write[a], address[a], word[a]);
#endif
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
#if REGISTERS
        if (requested) {
            taken |= device.taken();
            const bool confirmed = device.confirmed();
            if (confirmed || device.answered()) {
                if (device.failed()) {
                    status = REFUSED;
                    break;
                }
                read.push_back(confirmed ? 0 : uint64_t(int64_t(int32_t(device.word()))));
                answered.push_back(cycle);
                requested = taken = false;
                quiet = 0;
                a++;
            }
        }
#endif
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
    store(file, std::vector<uint64_t>{status, cycle, i, j, a});
    store(file, accepted);
    store(file, delivered);
    store(file, out);
    store(file, read);
    store(file, answered);
    store(file, marks);
    return fclose(file) ? 2 : 0;
}
"""


def _write(path: Path, stimulus: Stimulus, ports: Ports) -> None:
    n, m = stimulus.data.size, stimulus.outputs
    mask = np.uint64((1 << ports.input_bits) - 1)
    requests = stimulus.transactions or NOTHING
    words = [
        np.array([n, m, stimulus.idle, stimulus.limit, len(requests)], np.uint64),
        stimulus.data.view(np.uint64) & mask,
        np.zeros(n, np.int64) if stimulus.gaps is None else stimulus.gaps,
        np.zeros(m, np.int64) if stimulus.stalls is None else stimulus.stalls,
        *(requests.write.astype(np.int64), requests.address, requests.data),
        *(requests.before, requests.after),
        stimulus.last,
    ]
    path.write_bytes(b"".join(word.tobytes() for word in words))


def _read(path: Path, stimulus: Stimulus) -> Capture:
    raw = path.read_bytes()
    head = np.frombuffer(raw, np.int64, 5).tolist()
    status, cycle, accepted, delivered, answered = head
    judge(stimulus, status, cycle, accepted, delivered)
    counts = (len(head), accepted, delivered, delivered, answered, answered)
    words = np.frombuffer(raw, np.int64, sum(counts)).copy()
    _, taken, left, data, read, answers = np.split(words, np.cumsum(counts)[:-1])
    marks = np.frombuffer(raw, np.uint8)[-delivered:] if delivered else np.zeros(0, np.uint8)
    return Capture(
        data=data,
        last=(marks & 1).astype(bool),
        user=(marks >> 1).astype(bool),
        accepted=taken,
        delivered=left,
        cycles=cycle,
        read=read,
        answered=answers,
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
