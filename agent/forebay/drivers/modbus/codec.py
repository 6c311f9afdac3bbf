"""Modbus TCP frames as bytes: requests, the answers they may get, what an exception means.

Pure. Owns the wire. Must not know connections, tags or time. Sources: "MB-APP" is the MODBUS
Application Protocol Specification V1.1b3, "MB-TCP" the MODBUS Messaging on TCP/IP Implementation
Guide V1.0b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from forebay.model import Quality

FUNCTIONS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
"""Function code that reads each area (MB-APP 6.1 to 6.4)."""

HEADER_BYTES = 6
"""Transaction id, protocol id and length (MB-TCP 3.1.3), before what the length counts."""
SHORTEST_BYTES = 9
"""The shortest answer: an exception. Header, unit, function, code."""
LENGTH_MIN = 3
LENGTH_MAX = 254
"""Bounds of the length field: unit, function, a byte; an ADU of 260 bytes (MB-APP 4.1) less 6."""

OPEN = -1
"""The size of an answer whose length nobody knows before."""

FEWER = 256
"""In place of an exception code: the device answered with fewer values than it was asked for."""

_FUNCTION_ERROR = 0x80
_ENCAPSULATED = 0x2B
"""Encapsulated Interface Transport (Application Protocol V1.1b3, 6.19): it has no address."""
_READS = frozenset(FUNCTIONS.values())


@dataclass(frozen=True, slots=True)
class Request:
    """One request, compiled.

    `body` is the request without its transaction id. `head` are bytes 2 to 8 of the only good
    answer: protocol id, length, unit, function and the byte after it, of a read the byte count.
    `refusal` are bytes 2 to 7 of an exception. An answer's `size` further bytes belong at `offset`
    in the image. A `size` of OPEN says that only the answer itself tells its length, and that all
    of it behind the function is the image; the length in `head` is then 0.
    """

    body: bytes
    head: bytes
    refusal: bytes
    size: int
    offset: int

    def fits(self, frame: bytes) -> bool:
        """Whether these first SHORTEST_BYTES begin a good answer of a length not known before."""
        return (
            self.size == OPEN and frame[2:4] == self.head[:2] and frame[6:9] == self.head[4:7]
        ) and plausible_header(frame)

    def falls_short(self, frame: bytes) -> bool:
        """Whether these first SHORTEST_BYTES begin a whole answer with less than was asked for.

        Some servers cut an answer where their memory ends, in place of exception 2. None of it is
        data: nobody can know which places it is of.
        """
        return (
            self.head[5] in _READS
            and frame[2:4] == self.head[:2]
            and frame[6:8] == self.head[4:6]
            and frame[8] < self.size
            and (frame[4] << 8 | frame[5]) == frame[8] + 3
        )


def data_bytes(area: str, count: int) -> int:
    """Give how many data bytes answer a read: two a register, one for eight bits begun."""
    return count * 2 if area in {"holding", "input"} else (count + 7) // 8


def compile_request(unit: int, area: str, start: int, count: int, offset: int) -> Request:
    """Build the read of `count` units from `start`; its answer belongs at `offset` in the image."""
    function = FUNCTIONS[area]
    size = data_bytes(area, count)
    return Request(
        body=b"\x00\x00\x00\x06"
        + bytes((unit, function))
        + start.to_bytes(2, "big")
        + count.to_bytes(2, "big"),
        head=b"\x00\x00" + (size + 3).to_bytes(2, "big") + bytes((unit, function, size)),
        refusal=b"\x00\x00\x00\x03" + bytes((unit, function | _FUNCTION_ERROR)),
        size=size,
        offset=offset,
    )


def words(request: Request) -> str:
    """Say what a request asks for, as people name it."""
    function, start = request.body[5], int.from_bytes(request.body[6:8], "big")
    if function == _ENCAPSULATED:
        return f"function {function}, device identification"
    return f"function {function}, address {start}"


def plausible_header(data: bytes) -> bool:
    """Whether these first bytes of an answer, at least HEADER_BYTES, can begin a Modbus frame."""
    length = (data[4] << 8) | data[5]
    return data[2] == data[3] == 0 and LENGTH_MIN <= length <= LENGTH_MAX


def difference(frame: bytes, request: Request) -> str:
    """Say what is wrong with an answer that is neither `head` nor `refusal` of its request.

    `frame` are its first SHORTEST_BYTES.
    """
    protocol, length = (frame[2] << 8) | frame[3], (frame[4] << 8) | frame[5]
    unit, function, size = frame[6:9]
    want_length = (request.head[2] << 8) | request.head[3]
    want_unit, want_function, want_size = request.head[4:7]
    if protocol != 0:
        return f"protocol id {protocol} instead of 0"
    if unit != want_unit:
        return f"unit {unit} instead of {want_unit}"
    if function & ~_FUNCTION_ERROR != want_function:
        return f"function {function} instead of {want_function}"
    if function == want_function and size != want_size:
        what = "byte count" if function in FUNCTIONS.values() else "first byte of the echo"
        return f"{what} {size} instead of {want_size}"
    return f"length {length} instead of {want_length}"


class Meaning(NamedTuple):
    """What an exception code says; `permanent`: the request is at fault, not the device's state."""

    text: str
    status: Quality
    permanent: bool


EXCEPTIONS = {
    1: Meaning("illegal function", Quality.BAD_NOT_SUPPORTED, permanent=True),
    2: Meaning("illegal data address", Quality.BAD_NODE_ID_UNKNOWN, permanent=True),
    3: Meaning("illegal data value", Quality.BAD_OUT_OF_RANGE, permanent=True),
    4: Meaning("server device failure", Quality.BAD_DEVICE_FAILURE, permanent=False),
    5: Meaning("acknowledge", Quality.BAD_OUT_OF_SERVICE, permanent=False),
    6: Meaning("server device busy", Quality.BAD_OUT_OF_SERVICE, permanent=False),
    8: Meaning("memory parity error", Quality.BAD_DEVICE_FAILURE, permanent=False),
    10: Meaning("gateway path unavailable", Quality.BAD_NO_COMMUNICATION, permanent=False),
    11: Meaning("gateway target did not respond", Quality.BAD_NO_COMMUNICATION, permanent=False),
    FEWER: Meaning("fewer values than asked for", Quality.BAD_NODE_ID_UNKNOWN, permanent=True),
}
"""The exception codes of MB-APP 7, and FEWER, and the quality that a value gets."""


def meaning(code: int) -> Meaning:
    """Give what exception `code` says; one not in the standard tells nothing about the request."""
    return EXCEPTIONS.get(code) or Meaning("not in the standard", Quality.BAD, permanent=False)


def called(code: int) -> str:
    """Name what `meaning` explains."""
    return "an answer too short" if code == FEWER else f"exception {code}"
