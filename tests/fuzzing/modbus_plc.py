"""A Modbus TCP server whose answers are right, mutated, torn, late, doubled, foreign or not at all.

Every register of every answer is fresh, so that a value tells which request it answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections import Counter, deque
from itertools import pairwise
from typing import TYPE_CHECKING, Self

from fuzzing.wire import READS, Asked, Observer

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

REMEMBERED = 4096
"""Requests that the oracle can ask for; a scan has a few dozen."""
HISTORY = 32
"""Old frames that come again as foreign ones."""


class FuzzingPlc:
    """Listens on `port` while entered; `recent` are the last requests, `told` counts what it did.

    A share `wild` of the answers is not as it should be.
    """

    def __init__(self, rng: random.Random, now_ns: Callable[[], int], *, wild: float) -> None:
        self._rng, self._now_ns, self._wild = rng, now_ns, wild
        self.port, self.told = 0, Counter[str]()
        self.recent: deque[Asked] = deque(maxlen=REMEMBERED)
        self._frames: deque[bytes] = deque([bytes(9)], maxlen=HISTORY)
        self._server: asyncio.Server | None = None
        self._peers: set[asyncio.Task[None]] = set()
        self._serial = 0
        self._ways: dict[str, Callable[[_Peer, bytes], None]] = {
            "flipped": self._flipped,
            "torn": lambda peer, frame: peer.say(frame[: self._rng.randrange(len(frame))]),
            "torn, then closed": self._torn_and_closed,
            "grown": self._grown,
            "shrunk": self._shrunk,
            "late": lambda peer, frame: peer.held.append(frame),
            "late, another before": self._late_behind_another,
            "doubled": lambda peer, frame: peer.say(frame + frame),
            "foreign before": lambda peer, frame: peer.say(self._foreign(), frame),
            "foreign behind": lambda peer, frame: peer.say(frame, self._foreign()),
            "foreign instead": lambda peer, _: peer.say(self._foreign()),
            "header lies": self._header_lies,
            "exception": self._exception,
            "garbage": lambda peer, _: peer.say(self._rng.randbytes(self._rng.randrange(1, 400))),
            "endless": lambda peer, _: peer.say(b"\0\1\0\0\xff\xff", bytes(60_000)),
            "dribbled": self._dribbled,
            "silence": lambda peer, frame: None,
            "closed": lambda peer, frame: peer.close(),
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

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._peers.add(task)
        peer = _Peer(writer)
        try:
            while True:
                header = await reader.readexactly(7)
                pdu = await reader.readexactly(int.from_bytes(header[4:6], "big") - 1)
                self._answer(peer, header, pdu)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            self._peers.discard(task)
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _answer(self, peer: _Peer, header: bytes, pdu: bytes) -> None:
        number, function = int.from_bytes(header[:2], "big"), pdu[0]
        if function not in READS:
            return
        start, count = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
        asked = Asked(number, header[6], function, start, count, self._now_ns())
        peer.observer.open[number] = asked
        self.recent.append(asked)
        frame = asked.answer(self._fresh(asked))
        self._frames.append(frame)
        held, peer.held = peer.held, []
        if self._rng.random() >= self._wild:
            self.told["right"] += 1
            peer.say(*held, frame)
            return
        peer.say(*held)
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
        end = len(frame) if self._rng.random() < 0.5 else 9
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

    def _late_behind_another(self, peer: _Peer, frame: bytes) -> None:
        """Keep it back for longer than the next request, so that it comes behind that one's."""
        peer.later.append(frame)

    def _header_lies(self, peer: _Peer, frame: bytes) -> None:
        length = self._rng.choice([0, 1, 2, 3, 254, 255, 260, 0xFFFF, self._rng.randrange(65_536)])
        peer.say(frame[:4] + length.to_bytes(2, "big") + frame[6:])

    def _exception(self, peer: _Peer, frame: bytes) -> None:
        code = self._rng.choice([1, 2, 3, 4, 5, 6, 8, 10, 11, self._rng.randrange(256)])
        peer.say(frame[:4] + b"\0\3" + frame[6:7] + bytes((frame[7] | 0x80, code)))

    def _dribbled(self, peer: _Peer, frame: bytes) -> None:
        """Right, but in pieces: the loop sends them one by one."""
        cuts = sorted({0, len(frame), *(self._rng.randrange(len(frame)) for _ in range(4))})
        peer.say(frame, pieces=[frame[a:b] for a, b in pairwise(cuts)])


class _Peer:
    """One connection of the client's: what is held back for it, and what an observer sees."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.observer = Observer()
        self.held: list[bytes] = []
        self.later: list[bytes] = []

    def say(self, *frames: bytes, pieces: list[bytes] | None = None) -> None:
        """Write frames; those kept back for longer go behind them."""
        later, self.later = (self.later, []) if any(frames) else ([], self.later)
        for frame in (*frames, *later):
            self.observer.sent(frame)
        for piece in [*(frames if pieces is None else pieces), *later]:
            self._writer.write(piece)

    def close(self) -> None:
        self._writer.close()
