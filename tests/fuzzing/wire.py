"""What was really said on a Modbus connection: observers of the wire, for an oracle.

They read what a server sends as the standards say it must be read (MODBUS Messaging on TCP/IP
V1.0b, 3.1.3; MODBUS over Serial Line V1.02, 2.5.1), with none of the driver's code, and keep which
bytes answered which request.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

READS = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}


@dataclass(slots=True)
class Asked:
    """A request as the server got it, and what an observer saw as its answer."""

    number: int
    unit: int
    function: int
    start: int
    count: int
    asked_ns: int
    data: bytes | None = None
    torn: bool = False

    @property
    def size(self) -> int:
        """How many data bytes answer it."""
        return 2 * self.count if self.function > 2 else (self.count + 7) // 8

    @property
    def head(self) -> bytes:
        """What its answer begins with, behind the transaction id."""
        length = (3 + self.size).to_bytes(2, "big")
        return b"\0\0" + length + bytes((self.unit, self.function, self.size))

    def words(self, address: int, count: int) -> bytes | None:
        """Give the bytes that answered for registers `address`.., None if none did."""
        at = 2 * (address - self.start)
        inside = self.function > 2 and at >= 0 and address + count <= self.start + self.count
        return self.data[at : at + 2 * count] if inside and self.data is not None else None

    def bit(self, address: int) -> bool | None:
        """Give the bit that answered for `address`, None if none did."""
        at = address - self.start
        if self.function > 2 or self.data is None or not 0 <= at < self.count:
            return None
        return bool(self.data[at >> 3] >> (at & 7) & 1)


class Wire(Protocol):
    """How frames are made on a connection, and one connection seen from between."""

    def asked(self, request: Asked) -> None:
        """Note a request."""
        ...

    def answer(self, request: Asked, data: bytes) -> bytes:
        """Give the frame of the good answer."""
        ...

    def exception(self, request: Asked, code: int) -> bytes:
        """Give the frame of an exception."""
        ...

    def sent(self, data: bytes, of: Asked | None) -> None:
        """Note what the server put on the wire, whole or not; `of` is what it was made from."""
        ...


@dataclass(slots=True)
class TcpWire:
    """Modbus TCP: a transaction id says whose an answer is."""

    open: dict[int, Asked] = field(default_factory=dict)
    _stream: bytes = b""
    _edges: deque[int] = field(default_factory=deque)  # where what the server wrote ended
    _lost: bool = False

    def asked(self, request: Asked) -> None:
        """See `Wire.asked`."""
        self.open[request.number] = request

    def answer(self, request: Asked, data: bytes) -> bytes:
        """See `Wire.answer`."""
        return request.number.to_bytes(2, "big") + request.head + data

    def exception(self, request: Asked, code: int) -> bytes:
        """See `Wire.exception`."""
        head = request.number.to_bytes(2, "big") + b"\0\0\0\3"
        return head + bytes((request.unit, request.function | 0x80, code))

    def sent(self, data: bytes, of: Asked | None) -> None:
        """See `Wire.sent`: what it was made from says nothing, its transaction id all."""
        del of
        if self._lost or not data:
            return
        self._stream += data
        self._edges.append(len(self._stream))
        while len(self._stream) >= 6:
            length = int.from_bytes(self._stream[4:6], "big")
            if self._stream[2:4] != b"\0\0" or not 3 <= length <= 254:
                self._lost = True
                return
            if len(self._stream) < 6 + length:
                return
            self._frame(self._stream[: 6 + length], torn=self._edges[0] < 6 + length)
            self._stream = self._stream[6 + length :]
            self._edges = deque(e - 6 - length for e in self._edges if e > 6 + length)

    def _frame(self, frame: bytes, *, torn: bool) -> None:
        asked = self.open.get(int.from_bytes(frame[:2], "big"))
        fits = asked is not None and frame[2:9] == asked.head
        if asked is not None and asked.data is None and fits and len(frame) == 9 + asked.size:
            asked.data, asked.torn = frame[9:], torn


class RtuWire:
    """RTU: nothing but the order says whose an answer is, so what it was made from counts.

    A frame counts wherever it stands among other bytes: a line may give false ones.
    """

    def asked(self, request: Asked) -> None:
        """See `Wire.asked`."""

    def answer(self, request: Asked, data: bytes) -> bytes:
        """See `Wire.answer`."""
        return with_crc(bytes((request.unit, request.function, request.size)) + data)

    def exception(self, request: Asked, code: int) -> bytes:
        """See `Wire.exception`."""
        return with_crc(bytes((request.unit, request.function | 0x80, code)))

    def sent(self, data: bytes, of: Asked | None) -> None:
        """See `Wire.sent`."""
        if of is None or of.data is not None:
            return
        head, size = bytes((of.unit, of.function, of.size)), 5 + of.size
        at = data.find(head)
        while at >= 0 and at + size <= len(data):
            frame = data[at : at + size]
            if with_crc(frame[:-2]) == frame:
                of.data = frame[3:-2]
                return
            at = data.find(head, at + 1)


def with_crc(message: bytes) -> bytes:
    """Append the CRC of MODBUS over Serial Line V1.02, 2.5.1.2 and appendix B."""
    crc = 0xFFFF
    for byte in message:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xA001 if crc & 1 else 0)
    return message + crc.to_bytes(2, "little")
