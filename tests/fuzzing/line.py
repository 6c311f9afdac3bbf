"""A line to a real server on which its answers are mutated, torn, late, doubled or foreign.

Knows where a packet ends, and nothing of what is in it: chunks of OPC UA (Part 6, 7.1.2: three
letters, a fourth, a length of four bytes), control packets of MQTT (3.1.1, 2.2: a byte, a length of
one to four). Remembers what it put on the line that the server had not sent so, and when.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

REMEMBERED_NS = 20_000_000_000
HISTORY = 32
"""Old chunks that come again as foreign ones."""
MAX_CHUNK = 1 << 20


class Spoilt(NamedTuple):
    """Bytes that are not as the server sent them, and when (boot time) they went on the line."""

    at_ns: int
    data: bytes


async def chunk_of_opcua(reader: asyncio.StreamReader) -> bytes:
    """Read a chunk of an OPC UA message."""
    header = await reader.readexactly(8)
    size = int.from_bytes(header[4:8], "little")
    assert 8 <= size <= MAX_CHUNK, "the real server keeps to the standard"
    return header + await reader.readexactly(size - 8)


async def packet_of_mqtt(reader: asyncio.StreamReader) -> bytes:
    """Read a control packet of MQTT."""
    packet, size, shift = await reader.readexactly(1), 0, 0
    while True:
        byte = await reader.readexactly(1)
        packet += byte
        size |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            return packet + await reader.readexactly(size)


class FuzzingLine:
    """Listens on `port` while entered. A share `wild` of the server's chunks is not as it was."""

    def __init__(
        self,
        server_port: int,
        rng: random.Random,
        now_ns: Callable[[], int],
        *,
        wild: float,
        packet: Callable[[asyncio.StreamReader], Awaitable[bytes]] = chunk_of_opcua,
    ) -> None:
        """`packet` reads the next whole one of what the server sends."""
        self._packet = packet
        self._server_port, self._rng, self._now_ns, self._wild = server_port, rng, now_ns, wild
        self.port, self.told = 0, Counter[str]()
        self.spoilt: deque[Spoilt] = deque()
        self._history: deque[bytes] = deque([bytes(8)], maxlen=HISTORY)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ways: dict[str, Callable[[bytes], list[bytes] | None]] = {
            "flipped": self._flipped,
            "flipped in front": lambda chunk: self._flipped(chunk, 24),
            "torn": lambda chunk: [chunk[: self._rng.randrange(len(chunk))]],
            "torn, then closed": lambda _: None,
            "grown": self._grown,
            "shrunk": self._shrunk,
            "doubled": lambda chunk: [chunk, chunk],
            "foreign before": lambda chunk: [self._rng.choice(self._history), chunk],
            "foreign instead": lambda _: [self._rng.choice(self._history)],
            "length lies": self._length_lies,
            "letters lie": self._letters_lie,
            "garbage": lambda _: [self._rng.randbytes(self._rng.randrange(1, 400))],
            "endless": lambda chunk: [chunk[:4] + b"\xff\xff\xff\x7f" + bytes(120_000)],
            "silence": lambda _: [],
        }

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def was_spoilt(self, part: bytes, since_ns: int) -> bool:
        """Whether `part` was in bytes that this line had spoilt, since then."""
        return any(part in spoilt.data for spoilt in self.spoilt if spoilt.at_ns >= since_ns)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far: asyncio.StreamWriter | None = None
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._server_port)
            await asyncio.gather(self._up(reader, far), self._down(far_reader, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except RuntimeError:
            assert writer.is_closing()  # uvloop's way to say that the client has gone
        finally:
            self._tasks.discard(task)
            for end in (writer, far):
                if end is not None:
                    end.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        raise asyncio.IncompleteReadError(b"", 1)

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held: list[bytes] = []
        before = b""
        while True:
            chunk = await self._packet(reader)
            late, held = held, []
            pieces = self._become(chunk, held)
            if pieces is None:
                writer.write(chunk[: self._rng.randrange(len(chunk))])
                with contextlib.suppress(OSError):
                    await writer.drain()
                raise asyncio.IncompleteReadError(b"", 1)
            written = b"".join([*late, *pieces])
            if before:  # what is spoilt may reach into what follows
                self.spoilt.append(Spoilt(self._now_ns(), before + written[:256]))
            before = written if pieces != [chunk] else b""
            writer.write(written)
            await writer.drain()

    def _become(self, chunk: bytes, held: list[bytes]) -> list[bytes] | None:
        """Give what is sent in place of a chunk, or put it into `held`; None to tear it and close.

        What is held goes before what comes next: it is only late.
        """
        if self._rng.random() >= self._wild:
            self.told["right"] += 1
            self._history.append(chunk)
            return [chunk]
        way = self._rng.choice([*self._ways, "late"])
        self.told[way] += 1
        if way == "late":
            held.append(chunk)
            return []
        pieces = self._ways[way](chunk)
        if pieces is None:
            return None
        now_ns = self._now_ns()
        for piece in pieces:
            if piece != chunk and piece not in self._history:  # what only came again is no excuse
                self.spoilt.append(Spoilt(now_ns, piece))
        while self.spoilt and self.spoilt[0].at_ns < now_ns - REMEMBERED_NS:
            self.spoilt.popleft()
        return pieces

    def _flipped(self, chunk: bytes, end: int = MAX_CHUNK) -> list[bytes]:
        changed = bytearray(chunk)
        for _ in range(self._rng.randrange(1, 5)):
            changed[self._rng.randrange(min(end, len(chunk)))] ^= 1 << self._rng.randrange(8)
        return [bytes(changed)]

    def _grown(self, chunk: bytes) -> list[bytes]:
        at = self._rng.randrange(len(chunk) + 1)
        return [chunk[:at] + self._rng.randbytes(self._rng.randrange(1, 12)) + chunk[at:]]

    def _shrunk(self, chunk: bytes) -> list[bytes]:
        at = self._rng.randrange(len(chunk))
        return [chunk[:at] + chunk[at + self._rng.randrange(1, 12) :]]

    def _length_lies(self, chunk: bytes) -> list[bytes]:
        size = self._rng.choice([0, 7, 8, max(0, len(chunk) - 1), len(chunk) + 1, 0xFFFF_FFFF])
        return [chunk[:4] + size.to_bytes(4, "little") + chunk[8:]]

    def _letters_lie(self, chunk: bytes) -> list[bytes]:
        letters = self._rng.choice(
            [b"MSGC", b"MSGA", b"OPNF", b"ERRF", b"CLOF", b"ACKF", b"\0\0\0\0"]
        )
        return [letters + chunk[4:]]
