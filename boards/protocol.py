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
====================  =========================================================================

====================  =========================================================================
to the host
====================  =========================================================================
``INFO``              protocol version, bytes of an input beat, of an output beat, longest payload
``ACCEPT``            the frame of that number is taken, and there is room for another
``REFUSE``            an :class:`Error` code: a frame was dropped, with the number expected next
``RESULT``            beats, then one byte of flags: 1 end of timestep, 2 end of sequence
====================  =========================================================================

A frame of the host that is lost or damaged on the way is repeated with its number; the board takes
every number once. Results are numbered too, but not kept: a gap or a wrong checksum is an error
that the host reports, and the sequence has to be sent again after ``RESET``.
"""

import binascii
import enum

__all__ = ["ESCAPE", "FLAG", "VERSION", "Error", "Kind", "decode", "encode"]

FLAG = 0x7E
ESCAPE = 0x7D
VERSION = 1


class Kind(enum.IntEnum):
    """First byte of a frame."""

    RESET = 0x00
    DATA = 0x01
    DATA_LAST = 0x02
    INFO = 0x10
    ACCEPT = 0x11
    REFUSE = 0x12
    RESULT = 0x20


class Error(enum.IntEnum):
    """Why the board refused a frame."""

    CHECKSUM = 1
    LINE = 2
    LENGTH = 3
    KIND = 4
    SEQUENCE = 5
    OVERFLOW = 6


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
