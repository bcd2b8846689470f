"""The computer's side of the bridge: sequences of integers in, results out."""

import time

import numpy as np

from ..compiler.errors import DeltaloomError, ToolMissingError
from .protocol import FLAG, VERSION, Error, Kind, decode, encode

__all__ = ["Host", "LinkError"]

_TRIES = 4


class LinkError(DeltaloomError):
    """The line to the board failed in a way that repeating a frame does not mend."""


class Host:
    """Speaks to the bridge of a board.

    Parameters
    ----------
    port : str or serial port
        Name of a serial port, or an open one: an object with ``read(n)``, which gives at most n
        bytes and none after a while, and ``write(data)``.
    baud : int
        Bits a second; has to be that of the shell.
    timeout : float
        Seconds without any answer after which a frame is repeated, and at last LinkError raised.

    Attributes
    ----------
    input_bytes, output_bytes : int
        Bytes of a beat, as the board says.
    """

    def __init__(self, port, *, baud=115_200, timeout=2.0):
        if isinstance(port, str):
            port = _open(port, baud)
        self._port = port
        self._timeout = timeout
        self._line = bytearray()
        self._results = []  # (payload, flags)
        self.input_bytes = self.output_bytes = self._longest = None
        self.reset()

    def reset(self):
        """Resets the accelerator and drops everything that is on its way."""
        for _ in range(_TRIES):
            self._port.write(bytes([FLAG]) + encode(Kind.RESET, 0))
            answer = self._await(lambda kind, *_: kind == Kind.INFO, lenient=True)
            if answer:
                break
        else:
            raise LinkError("Board must answer a reset, but said nothing: is it configured?")
        info = answer[2]
        if len(info) != 4 or info[0] != VERSION:
            raise LinkError(f"Board must speak version {VERSION} of the protocol, not {info.hex()}")
        _, self.input_bytes, self.output_bytes, self._longest = info
        self._number = self._expected = 0
        self._results.clear()

    def run(self, sequence):
        """Sends a sequence and waits for its results.

        Parameters
        ----------
        sequence : array of int, (time, features)
            Values of ``input_bytes`` bytes each, signed.

        Returns
        -------
        list of array of int64
            One array for every timestep of the result.

        Raises
        ------
        ValueError
            A value does not fit into a beat.
        LinkError
            The line failed. After that, :meth:`reset`.
        """
        values = np.asarray(sequence)
        if values.ndim != 2 or not values.size or not np.issubdtype(values.dtype, np.integer):
            raise ValueError(
                f"Sequence must be integers of shape (time, features), not {values.dtype} "
                f"of shape {values.shape}"
            )
        limit = 1 << (8 * self.input_bytes - 1)
        if values.min() < -limit or values.max() >= limit:
            raise ValueError(f"Sequence must fit {8 * self.input_bytes} bits, not {values.max()}")
        self._results.clear()
        data = b"".join(
            value.to_bytes(self.input_bytes, "little", signed=True)
            for value in values.ravel().tolist()
        )
        for start in range(0, len(data), self._longest):
            last = start + self._longest >= len(data)
            self._deliver(last, data[start : start + self._longest])
        while not (self._results and self._results[-1][1] & 2):
            if self._await(lambda kind, *_: kind == Kind.RESULT) is None:
                raise LinkError("Board must finish a sequence, but sent no end of it")
        return self._steps()

    def _steps(self):
        steps, current = [], bytearray()
        for payload, flags in self._results:
            current += payload
            if flags:
                beat = self.output_bytes
                if len(current) % beat:
                    raise LinkError(f"Result must be beats of {beat} bytes, not {len(current)}")
                steps.append(
                    np.array(
                        [
                            int.from_bytes(current[k : k + beat], "little", signed=True)
                            for k in range(0, len(current), beat)
                        ],
                        dtype=np.int64,
                    )
                )
                current.clear()
        self._results.clear()
        return steps

    def _deliver(self, last, payload):
        """Sends a frame until the board has accepted it."""
        frame = encode(Kind.DATA_LAST if last else Kind.DATA, self._number, payload)
        reason = "no answer"
        for _ in range(_TRIES):
            self._port.write(frame)
            answer = self._await(lambda kind, *_: kind in (Kind.ACCEPT, Kind.REFUSE))
            while answer and answer[0] == Kind.ACCEPT and answer[1] != self._number:
                answer = self._await(lambda kind, *_: kind in (Kind.ACCEPT, Kind.REFUSE))
            if answer and answer[0] == Kind.ACCEPT:
                self._number = (self._number + 1) % 256
                return
            if answer:
                code = answer[2][0] if answer[2] else 0
                reason = Error(code).name.lower() if code in Error._value2member_map_ else code
                if code in (Error.LENGTH, Error.KIND, Error.SEQUENCE):
                    break
        raise LinkError(f"Frame must be accepted by the board, but was refused: {reason}")

    def _await(self, wanted, lenient=False):
        """The first frame that is wanted; None if none comes. Collects results on the way."""
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
            kind, number, payload = frame
            if kind == Kind.RESULT and not lenient:
                if number != self._expected:
                    raise LinkError(f"Result must be number {self._expected}, not {number}")
                if not payload:
                    raise LinkError("Result must carry flags, but was empty")
                self._expected = (self._expected + 1) % 256
                self._results.append((payload[:-1], payload[-1]))
            if wanted(*frame):
                return frame
        return None


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
