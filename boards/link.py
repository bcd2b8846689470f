"""Frames between the computer and the bridge of a board: repeated, numbered and checked."""

import time

from ..compiler.errors import DeltaloomError, ToolMissingError
from .protocol import FLAG, VERSION, Error, Kind, decode, encode

__all__ = ["Link", "LinkError"]

_TRIES = 4


class LinkError(DeltaloomError):
    """The line to the board failed in a way that repeating a frame does not mend."""


class Link:
    """One end of the line: delivers frames, and collects those that the board sends by itself.

    Parameters
    ----------
    port, baud, timeout
        As :class:`.host.Host` takes them.

    Attributes
    ----------
    info : bytes
        What the board said of itself when it was reset, after the version.
    results, answers : list of (bytes, int)
        Payloads of ``RESULT`` and ``ANSWER``, the byte at their end apart.
    """

    def __init__(self, port, baud, timeout):
        if isinstance(port, str):
            port = _open(port, baud)
        self._port = port
        self._timeout = timeout
        self._line = bytearray()
        self.results = []
        self.answers = []
        self.reset()

    def reset(self):
        """Resets the accelerator and drops everything that is on its way."""
        for _ in range(_TRIES):
            self._port.write(bytes([FLAG]) + encode(Kind.RESET, 0))
            answer = self._await({Kind.INFO}, lenient=True)
            if answer:
                break
        else:
            raise LinkError("Board must answer a reset, but said nothing: is it configured?")
        info = answer[2]
        if len(info) != 5 or info[0] != VERSION:
            raise LinkError(f"Board must speak version {VERSION} of the protocol, not {info.hex()}")
        self.info = info[1:]
        self._number = self._expected = 0
        self.results.clear()
        self.answers.clear()

    def deliver(self, kind, payload):
        """Sends a frame until the board has accepted it."""
        frame = encode(kind, self._number, payload)
        reason = "no answer"
        for _ in range(_TRIES):
            self._port.write(frame)
            answer = self._await({Kind.ACCEPT, Kind.REFUSE})
            while answer and answer[0] == Kind.ACCEPT and answer[1] != self._number:
                answer = self._await({Kind.ACCEPT, Kind.REFUSE})
            if answer and answer[0] == Kind.ACCEPT:
                self._number = (self._number + 1) % 256
                return
            if answer:
                code = answer[2][0] if answer[2] else 0
                reason = Error(code).name.lower() if code in Error._value2member_map_ else code
                if code in (Error.LENGTH, Error.KIND, Error.SEQUENCE):
                    break
        raise LinkError(f"Frame must be accepted by the board, but was refused: {reason}")

    def collect(self, kind, missing):
        """Waits for a frame of a kind that the board sends by itself; LinkError if none comes."""
        if self._await({kind}) is None:
            raise LinkError(missing)

    def _await(self, kinds, lenient=False):
        """The first frame of these kinds; None if none comes. Collects others on the way."""
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            byte = self._port.read(1)
            if not byte:
                continue
            deadline = time.monotonic() + self._timeout
            if byte[0] != FLAG:
                self._line += byte
                continue
            line, self._line = bytes(self._line), bytearray()
            if not line:
                continue
            frame = decode(line)
            if frame is None:
                if lenient:
                    continue
                raise LinkError("Frame of the board must have the right checksum: the line is bad")
            if not lenient:
                self._collect(*frame)
            if frame[0] in kinds:
                return frame
        return None

    def _collect(self, kind, number, payload):
        collected = {Kind.RESULT: self.results, Kind.ANSWER: self.answers}
        if kind not in collected:
            return
        title = Kind(kind).name.capitalize()
        if number != self._expected:
            raise LinkError(f"{title} must be number {self._expected}, not {number}")
        if not payload:
            raise LinkError(f"{title} must carry its last byte, but was empty")
        self._expected = (self._expected + 1) % 256
        collected[kind].append((payload[:-1], payload[-1]))


def _open(name, baud):
    try:
        import serial
    except ModuleNotFoundError as error:
        raise ToolMissingError(
            "Serial ports need pyserial: pip install deltaloom[boards]"
        ) from error
    try:
        return serial.Serial(name, baud, timeout=0.05)
    except serial.SerialException as error:
        raise LinkError(f"Serial port {name} could not be opened: {error}") from error
