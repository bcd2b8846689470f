"""The frames that host and board exchange, and their plain-Python twin.

On the line a frame is ``7E content 7E``. In the content, 7E and 7D are sent as 7D and the byte
XOR 20. A receiver that lost its place finds it again at the next 7E. The content is::

    kind  sequence number  payload ...  checksum (CRC-16/IBM-3740, high byte first)

====================  =========================================================================
to the board
====================  =========================================================================
``RESET``             empties everything and resets the accelerator; answered by ``INFO``
``DATA``              whole beats, bytes of a beat low first; answered by ``ACCEPT``
``DATA_LAST``         the same, and the last beat ends the sequence (tlast)
``WRITE``             byte address of a register (4 bytes, low first), then the words that go there
                      and to the addresses after it, 1 to MOST_WRITTEN of 4 bytes, low first;
                      answered by ``ACCEPT``, then ``ANSWER``
``READ``              byte address, then how many words to read, a byte; answered alike
====================  =========================================================================

====================  =========================================================================
to the host
====================  =========================================================================
``INFO``              protocol version, bytes of an input beat, of an output beat, longest payload
                      of data, bits of a register's byte address: 0 without registers
``ACCEPT``            the frame of that number is taken, and there is room for another
``REFUSE``            an :class:`Error` code: a frame was dropped, with the number expected next
``RESULT``            beats, then one byte of flags: 1 end of timestep, 2 end of sequence
``ANSWER``            the words that were read, low byte first, then an :class:`Answer` code: all
                      was done, or why the word after those that were read or written was not;
                      what follows it is passed over
====================  =========================================================================

A frame of the host that is lost or damaged on the way is repeated with its number; the board takes
every number once. Data, reads and writes happen in the order in which their frames came. Results
and answers are numbered too, together, but not kept: a gap or a wrong checksum is an error that
the host reports, and the sequence has to be sent again after ``RESET``.

Version 2 added registers: ``WRITE``, ``READ``, ``ANSWER`` and the last byte of ``INFO``. Host and
board have to speak the same version. A board without registers refuses ``WRITE`` and ``READ`` with
``KIND``.
"""

import binascii
import enum

__all__ = [
    "ESCAPE",
    "FLAG",
    "MOST_READ",
    "MOST_WRITTEN",
    "VERSION",
    "Answer",
    "Error",
    "Kind",
    "decode",
    "encode",
]

FLAG = 0x7E
ESCAPE = 0x7D
VERSION = 2
MOST_WRITTEN = 28  # words of a frame: no longer than the longest one of data
MOST_READ = 255


class Kind(enum.IntEnum):
    """First byte of a frame."""

    RESET = 0x00
    DATA = 0x01
    DATA_LAST = 0x02
    WRITE = 0x03
    READ = 0x04
    INFO = 0x10
    ACCEPT = 0x11
    REFUSE = 0x12
    RESULT = 0x20
    ANSWER = 0x21


class Error(enum.IntEnum):
    """Why the board refused a frame."""

    CHECKSUM = 1
    LINE = 2
    LENGTH = 3
    KIND = 4
    SEQUENCE = 5
    OVERFLOW = 6


class Answer(enum.IntEnum):
    """What became of a read or a write; but for UNALIGNED the code of AXI4-Lite."""

    OKAY = 0
    UNALIGNED = 1
    REFUSED = 2
    NOWHERE = 3


def encode(kind, number, payload=b""):
    """The bytes of one frame on the line."""
    content = bytes([kind, number]) + bytes(payload)
    content += binascii.crc_hqx(content, 0xFFFF).to_bytes(2, "big")
    line = bytearray([FLAG])
    for byte in content:
        line += bytes([ESCAPE, byte ^ 0x20]) if byte in (FLAG, ESCAPE) else bytes([byte])
    line.append(FLAG)
    return bytes(line)


def decode(line):
    """Kind, number and payload of what stood between two flags; None if it is damaged."""
    content, escaped = bytearray(), False
    for byte in line:
        if escaped:
            content.append(byte ^ 0x20)
            escaped = False
        elif byte == ESCAPE:
            escaped = True
        else:
            content.append(byte)
    if escaped or len(content) < 4 or binascii.crc_hqx(bytes(content), 0xFFFF):
        return None
    return content[0], content[1], bytes(content[2:-2])
