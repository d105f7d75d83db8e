"""Frames on the serial line: COBS, zero-delimited, with a CRC-16; bytes in, frames out, no port and no clock.

On the wire a frame is `0x00 COBS(type, sequence, payload, check_high, check_low) 0x00`. COBS removes every zero from
the body, so a receiver that has lost its place finds it again at the next zero; the zero in front ends whatever noise
an idle line has picked up. The CRC goes high byte first: only in that order do the body's bits form one code word, in
which every burst of up to 16 bits is sure to be found. It goes inverted, as in HDLC: a CRC that is not is blind to a
zero behind it, which is just what one wrong bit makes of the last delimiter.
"""

import binascii
from dataclasses import dataclass

from cobs import cobs

MAX_PAYLOAD = 64
"""Longest payload in bytes; a receiver on a small microcontroller needs no more memory than this frame."""
CRC_INITIAL = 0xFFFF
"""Start value of the CRC; with polynomial 0x1021 the check value of b"123456789" is 0x29B1."""
DELIMITER = b"\x00"
MIN_BODY = 4
"""Type, sequence number and CRC, in bytes: the shortest body, that of a frame without payload."""
MAX_BODY = MIN_BODY + MAX_PAYLOAD
MAX_ENCODED = MAX_BODY + 1
"""Longest body after COBS, in bytes, without the delimiters: below 255 bytes COBS adds exactly one."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its type and sequence number (each 0..255) and its payload (0..64 bytes)."""

    type: int
    sequence: int
    payload: bytes = b""


def crc16(data: bytes) -> int:
    """Return the CRC-16 of `data`: polynomial 0x1021, initial 0xFFFF, not reflected, no final exclusive or.

    It is avr-libc's `_crc_xmodem_update` started at 0xFFFF, not its `_crc_ccitt_update`. A frame carries it with all
    bits inverted.
    """
    return binascii.crc_hqx(data, CRC_INITIAL)


def _check(content: bytes) -> bytes:
    return (crc16(content) ^ 0xFFFF).to_bytes(2, "big")


def encode(frame: Frame) -> bytes:
    """Return `frame` as it goes on the wire, with a delimiter before and behind.

    Raises ValueError when the payload is longer than 64 bytes, or the type or sequence number is no byte.
    """
    if len(frame.payload) > MAX_PAYLOAD:
        raise ValueError(f"a frame's payload is at most {MAX_PAYLOAD} bytes long, not {len(frame.payload)}")
    body = bytes((frame.type, frame.sequence)) + frame.payload
    encoded: bytes = cobs.encode(body + _check(body))
    return DELIMITER + encoded + DELIMITER


class FrameDecoder:
    """Cuts received bytes into frames; what is no frame is dropped and counted, and never raises.

    It holds at most `MAX_ENCODED` bytes. The counters only grow: `frames` that were right, `crc_errors`, `malformed`
    (no valid COBS, or too short for a frame) and `overlong` (more bytes between two zeros than a frame can have).
    """

    def __init__(self) -> None:
        self.frames = 0
        self.crc_errors = 0
        self.malformed = 0
        self.overlong = 0
        self._buffer = bytearray()
        self._overflowed = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next received bytes, cut anywhere, and return the frames that they complete, in order."""
        *ended, rest = data.split(DELIMITER)
        frames = []
        for piece in ended:
            self._collect(piece)
            frame = self._finish()
            if frame is not None:
                frames.append(frame)
        self._collect(rest)
        return frames

    def reset(self) -> None:
        """Forget a half-received frame (the line was closed); the counters stay."""
        self._buffer.clear()
        self._overflowed = False

    def _collect(self, piece: bytes) -> None:
        if self._overflowed or len(self._buffer) + len(piece) > MAX_ENCODED:
            self._overflowed = True
            self._buffer.clear()
        else:
            self._buffer += piece

    def _finish(self) -> Frame | None:
        encoded, overflowed = bytes(self._buffer), self._overflowed
        self.reset()
        if overflowed:
            self.overlong += 1
            return None
        if not encoded:
            return None
        try:
            body: bytes = cobs.decode(encoded)
        except cobs.DecodeError:
            self.malformed += 1
            return None
        if len(body) < MIN_BODY:
            self.malformed += 1
            return None
        content = body[:-2]
        if _check(content) != body[-2:]:
            self.crc_errors += 1
            return None
        self.frames += 1
        return Frame(content[0], content[1], content[2:])
