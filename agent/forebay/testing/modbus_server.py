"""A Modbus TCP server that misbehaves on request.

Owns the faults that field devices, gateways and line noise are known for. Must not know Forebay's
Modbus driver: it builds its frames itself, from the MODBUS Application Protocol V1.1b3, so that one
mistake cannot hide in both.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

AREAS = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
"""What each function code reads."""
_WRITES = {5: "coil", 6: "holding", 15: "coil", 16: "holding", 22: "holding", 23: "holding"}
"""What each function code writes."""
ENDLESS_CHUNK = bytes(16_384)
"""What an endless frame is made of."""

Values = Callable[[str, int], int]
"""Gives the value at (area, address): 0 or 1 for bits, 0 to 65535 for registers."""


class Misbehaviour(Enum):
    """What becomes of an answer."""

    WRONG_TRANSACTION = auto()
    WRONG_PROTOCOL = auto()
    WRONG_UNIT = auto()
    WRONG_FUNCTION = auto()
    WRONG_EXCEPTION_FUNCTION = auto()
    WRONG_BYTE_COUNT = auto()
    FEWER = auto()
    """A whole answer, of two bytes less: what some servers do where their memory ends."""
    LENGTH_TOO_LONG = auto()
    LENGTH_TOO_SHORT = auto()
    LATE = auto()
    """Sent only when the next request comes, in front of that one's answer."""
    TWICE = auto()
    HALF_THEN_SILENCE = auto()
    HALF_THEN_CLOSE = auto()
    SILENCE = auto()
    CLOSE = auto()
    GARBAGE = auto()
    """`ModbusServer.garbage` instead of an answer."""
    GARBAGE_BEHIND = auto()
    """The answer, and `ModbusServer.garbage` behind it."""
    ENDLESS = auto()
    """A frame that announces 65,535 bytes and never stops."""
    DRIBBLE = auto()
    """The right answer, a byte at a time: no fault, only slow."""
    TOGETHER_REVERSED = auto()
    """Answers held back until `ModbusServer.together` are due, then sent last first: allowed."""


@dataclass(frozen=True, slots=True)
class Illegal:
    """Requests that touch `first`..`last` of `area` get exception `code`."""

    area: str
    first: int
    last: int
    code: int = 2


def address_values(area: str, address: int) -> int:
    """Encode the place in the value, each area in its own way."""
    if area == "holding":
        return address
    if area == "input":
        return 65_535 - address
    return int(address % 3 == 0) if area == "coil" else address % 2


class ModbusServer:
    """Listens on a free port of 127.0.0.1 while it is entered; its attributes tell it what to do.

    `requests` lists (area, start, count) of all requests in order. `misbehaviour` is applied to the
    answer whose index in `requests` is at least `from_request`. `illegal` and `max_count` bring
    exceptions; `edges` are addresses across which no request may reach. Each answer takes
    `delay_s`. `writes` lists all requests that write, function first, and `written` is what they
    left behind; `unknown` are functions that the device does not have.
    """

    def __init__(self, values: Values = address_values, *, unit: int = 1) -> None:
        """Serve `values` as `unit`; requests for units not in `units` are not answered."""
        self.values, self.units, self.port = values, {unit}, 0
        self.requests: list[tuple[str, int, int]] = []
        self.connections = 0
        self.writes: list[bytes] = []
        self.written: dict[tuple[str, int], int] = {}
        self.unknown: frozenset[int] = frozenset()
        self.misbehaviour: Misbehaviour | None = None
        self.from_request = 0
        self.garbage = b"\xff" * 64
        self.together = 1
        self.illegal: tuple[Illegal, ...] = ()
        self.edges: frozenset[int] = frozenset()
        self.max_count = 2000
        self.delay_s = 0.0
        self._server: asyncio.Server | None = None
        self._peers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop every connection and stop listening."""
        assert self._server is not None
        self._server.close()
        for writer in self._peers.values():
            writer.transport.abort()
        await asyncio.gather(*self._peers)
        await self._server.wait_closed()

    async def push(self, data: bytes) -> None:
        """Send `data`, which nothing asked for, to every client."""
        for writer in self._peers.values():
            writer.write(data)
            await writer.drain()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._peers[task] = writer
        held: list[bytes] = []
        try:
            while True:
                header = await reader.readexactly(7)
                pdu = await reader.readexactly(int.from_bytes(header[4:6], "big") - 1)
                await asyncio.sleep(self.delay_s)
                if header[6] in self.units:
                    await self._answer(header, pdu, held, writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            del self._peers[task]
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(
        self, header: bytes, pdu: bytes, held: list[bytes], writer: asyncio.StreamWriter
    ) -> None:
        number = len(self.requests)
        answer = self._pdu(pdu)
        frame = header[:4] + (len(answer) + 1).to_bytes(2, "big") + header[6:7] + answer
        if self.misbehaviour is None or number < self.from_request:
            writer.write(b"".join(held) + frame)
            held.clear()
        else:
            await self._misbehave(self.misbehaviour, frame, held, writer)
        await writer.drain()

    def _pdu(self, pdu: bytes) -> bytes:
        """Give the right answer to a request, and note the request."""
        function = pdu[0]
        if function in _WRITES and function not in self.unknown:
            return self._written(pdu)
        if function not in AREAS or len(pdu) != 5:
            return bytes((function | 0x80, 1))
        area = AREAS[function]
        start, count = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
        self.requests.append((area, start, count))
        places = range(start, start + count)
        if not 1 <= count <= min(self.max_count, 125 if function > 2 else 2000):
            return bytes((function | 0x80, 3))
        if start + count > 65_536 or any(edge in places[1:] for edge in self.edges):
            return bytes((function | 0x80, 2))
        for illegal in self.illegal:
            if illegal.area == area and illegal.first < start + count and illegal.last >= start:
                return bytes((function | 0x80, illegal.code))
        values = [self._value(area, address) for address in places]
        if function > 2:
            data = b"".join(value.to_bytes(2, "big") for value in values)
        else:
            bits = sum(value << place for place, value in enumerate(values))
            data = bits.to_bytes((count + 7) // 8, "little")
        return bytes((function, len(data))) + data

    def _value(self, area: str, address: int) -> int:
        written = self.written.get((area, address))
        return self.values(area, address) if written is None else written

    def _written(self, pdu: bytes) -> bytes:
        """Do what a write says, and give its answer."""
        self.writes.append(pdu)
        function, area = pdu[0], _WRITES[pdu[0]]
        start, operand = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
        for illegal in self.illegal:
            if illegal.area == area and illegal.first <= start <= illegal.last:
                return bytes((function | 0x80, illegal.code))
        if function == 23:
            start = int.from_bytes(pdu[5:7], "big")
            self._put(start, pdu[10:])
            return bytes((23, pdu[9])) + pdu[10:]
        if function == 16:
            self._put(start, pdu[6:])
        elif function == 15:
            for place in range(operand):
                self.written[area, start + place] = pdu[6 + place // 8] >> place % 8 & 1
        elif function == 22:
            mask = int.from_bytes(pdu[5:7], "big")
            self.written[area, start] = self._value(area, start) & operand | mask & ~operand
        else:
            self.written[area, start] = operand if function == 6 else operand >> 15
        return pdu[:5] if function in {15, 16} else pdu

    def _put(self, start: int, data: bytes) -> None:
        for place in range(len(data) // 2):
            value = int.from_bytes(data[place * 2 : place * 2 + 2], "big")
            self.written["holding", start + place] = value

    async def _misbehave(
        self,
        how: Misbehaviour,
        frame: bytes,
        held: list[bytes],
        writer: asyncio.StreamWriter,
    ) -> None:
        if how in _MANGLED:
            writer.write(_MANGLED[how](frame))
        elif how in {Misbehaviour.LATE, Misbehaviour.TOGETHER_REVERSED}:
            self._hold(how, frame, held, writer)
        elif how in {Misbehaviour.GARBAGE, Misbehaviour.GARBAGE_BEHIND}:
            writer.write((frame if how is Misbehaviour.GARBAGE_BEHIND else b"") + self.garbage)
        elif how is Misbehaviour.DRIBBLE:
            for byte in frame:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(0)
        elif how is Misbehaviour.ENDLESS:
            writer.write(frame[:4] + b"\xff\xff" + frame[6:])
            while True:
                writer.write(ENDLESS_CHUNK)
                await writer.drain()
        elif how in {Misbehaviour.CLOSE, Misbehaviour.HALF_THEN_CLOSE}:
            if how is Misbehaviour.HALF_THEN_CLOSE:
                writer.write(frame[: len(frame) // 2])
            writer.close()

    def _hold(
        self, how: Misbehaviour, frame: bytes, held: list[bytes], writer: asyncio.StreamWriter
    ) -> None:
        """Keep `frame` back, or send what was kept back long enough."""
        if how is Misbehaviour.LATE:
            writer.write(b"".join(held))
            held[:] = [frame]
            return
        held.append(frame)
        if len(held) == self.together:
            writer.write(b"".join(reversed(held)))
            held.clear()


def _put(place: int, change: Callable[[int], int]) -> Callable[[bytes], bytes]:
    return lambda frame: frame[:place] + bytes((change(frame[place]) & 0xFF,)) + frame[place + 1 :]


_MANGLED: dict[Misbehaviour, Callable[[bytes], bytes]] = {
    Misbehaviour.WRONG_TRANSACTION: _put(0, lambda byte: byte + 64),
    Misbehaviour.WRONG_PROTOCOL: _put(3, lambda byte: byte + 1),
    Misbehaviour.WRONG_UNIT: _put(6, lambda byte: byte + 1),
    Misbehaviour.WRONG_FUNCTION: _put(7, lambda byte: 7 - byte),
    Misbehaviour.WRONG_EXCEPTION_FUNCTION: lambda frame: (
        frame[:4] + b"\x00\x03" + frame[6:7] + bytes(((7 - frame[7]) | 0x80, 2))
    ),
    Misbehaviour.WRONG_BYTE_COUNT: _put(8, lambda byte: byte - 2),
    Misbehaviour.FEWER: lambda frame: (
        frame[:5] + bytes((frame[5] - 2,)) + frame[6:8] + bytes((frame[8] - 2,)) + frame[9:-2]
    ),
    Misbehaviour.LENGTH_TOO_LONG: _put(5, lambda byte: byte + 2),
    Misbehaviour.LENGTH_TOO_SHORT: _put(5, lambda byte: byte - 2),
    Misbehaviour.TWICE: lambda frame: frame + frame,
    Misbehaviour.HALF_THEN_SILENCE: lambda frame: frame[: len(frame) // 2],
    Misbehaviour.SILENCE: lambda _: b"",
}
