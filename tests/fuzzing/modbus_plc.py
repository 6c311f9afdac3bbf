"""A Modbus server, TCP or RTU over TCP, that fuzzes its answers.

They are right, mutated, torn, late, doubled, foreign, or do not come.
Every register of every answer is fresh, so that a value tells which request it answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections import Counter, deque
from itertools import pairwise
from typing import TYPE_CHECKING, Self

from fuzzing.wire import READS, Asked, RtuWire, TcpWire

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from fuzzing.wire import Wire

REMEMBERED = 4096
"""Requests that the oracle can ask for; a scan has a few dozen."""
HISTORY = 32
"""Old frames that come again as foreign ones."""


class FuzzingPlc:
    """Listens on `port` while entered; `recent` are the last requests, `told` counts what it did.

    A share `wild` of the answers is not as it should be. With `rtu` frames have a CRC and no
    transaction id, and nobody can tell an old answer from a new one by looking at it: what lies so
    is left out.
    """

    def __init__(
        self, rng: random.Random, now_ns: Callable[[], int], *, wild: float, rtu: bool = False
    ) -> None:
        self._rng, self._now_ns, self._wild, self._rtu = rng, now_ns, wild, rtu
        self.port, self.told = 0, Counter[str]()
        self.recent: deque[Asked] = deque(maxlen=REMEMBERED)
        self._frames: deque[bytes] = deque([bytes(9)], maxlen=HISTORY)
        self._server: asyncio.Server | None = None
        self._peers: set[asyncio.Task[None]] = set()
        self._defect: BaseException | None = None
        self._serial = 0
        self._ways: dict[str, Callable[[_Peer, bytes], None]] = {
            **({} if rtu else self._of_tcp()),
            "flipped": self._flipped,
            "torn": lambda peer, frame: peer.say(frame[: self._rng.randrange(len(frame))]),
            "torn, then closed": self._torn_and_closed,
            "grown": self._grown,
            "shrunk": self._shrunk,
            "late": lambda peer, frame: peer.held.append((frame, peer.latest)),
            "doubled": lambda peer, frame: peer.say(frame + frame),
            "exception": self._exception,
            "garbage": lambda peer, _: peer.say(self._rng.randbytes(self._rng.randrange(1, 400))),
            "endless": lambda peer, _: peer.say(b"\0\1\0\0\xff\xff", bytes(60_000)),
            "dribbled": self._dribbled,
            "silence": lambda peer, frame: None,
            "closed": lambda peer, frame: peer.close(),
        }

    def _of_tcp(self) -> dict[str, Callable[[_Peer, bytes], None]]:
        """Give the ways that a transaction id shows to be wrong."""
        return {
            "late, another before": lambda peer, frame: peer.later.append((frame, peer.latest)),
            "foreign before": lambda peer, frame: peer.say(self._foreign(), frame),
            "foreign behind": lambda peer, frame: peer.say(frame, self._foreign()),
            "foreign instead": lambda peer, _: peer.say(self._foreign()),
            "header lies": self._header_lies,
        }

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._peers:
            task.cancel()
        await asyncio.gather(*self._peers, return_exceptions=True)
        if self._defect is not None:
            raise self._defect

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._peers.add(task)
        task.add_done_callback(self._note)
        peer = _Peer(writer, RtuWire() if self._rtu else TcpWire())
        try:
            while True:
                if self._rtu:
                    message = await reader.readexactly(8)
                    self._answer(peer, 0, message[0], message[1:6])
                else:
                    header = await reader.readexactly(7)
                    pdu = await reader.readexactly(int.from_bytes(header[4:6], "big") - 1)
                    self._answer(peer, int.from_bytes(header[:2], "big"), header[6], pdu)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            self._peers.discard(task)
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _note(self, ended: asyncio.Task[None]) -> None:
        """Keep a defect of ours to be told at the end: it must not pass for a silence."""
        defect = None if ended.cancelled() else ended.exception()
        self._defect = self._defect or defect

    def _answer(self, peer: _Peer, number: int, unit: int, pdu: bytes) -> None:
        function = pdu[0]
        if function not in READS:
            return
        start, count = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
        asked = peer.latest = Asked(number, unit, function, start, count, self._now_ns())
        peer.wire.asked(asked)
        self.recent.append(asked)
        frame = peer.wire.answer(asked, self._fresh(asked))
        self._frames.append(frame)
        peer.say_held()
        if self._rng.random() >= self._wild:
            self.told["right"] += 1
            peer.say(frame)
            return
        way = self._rng.choice(list(self._ways))
        self.told[way] += 1
        self._ways[way](peer, frame)

    def _fresh(self, asked: Asked) -> bytes:
        """Give data as no other answer has it."""
        self._serial += 1
        if asked.function <= 2:
            return self._rng.randbytes(asked.size)
        words = (
            zlib.crc32(b"%d %d %d" % (self._serial, asked.unit, address)) & 0xFFFF
            for address in range(asked.start, asked.start + asked.count)
        )
        return b"".join(word.to_bytes(2, "big") for word in words)

    def _foreign(self) -> bytes:
        """Give a frame of another time, or with another's transaction id or unit."""
        frame = bytearray(self._rng.choice(self._frames))
        if self._rng.random() < 0.5:
            latest = self.recent[-1].number
            frame[:2] = ((latest + self._rng.randrange(-3, 4)) & 0xFFFF).to_bytes(2, "big")
        if self._rng.random() < 0.3:
            frame[6] = self._rng.randrange(256)
        return bytes(frame)

    def _flipped(self, peer: _Peer, frame: bytes) -> None:
        changed = bytearray(frame)
        end = len(frame) if self._rng.random() < 0.5 else min(9, len(frame))
        for _ in range(self._rng.randrange(1, 5)):
            changed[self._rng.randrange(end)] ^= 1 << self._rng.randrange(8)
        peer.say(bytes(changed))

    def _torn_and_closed(self, peer: _Peer, frame: bytes) -> None:
        peer.say(frame[: self._rng.randrange(len(frame))])
        peer.close()

    def _grown(self, peer: _Peer, frame: bytes) -> None:
        at = self._rng.randrange(len(frame) + 1)
        peer.say(frame[:at] + self._rng.randbytes(self._rng.randrange(1, 12)) + frame[at:])

    def _shrunk(self, peer: _Peer, frame: bytes) -> None:
        at = self._rng.randrange(len(frame))
        peer.say(frame[:at] + frame[at + self._rng.randrange(1, 12) :])

    def _header_lies(self, peer: _Peer, frame: bytes) -> None:
        length = self._rng.choice([0, 1, 2, 3, 254, 255, 260, 0xFFFF, self._rng.randrange(65_536)])
        peer.say(frame[:4] + length.to_bytes(2, "big") + frame[6:])

    def _exception(self, peer: _Peer, frame: bytes) -> None:
        code = self._rng.choice([1, 2, 3, 4, 5, 6, 8, 10, 11, self._rng.randrange(256)])
        del frame
        assert peer.latest is not None
        peer.say(peer.wire.exception(peer.latest, code))

    def _dribbled(self, peer: _Peer, frame: bytes) -> None:
        """Right, but in pieces: the loop sends them one by one."""
        cuts = sorted({0, len(frame), *(self._rng.randrange(len(frame)) for _ in range(4))})
        peer.say(frame, pieces=[frame[a:b] for a, b in pairwise(cuts)])


class _Peer:
    """One connection of the client's: what is held back for it, and what an observer sees.

    `held` goes before the next answer, `later` behind it; each with what it was made from.
    """

    def __init__(self, writer: asyncio.StreamWriter, wire: Wire) -> None:
        self._writer = writer
        self.wire = wire
        self.latest: Asked | None = None
        self.held: list[tuple[bytes, Asked | None]] = []
        self.later: list[tuple[bytes, Asked | None]] = []

    def say_held(self) -> None:
        """Write what was held back until now."""
        held, self.held = self.held, []
        self._write(held)

    def say(self, *frames: bytes, pieces: list[bytes] | None = None) -> None:
        """Write frames, in pieces if so wanted; those kept back for longer go behind them."""
        for frame in frames:
            self.wire.sent(frame, self.latest)
        for piece in frames if pieces is None else pieces:
            self._writer.write(piece)
        if any(frames):
            later, self.later = self.later, []
            self._write(later)

    def close(self) -> None:
        self._writer.close()

    def _write(self, made: list[tuple[bytes, Asked | None]]) -> None:
        for frame, of in made:
            self.wire.sent(frame, of)
            self._writer.write(frame)
