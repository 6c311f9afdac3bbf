"""What was really said on a Modbus TCP connection: an observer of the wire, for an oracle.

Reads what a server sends as the standard says it must be read (MODBUS Messaging on TCP/IP V1.0b,
3.1.3), with none of the driver's code, and keeps which bytes answered which request.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

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

    def answer(self, data: bytes) -> bytes:
        """Give the frame of the good answer."""
        return self.number.to_bytes(2, "big") + self.head + data

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


@dataclass(slots=True)
class Observer:
    """One connection, seen from between. `open` are the requests by transaction id."""

    open: dict[int, Asked] = field(default_factory=dict)
    _stream: bytes = b""
    _edges: deque[int] = field(default_factory=deque)  # where what the server wrote ended
    _lost: bool = False

    def sent(self, data: bytes) -> None:
        """Note what the server put on the wire, whole or not."""
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
