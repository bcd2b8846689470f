"""The computer's side of the bridge: sequences and registers' words in, results and words out."""

import numpy as np

from ..compiler.address_map import WORD_BYTES
from ..compiler.errors import DeltaloomError, UnsupportedError
from .link import Link, LinkError
from .protocol import MOST_READ, MOST_WRITTEN, Answer, Kind

__all__ = ["Host", "LinkError", "RegisterError"]

_REASONS = {
    Answer.UNALIGNED: "Address of words must be a multiple of 4, not {address:#x}",
    Answer.NOWHERE: "Addresses must be those of registers or of states' elements, which those "
    "from {address:#x} on are not",
    Answer.REFUSED: "Registers from {address:#x} on must not be {verb} now: a sequence is in the "
    "accelerator, loaded states wait for one already, or they are not there to be {verb}",
}


class RegisterError(DeltaloomError):
    """A register could not be read or written. The line is as good as before."""


class Host:
    """Speaks to the bridge of a board, in integers.

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
    address_bits : int
        Of a register's byte address, as the board says; 0 without registers.
    """

    def __init__(self, port, *, baud=115_200, timeout=2.0):
        self._link = Link(port, baud, timeout)
        self._take_info()

    def reset(self):
        """Resets the accelerator and drops everything that is on its way."""
        self._link.reset()
        self._take_info()

    def _take_info(self):
        self.input_bytes, self.output_bytes, self._longest, self.address_bits = self._link.info

    def run(self, sequence, memory=None):
        """Sends a sequence and waits for its results.

        Parameters
        ----------
        sequence : array of int, (time, features)
            Values of ``input_bytes`` bytes each, signed.
        memory : array of int, (time, features), optional
            The sequence of the memory that belongs to it, for a network that has one.

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
        link = self._link
        parts = [self._bytes("Sequence", sequence)]
        if memory is not None:
            parts.insert(0, self._bytes("Memory", memory))
        link.results.clear()
        for data in parts:
            for start in range(0, len(data), self._longest):
                last = start + self._longest >= len(data)
                kind = Kind.DATA_LAST if last else Kind.DATA
                link.deliver(kind, data[start : start + self._longest])
        while not (link.results and link.results[-1][1] & 2):
            link.collect(Kind.RESULT, "Board must finish a sequence, but sent no end of it")
        return self._steps()

    def write(self, address, words):
        """Writes words to registers, at a byte address and those after it.

        Parameters
        ----------
        address : int
        words : sequence of int
            Of 32 bits, signed or not.

        Raises
        ------
        RegisterError
            The board refused a word; those before it are written.
        LinkError
            The line failed. After that, :meth:`reset`.
        """
        data = [int(word) % (1 << 8 * WORD_BYTES) for word in words]
        for start in range(0, len(data), MOST_WRITTEN):
            part = data[start : start + MOST_WRITTEN]
            at = address + WORD_BYTES * start
            payload = b"".join(word.to_bytes(WORD_BYTES, "little") for word in part)
            self._request(Kind.WRITE, at, payload, "written")

    def read(self, address, count=1):
        """Words of registers, from a byte address on.

        Parameters
        ----------
        address, count : int

        Returns
        -------
        numpy.ndarray
            Int64 (count,): the words, unsigned.

        Raises
        ------
        RegisterError
            The board refused a word.
        LinkError
            The line failed. After that, :meth:`reset`.
        """
        found = b""
        for start in range(0, count, MOST_READ):
            most = min(MOST_READ, count - start)
            at = address + WORD_BYTES * start
            words = self._request(Kind.READ, at, bytes([most]), "read")
            if len(words) != WORD_BYTES * most:
                raise LinkError(f"Answer must be {most} words, not {len(words)} bytes")
            found += words
        return np.frombuffer(found, dtype="<u4").astype(np.int64)

    def _request(self, kind, address, payload, verb):
        """What the board answers, without its code."""
        link = self._link
        if not self.address_bits:
            raise UnsupportedError("Registers are not in this board's design: generate it anew")
        if not 0 <= address < 1 << 32:
            raise RegisterError(_REASONS[Answer.NOWHERE].format(address=address))
        link.answers.clear()
        link.deliver(kind, address.to_bytes(4, "little") + payload)
        if not link.answers:
            link.collect(Kind.ANSWER, "Board must answer a request, but sent nothing")
        words, code = link.answers.pop()
        if code not in _REASONS and code != Answer.OKAY:
            raise LinkError(f"Answer must end with a code, not {code}")
        if code != Answer.OKAY:
            refused = address + (len(words) if kind == Kind.READ else 0)
            raise RegisterError(_REASONS[code].format(address=refused, verb=verb))
        return words

    def _bytes(self, title, sequence):
        """A sequence as the line carries it."""
        values = np.asarray(sequence)
        if values.ndim != 2 or not values.size or not np.issubdtype(values.dtype, np.integer):
            raise ValueError(
                f"{title} must be integers of shape (time, features), not {values.dtype} "
                f"of shape {values.shape}"
            )
        limit = 1 << (8 * self.input_bytes - 1)
        if values.min() < -limit or values.max() >= limit:
            wide = values.max() if values.max() >= limit else values.min()
            raise ValueError(f"{title} must fit {8 * self.input_bytes} bits, not {wide}")
        return b"".join(
            value.to_bytes(self.input_bytes, "little", signed=True)
            for value in values.ravel().tolist()
        )

    def _steps(self):
        steps, current = [], bytearray()
        for payload, flags in self._link.results:
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
        self._link.results.clear()
        return steps
