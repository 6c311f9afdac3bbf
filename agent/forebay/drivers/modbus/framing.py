"""RTU and ASCII frames as bytes, and which of the answers that are waited for they hold.

Pure. Owns checksums and where a frame ends. Must not know connections or time. Source: "MB-SL" is
MODBUS over Serial Line Specification and Implementation Guide V1.02.

A frame is found among other bytes: adapters echo what is sent, and drivers of a line give a false
byte as they turn around. What is skipped is counted; a frame counts only if unit, function, byte
count and checksum are right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from forebay.drivers.modbus.codec import OPEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.drivers.modbus.codec import Request

RTU_MOST_BYTES = 256
"""The longest RTU frame (MB-SL 2.5.1)."""
ASCII_MOST_BYTES = 513
"""The longest ASCII frame (MB-SL 2.5.2)."""
_ERROR = 0x80
_IDENTITY_HEAD_BYTES = 8
"""Unit, function, MEI type, code, conformity, more, next id, count (MB-APP 6.21)."""


class Found(NamedTuple):
    """A frame's `message`, unit and PDU, and the index of the request that it answers."""

    message: bytes
    which: int


class Framing(Protocol):
    """How messages, unit and PDU, are told apart on a line."""

    @property
    def most_bytes(self) -> int:
        """The longest frame."""
        ...

    def wrap(self, message: bytes) -> bytes:
        """Give the frame of a message."""
        ...

    def take(
        self, buffer: bytearray, requests: Sequence[Request], *, final: bool
    ) -> tuple[Found | None, int]:
        """Take the first frame in `buffer` that answers one of `requests`.

        Cuts off what it took, and what can be no part of a frame; the second number counts that.
        With `final` nothing more is to come: what is incomplete can be no frame either.
        """
        ...

    def wire_bytes(self, message_bytes: int) -> int:
        """Give how many characters carry a message of so many bytes."""
        ...


class Rtu:
    """Binary, with a CRC; where a frame ends follows from what was asked (MB-SL 2.5.1)."""

    most_bytes = RTU_MOST_BYTES

    def wrap(self, message: bytes) -> bytes:
        """See `Framing.wrap`."""
        return message + crc(message).to_bytes(2, "little")

    def wire_bytes(self, message_bytes: int) -> int:
        """See `Framing.wire_bytes`."""
        return message_bytes + 2

    def take(
        self, buffer: bytearray, requests: Sequence[Request], *, final: bool
    ) -> tuple[Found | None, int]:
        """See `Framing.take`."""
        at = 0
        while at < len(buffer):
            length, which = _best(buffer, at, requests)
            if length >= 0 and (length == 0 or len(buffer) - at < length + 2) and not final:
                break  # it may become one
            end = at + length
            if length > 0 and end + 2 <= len(buffer):
                message = bytes(buffer[at:end])
                if crc(message).to_bytes(2, "little") == buffer[end : end + 2]:
                    del buffer[: end + 2]
                    return Found(message, which), at
            at += 1
        del buffer[:at]
        return None, at


class Ascii:
    """Hexadecimal digits between a colon and CR LF, with an LRC (MB-SL 2.5.2)."""

    most_bytes = ASCII_MOST_BYTES

    def wrap(self, message: bytes) -> bytes:
        """See `Framing.wrap`."""
        return b":" + (message + bytes((lrc(message),))).hex().upper().encode() + b"\r\n"

    def wire_bytes(self, message_bytes: int) -> int:
        """See `Framing.wire_bytes`."""
        return 2 * (message_bytes + 1) + 3

    def take(
        self, buffer: bytearray, requests: Sequence[Request], *, final: bool
    ) -> tuple[Found | None, int]:
        """See `Framing.take`."""
        skipped = 0
        while True:
            end = buffer.find(b"\r\n")
            begin = buffer.rfind(b":", 0, len(buffer) if end < 0 else end)
            if end < 0:
                keep = begin if begin >= 0 and not final else len(buffer)
                del buffer[:keep]
                return None, skipped + keep
            message = _hex_message(bytes(buffer[begin + 1 : end])) if begin >= 0 else b""
            del buffer[: end + 2]
            length, which = _best(message, 0, requests) if message else (-1, 0)
            if 0 < length == len(message):
                return Found(message, which), skipped + begin
            skipped += end + 2


def _hex_message(digits: bytes) -> bytes:
    """Give the message of a frame's digits, nothing if they are not right."""
    try:
        data = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return b""
    return data[:-1] if len(data) > 2 and lrc(data[:-1]) == data[-1] else b""


def _best(data: bytes | bytearray, at: int, requests: Sequence[Request]) -> tuple[int, int]:
    """Give the length of the message at `at` and which request it answers.

    0 if more bytes are needed to say so, -1 if it answers none.
    """
    best = (-1, 0)
    for index, request in enumerate(requests):
        length = _length(data, at, request)
        if length > 0:
            return length, index
        best = max(best, (length, index))
    return best


def _length(data: bytes | bytearray, at: int, request: Request) -> int:
    """As `_best`, for one request."""
    unit, function, third = request.head[4:7]
    have = len(data) - at
    if have < 2:
        return 0 if have == 0 or data[at] == unit else -1
    if data[at] == unit and data[at + 1] == function | _ERROR:
        return 3
    head = bytes((unit, function, third))[:have]
    if data[at : at + 3] != head:
        return -1
    if have < 3:
        return 0
    return _identity_length(data, at) if request.size == OPEN else 3 + request.size


def _identity_length(data: bytes | bytearray, at: int) -> int:
    """Give the length of an answer to Read Device Identification (MB-APP 6.21), 0 if not known."""
    end = at + _IDENTITY_HEAD_BYTES
    if end > len(data):
        return 0
    for _ in range(data[end - 1]):
        if end + 2 > len(data):
            return 0
        end += 2 + data[end + 1]
    return end - at


def lrc(message: bytes) -> int:
    """Give the longitudinal redundancy check (MB-SL 6.2.1): what makes the sum of all bytes 0."""
    return -sum(message) & 0xFF


def crc(message: bytes) -> int:
    """Give the CRC-16 of MB-SL 6.2.2: polynomial A001 reflected, from FFFF; low byte goes first."""
    value = 0xFFFF
    for byte in message:
        value = (value >> 8) ^ _CRC[(value ^ byte) & 0xFF]
    return value


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (0xA001 if byte & 1 else 0)
    return byte


_CRC = tuple(_crc_of(byte) for byte in range(256))
